package topology

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Process is a program of the topology, which may be ended and started again.
// Its methods may be called from many goroutines.
type Process struct {
	// Name is as us-east/authz.
	Name string

	binary  string
	args    []string
	logFile string
	// ready waits until the running program answers.
	ready func(ctx context.Context, ended <-chan struct{}) error

	mu      sync.Mutex
	running *exec.Cmd
	// alive ends the program when this process ends: it reads its standard input.
	alive io.Closer
	ended chan struct{}
}

// Start starts the program and waits until it answers. A program that runs
// goes on.
func (p *Process) Start(ctx context.Context) error {
	ended, err := p.launch()
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	if err := p.ready(ctx, ended); err != nil {
		return fmt.Errorf("%s is not ready: %w; see %s", p.Name, err, p.logFile)
	}
	return nil
}

func (p *Process) launch() (<-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return p.ended, nil
	}
	if err := os.MkdirAll(filepath.Dir(p.logFile), 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()                        //nolint:errcheck // the child has its own
	cmd := exec.Command(p.binary, p.args...) //nolint:noctx // Kill ends it
	cmd.Stdout, cmd.Stderr = log, log
	// A Ctrl-C of the terminal is for this process, which then stops the others.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	alive, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.running, p.alive, p.ended = cmd, alive, make(chan struct{})
	go p.watch(cmd, p.ended)
	return p.ended, nil
}

func (p *Process) watch(cmd *exec.Cmd, ended chan struct{}) {
	_ = cmd.Wait() // how it ended is in its log
	p.mu.Lock()
	p.running = nil
	p.mu.Unlock()
	close(ended)
}

// Running says whether the program runs.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running != nil
}

// Use makes the next start run another program.
func (p *Process) Use(binary string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.binary = binary
}

// Kill ends the program without a warning, and waits for its end.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL, patience) }

// stopWithin is how long a program has to finish what it accepted.
const stopWithin = 10 * time.Second

// Stop asks the program to end, and kills it when it takes too long.
func (p *Process) Stop() error {
	if err := p.end(syscall.SIGTERM, stopWithin); err == nil {
		return nil
	}
	return p.Kill()
}

// Pause stops the program where it is; it keeps its connections.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Continue ends a pause.
func (p *Process) Continue() error { return p.signal(syscall.SIGCONT) }

func (p *Process) end(signal syscall.Signal, within time.Duration) error {
	p.mu.Lock()
	running, ended := p.running != nil, p.ended
	p.mu.Unlock()
	if !running {
		return nil
	}
	if err := p.signal(signal); err != nil {
		return err
	}
	select {
	case <-ended:
		return nil
	case <-time.After(within):
		return fmt.Errorf("%s does not end", p.Name)
	}
}

func (p *Process) signal(signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return nil
	}
	err := p.running.Process.Signal(signal)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s to %s: %w", signal, p.Name, err)
	}
	return nil
}
