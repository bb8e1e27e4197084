package pglocal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a child that ends with this process.
type process struct {
	cmd    *exec.Cmd
	output *output
	// quit ends the child at once. The kernel sends it when this process ends.
	quit syscall.Signal
	// exited is closed when the child has ended; err is valid then.
	exited chan struct{}
	err    error
}

// launch starts the child from a thread that lives as long as the child does:
// the signal that ends the child is tied to that thread.
func launch(ctx context.Context, cmd *exec.Cmd, quit syscall.Signal, user *account, log *slog.Logger) (*process, error) {
	p := &process{cmd: cmd, output: newOutput(ctx, log), quit: quit, exited: make(chan struct{})}
	cmd.Dir = "/" // the current directory may be closed to the child's user
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "HOME=/"}
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.SysProcAttr = attributes(user, quit)
	cmd.WaitDelay = time.Second
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		_ = p.output.Close()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		_ = p.output.Close()
		return nil, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	return p, nil
}

// run starts a child and waits for its end; ctx kills it.
func run(ctx context.Context, cmd *exec.Cmd, user *account, log *slog.Logger) error {
	p, err := launch(ctx, cmd, syscall.SIGQUIT, user, log)
	if err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("run %s: %w", cmd.Path, ctx.Err())
	}
	if p.err != nil {
		return fmt.Errorf("run %s: %w: %s", cmd.Path, p.err, p.output.tail())
	}
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks for an orderly end, then for an immediate one, then kills.
func (p *process) stop(ctx context.Context, orderly syscall.Signal) error {
	if p.signalAndWait(ctx, orderly, fastBound) {
		return nil
	}
	immediate := context.WithoutCancel(ctx)
	if p.signalAndWait(immediate, p.quit, quitBound) || p.signalAndWait(immediate, syscall.SIGKILL, quitBound) {
		return nil
	}
	return fmt.Errorf("stop local database: process %d does not end", p.pid())
}

func (p *process) signalAndWait(ctx context.Context, signal syscall.Signal, bound time.Duration) bool {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return false
	}
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-ctx.Done():
		return false
	case <-timer.C:
		return false
	}
}

// output logs the child's lines and keeps the last ones for error messages.
type output struct {
	*io.PipeWriter
	mu   sync.Mutex
	last []string
	done chan struct{}
}

const keptLines = 12

func newOutput(ctx context.Context, log *slog.Logger) *output {
	reader, writer := io.Pipe()
	o := &output{PipeWriter: writer, done: make(chan struct{})}
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer close(o.done)
		lines := bufio.NewScanner(reader)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			log.DebugContext(ctx, "local database says", slog.String("line", lines.Text()))
			o.keep(lines.Text())
		}
		_, _ = io.Copy(io.Discard, reader) // after a line that is too long
	}()
	return o
}

func (o *output) keep(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last = append(o.last, line); len(o.last) > keptLines {
		o.last = o.last[1:]
	}
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.last, "; ")
}

// Close ends the output and waits until every line is kept.
func (o *output) Close() error {
	err := o.PipeWriter.Close()
	<-o.done
	return err
}
