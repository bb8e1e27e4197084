package pglocal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// clearPredecessor deals with postmaster.pid of a server that this process did
// not start. This process holds the directory's lock, so the parent of that
// server is gone: when it still runs in the directory, it is stopped. Else the
// file is stale, and is removed even when its process id belongs to some other
// process by now, which PostgreSQL itself could not tell.
func (l *launchpad) clearPredecessor(ctx context.Context) error {
	path := filepath.Join(l.data(), "postmaster.pid")
	pid, err := readPID(path)
	if err != nil || pid == 0 {
		return err
	}
	if servesDir(pid, l.data()) {
		l.Log.WarnContext(ctx, "stopping a local database that was left over", slog.Int("pid", pid))
		if err := endServer(ctx, pid, l.data()); err != nil {
			return err
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove stale postmaster.pid: %w", err)
	}
	return nil
}

// readPID returns the first line of postmaster.pid; 0 when there is none.
func readPID(path string) (int, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(content, []byte("\n"))
	pid, err := strconv.Atoi(string(line))
	if err != nil || pid <= 1 {
		return 0, os.Remove(path) // damaged by the end of the machine
	}
	return pid, nil
}

// endServer stops the server of dir, which is not a child: SIGINT, then SIGQUIT.
func endServer(ctx context.Context, pid int, dir string) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return nil
	}
	defer func() { _ = process.Release() }() // no resource behind it that could be lost
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if process.Signal(signal) != nil || left(ctx, pid, dir) {
			return nil
		}
	}
	return fmt.Errorf("process %d, a local database that was left over, does not end", pid)
}

// left waits until the server has left dir. It does not ask whether the process
// exists: a zombie that nobody waits for does.
func left(ctx context.Context, pid int, dir string) bool {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	bound := time.NewTimer(fastBound)
	defer bound.Stop()
	for servesDir(pid, dir) {
		select {
		case <-ticker.C:
		case <-bound.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}
