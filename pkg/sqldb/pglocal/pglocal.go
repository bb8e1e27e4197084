// Package pglocal starts a private database for development and tests: a child
// process that listens on a free port of 127.0.0.1 and keeps its data in one
// directory.
//
// # Which database
//
// The first that is found: the binary in COCKROACH_BINARY, cockroach on PATH,
// PostgreSQL (initdb and postgres) on PATH or under /usr/lib/postgresql, and
// last a download of PostgreSQL from Maven Central, kept in a cache directory. A
// directory that holds data already goes on with the database that wrote it.
// StartCluster starts a CockroachDB with a node in each region. A database URL of
// the caller's own needs no server at all, so it is not this package's business.
//
// # The child never outlives the parent
//
// On Linux the kernel sends the child SIGQUIT when its parent ends (Pdeathsig),
// whatever ended the parent; CockroachDB, which goes on after that one, gets
// SIGKILL. The kernel means the thread that forked, not the process; so the child
// is started from a goroutine that is locked to its thread and stays on it until
// the child has ended. The child has its own process group, so that Ctrl-C
// reaches only the parent, which then stops the child in order. On macOS there is no such signal: a child that was left over is stopped
// by the next Start in the same directory, if it is PostgreSQL.
//
// # Root
//
// PostgreSQL refuses to run as root. Started by root it runs as the user
// postgres, or else nobody, and gets its directory as an open file: the parents
// of the directory may be closed to that user (as /root is).
package pglocal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// Options say where the data is and how safe it is.
type Options struct {
	// Dir holds the data. It is made when absent (mode 0700) and is used by one
	// process at a time. Required.
	Dir string
	// Log gets the server's own output at debug level. nil means none.
	Log *slog.Logger
	// Fast gives up durability for speed, for tests: data survives Stop. A server
	// or parent that is killed loses its last transactions, a machine that stops
	// may lose everything. CockroachDB ignores it.
	Fast bool
	// Settings are PostgreSQL's, as name=value; they win over those of this
	// package. CockroachDB ignores them.
	Settings []string
}

const (
	startBound = 90 * time.Second
	fastBound  = 15 * time.Second // of an orderly stop
	quitBound  = 10 * time.Second // of an immediate stop
	readyPoll  = 20 * time.Millisecond
	database   = "meridian"
)

// ErrInUse is returned by Start when another process uses the directory.
var ErrInUse = errors.New("directory is used by another process")

// Server is a running database.
type Server struct {
	kind    string
	url     secret.String
	process *process
	// orderly is the signal that asks for an orderly stop.
	orderly syscall.Signal
	// handle is the directory as the server has it open; may be nil.
	handle *os.File
	// ended is closed when the server has ended and its directory is free.
	ended chan struct{}
}

// Start starts the database in o.Dir, waits until it accepts connections and
// makes the database "meridian" in it. ctx bounds the start only.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	if o.Dir == "" {
		return nil, errors.New("start local database: no directory given")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("start local database: %w", err)
	}
	o.Dir = dir
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("start local database: %w", err)
	}
	server, err := start(ctx, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start local database: %w", err), lock.Close())
	}
	server.ended = make(chan struct{})
	go server.release(lock)
	o.Log.InfoContext(ctx, "local database started",
		slog.String("kind", server.kind), slog.Int("pid", server.PID()), slog.String("dir", dir))
	return server, nil
}

func start(ctx context.Context, o Options) (*Server, error) {
	engine, err := findEngine(ctx, o)
	if err != nil {
		return nil, err
	}
	return engine.start(ctx, o)
}

// lockDir makes the directory and locks it. The lock ends with the process.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrInUse, dir), f.Close())
	}
	return f, nil
}

// URL returns the connection URL of the database "meridian", with its password.
func (s *Server) URL() secret.String { return s.url }

// PID returns the process id of the server.
func (s *Server) PID() int { return s.process.pid() }

// Kind returns "PostgreSQL" or "CockroachDB".
func (s *Server) Kind() string { return s.kind }

// Exited is closed when the server has ended, for whatever reason.
func (s *Server) Exited() <-chan struct{} { return s.ended }

// release frees the directory when the server has ended. Until then it keeps
// the files from being collected, and so the lock locked, even when nobody keeps
// the Server.
func (s *Server) release(lock *os.File) {
	<-s.process.exited
	if s.handle != nil {
		_ = s.handle.Close() // read only
	}
	_ = lock.Close() // read only
	close(s.ended)
}

// Stop stops the server in order, and at once when that takes longer than 15 s
// or when ctx ends. When it returns, the server has ended. It may be called
// again.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.process.stop(ctx, s.orderly); err != nil {
		return err
	}
	<-s.ended
	return nil
}
