// Package harness starts real Meridian processes for end-to-end tests.
package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
)

// Timeout bounds whatever a test waits for.
const Timeout = 60 * time.Second

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "meridian-e2e-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "meridian")
	cmd := exec.Command("go", "build", "-o", binary, "github.com/meridian-iam/meridian/services/meridian")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return binary, nil
})

// Binary builds the meridian binary once for each test binary and returns its
// path.
func Binary(t testing.TB) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// Ready is what dev.json says.
type Ready struct {
	URL          string `json:"url"`
	AdminToken   string `json:"admin_token"`
	Organization string `json:"organization"`
	PID          int    `json:"pid"`
}

// Dev is a running `meridian dev`.
type Dev struct {
	Ready

	// Dir is what it keeps everything in.
	Dir string

	cmd    *exec.Cmd
	output *output
	exited chan struct{}
	err    error
}

// StartDev starts `meridian dev` in dir and waits until it is ready. It is
// killed when the test ends.
func StartDev(t testing.TB, dir string, args ...string) *Dev {
	t.Helper()
	d := &Dev{Dir: dir, output: &output{}, exited: make(chan struct{})}
	announced := filepath.Join(dir, "dev.json")
	before, _ := os.Stat(announced)
	d.cmd = exec.Command(Binary(t), append([]string{"dev", "--dir", dir, "--listen", "127.0.0.1:0"}, args...)...) //nolint:noctx // Cleanup ends it
	d.cmd.Stdout, d.cmd.Stderr = d.output, d.output
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.exited)
	}()
	t.Cleanup(func() { d.Kill(t) })
	Eventually(t, "meridian dev is ready", func() error {
		select {
		case <-d.exited:
			t.Fatalf("meridian dev ended: %v\n%s", d.err, d.output)
		default:
		}
		now, err := os.Stat(announced)
		if err != nil {
			return err
		}
		if before != nil && os.SameFile(before, now) {
			return errors.New("dev.json is of an earlier run")
		}
		content, err := os.ReadFile(announced)
		if err != nil {
			return err
		}
		return json.Unmarshal(content, &d.Ready)
	})
	return d
}

// Client returns a client with the admin token.
func (d *Dev) Client() *meridian.Client { return meridian.New(d.URL, d.AdminToken) }

// Output returns what the process printed.
func (d *Dev) Output() string { return d.output.String() }

// Stop interrupts the process, as Ctrl-C does, and returns how long it took to
// end.
func (d *Dev) Stop(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.exited:
	case <-time.After(Timeout):
		t.Fatalf("meridian dev did not end\n%s", d.output)
	}
	if d.err != nil {
		t.Fatalf("meridian dev ended with %v\n%s", d.err, d.output)
	}
	return time.Since(began)
}

// Kill ends the process without a warning. It may be called again.
func (d *Dev) Kill(t testing.TB) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	<-d.exited
}

// Result is what a command printed, and its exit code.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Run runs a meridian command against the deployment.
func (d *Dev) Run(t testing.TB, args ...string) Result {
	t.Helper()
	return Run(t, append([]string{"--dir", d.Dir}, args...)...)
}

// Run runs a meridian command.
func Run(t testing.TB, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, Binary(t), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
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

// output collects what a process prints.
type output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}
