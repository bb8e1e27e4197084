package pglocal

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// cockroach is a binary of CockroachDB, which runs as a single node. It is
// insecure in CockroachDB's sense: it listens on loopback only, and every user
// of this machine may connect.
type cockroach struct{ binary string }

const (
	urlFile = "url"
	// cockroachQuit ends a node at once: at SIGQUIT it writes its stacks into its
	// log and goes on (quitSignal in its pkg/cli/start_unix.go).
	cockroachQuit = syscall.SIGKILL
)

func (c cockroach) start(ctx context.Context, o Options) (*Server, error) {
	home := filepath.Join(o.Dir, cockroachFolder)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(home, urlFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	process, err := launch(ctx, exec.Command(c.binary, cockroachArgs(home)...), cockroachQuit, nil, o.Log)
	if err != nil {
		return nil, err
	}
	admin, err := announced(ctx, process, filepath.Join(home, urlFile))
	if err == nil {
		err = ready(ctx, process, admin)
	}
	if err != nil {
		return nil, errors.Join(err, process.stop(ctx, syscall.SIGKILL))
	}
	named, err := withDatabase(admin, database)
	if err != nil {
		return nil, errors.Join(err, process.stop(ctx, syscall.SIGKILL))
	}
	return &Server{kind: "CockroachDB", url: named, process: process, orderly: syscall.SIGTERM}, nil
}

func cockroachArgs(home string) []string {
	return append([]string{
		"start-single-node", "--insecure", "--listen-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0",
	}, storage(home)...)
}

// storage is what a node has in its folder and in memory.
func storage(home string) []string {
	return []string{
		"--listening-url-file=" + filepath.Join(home, urlFile),
		"--store=" + filepath.Join(home, dataFolder),
		"--cache=128MiB", "--max-sql-memory=128MiB",
	}
}

// announced waits until the server has written the URL at which it listens.
func announced(ctx context.Context, p *process, path string) (secret.String, error) {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		content, err := os.ReadFile(path)
		if line, _, whole := strings.Cut(string(content), "\n"); err == nil && whole {
			return secret.NewString(line), nil
		}
		select {
		case <-p.exited:
			return secret.String{}, fmt.Errorf("the server ended: %w: %s", p.err, p.output.tail())
		case <-ctx.Done():
			return secret.String{}, fmt.Errorf("the server does not say where it listens: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// withDatabase puts another database's name into a connection URL.
func withDatabase(from secret.String, name string) (secret.String, error) {
	u, err := url.Parse(from.Reveal())
	if err != nil {
		return secret.String{}, errors.New("the server's URL cannot be read")
	}
	u.Path = "/" + name
	return secret.NewString(u.String()), nil
}
