package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startBound = 60 * time.Second
	stopBound  = 15 * time.Second
)

// process is a server that this program started.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	end  chan struct{}
	err  error
}

// launch starts a server whose output goes to a file of the scratch folder.
func (b *bench) launch(name string, cmd *exec.Cmd) (*process, error) {
	log, err := os.Create(filepath.Join(b.scratch, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	p := &process{name: name, cmd: cmd, log: log, end: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), log.Close())
	}
	go func() {
		p.err = cmd.Wait()
		close(p.end)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the server in order, and at once when that takes too long.
func (p *process) stop() {
	defer p.log.Close() //nolint:errcheck // a log
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	late := time.NewTimer(stopBound)
	defer late.Stop()
	select {
	case <-p.end:
		return
	case <-late.C:
		_ = p.cmd.Process.Kill()
	}
	<-p.end
}

// ready waits until a connection to the address is accepted.
func (p *process) ready(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	var dialer net.Dialer
	for {
		if c, err := dialer.DialContext(ctx, "tcp", address); err == nil {
			return c.Close()
		}
		select {
		case <-again.C:
		case <-p.end:
			return fmt.Errorf("%s ended: %w: %s", p.name, p.err, p.said())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", p.name, ctx.Err())
		}
	}
}

// said is the end of what the server printed.
func (p *process) said() string {
	text, err := os.ReadFile(p.log.Name())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2000):]))
}

// output runs a command to its end and returns what it printed.
func output(cmd *exec.Cmd) (string, error) {
	text, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	return strings.TrimSpace(string(text)), nil
}

// command is a program of the scratch folder. It is asked to end when ctx does.
func (b *bench) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if !filepath.IsAbs(name) {
		name = filepath.Join(b.scratch, "bin", name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopBound
	cmd.Env = environment()
	if filepath.Base(name) == "drive" {
		// One thread is enough for the driver, and a second would only take the
		// processor from the server in the middle of a call.
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	}
	return cmd
}

// environment is this process's, without settings for the programs it starts.
func environment() []string {
	var out []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "MERIDIAN_") && !strings.HasPrefix(pair, "OPENFGA_") {
			out = append(out, pair)
		}
	}
	return out
}

// freeAddress is a port of this machine on which nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// firstLine reads a line.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	return strings.TrimSpace(line), err
}
