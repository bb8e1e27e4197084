package harness

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a running program. It is killed when the test ends.
type Process struct {
	cmd    *exec.Cmd
	output *output
	exited chan struct{}
	err    error
}

// StartProcess starts a program. Where cmd has no outputs, they are kept for
// Output.
func StartProcess(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{cmd: cmd, output: &output{}, exited: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.output
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.output
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() { p.Kill(t) })
	return p
}

// Start starts a meridian command that goes on by itself, as log tail
// --follow does.
func Start(t testing.TB, args ...string) *Process {
	t.Helper()
	cmd := exec.Command(Binary(t), args...) //nolint:noctx // StartProcess ends it with the test
	cmd.Env = Environment()
	return StartProcess(t, cmd)
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output returns what the process printed so far.
func (p *Process) Output() string { return p.output.String() }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// ExitCode waits for the end of the process and returns its exit code; -1 when
// a signal ended it.
func (p *Process) ExitCode(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(Timeout):
		t.Fatalf("the process did not end\n%s", p.output)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal.
func (p *Process) Signal(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// Stop interrupts the process, as Ctrl-C does, and returns how long it took to
// end. Its exit code must be 0.
func (p *Process) Stop(t testing.TB) time.Duration {
	t.Helper()
	return p.StopWith(t, os.Interrupt)
}

// StopWith is Stop with another signal.
func (p *Process) StopWith(t testing.TB, signal os.Signal) time.Duration {
	t.Helper()
	began := time.Now()
	p.Signal(t, signal)
	if code := p.ExitCode(t); code != 0 {
		t.Fatalf("the process ended with %v\n%s", p.err, p.output)
	}
	return time.Since(began)
}

// Kill ends the process without a warning. It may be called again.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	<-p.exited
}

// Environment is the environment of meridian processes: the test's own,
// without the settings that whoever runs the tests has for the command line.
func Environment(more ...string) []string {
	var out []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "MERIDIAN_") {
			out = append(out, pair)
		}
	}
	return append(out, more...)
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
