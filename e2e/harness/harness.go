// Package harness starts real Meridian processes, and what they need, for
// end-to-end tests.
package harness

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Timeout bounds whatever a test waits for.
const Timeout = 60 * time.Second

// Result is what a command printed, and its exit code.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Run runs a meridian command.
func Run(t testing.TB, args ...string) Result {
	t.Helper()
	return Command{Args: args}.Run(t)
}

// Command is a run of the meridian command line.
type Command struct {
	Args []string
	// Env is added to the environment, as NAME=value.
	Env []string
	// Stdin is what the command reads.
	Stdin string
	// Dir is where it runs; empty means the test's folder.
	Dir string
}

// Run runs the command to its end.
func (c Command) Run(t testing.TB) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(t), c.Args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.Stdin), &stdout, &stderr
	cmd.Env, cmd.Dir = Environment(c.Env...), c.Dir
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
}

// Eventually tries until there is no error.
func Eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	deadline := time.NewTimer(Timeout)
	defer deadline.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: %v", what, err)
		case <-again.C:
		}
	}
}
