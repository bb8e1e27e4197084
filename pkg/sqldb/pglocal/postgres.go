package pglocal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	dataFolder   = "data"
	passwordFile = "password"
	// attempts at a start: another process may take the port, and shared memory
	// of a killed predecessor goes away a moment after it.
	attempts = 5
)

// postgres is an installation of PostgreSQL.
type postgres struct{ bin string }

// launchpad is what a start of PostgreSQL needs to know.
type launchpad struct {
	Options
	bin      string
	home     string // holds data and, during initdb, the password
	user     *account
	handle   *os.File // home, opened for a child of another user; may be nil
	password string
}

func (p postgres) start(ctx context.Context, o Options) (*Server, error) {
	l, err := p.prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := l.clearPredecessor(ctx); err != nil {
		return nil, errors.Join(err, l.close())
	}
	for n := 1; ; n++ {
		server, err := l.serve(ctx)
		if err == nil {
			return server, nil
		}
		if n == attempts || !passing(err) {
			return nil, errors.Join(err, l.close())
		}
	}
}

// passing says whether a failed start is worth another try.
func passing(err error) bool {
	text := err.Error()
	return strings.Contains(text, "could not bind") || strings.Contains(text, "shared memory block")
}

// prepare makes the directories, the password and, the first time, the data.
func (p postgres) prepare(ctx context.Context, o Options) (*launchpad, error) {
	user, err := unprivileged()
	if err != nil {
		return nil, err
	}
	l := &launchpad{Options: o, bin: p.bin, home: filepath.Join(o.Dir, postgresqlFolder), user: user}
	if err := os.MkdirAll(l.home, 0o700); err != nil {
		return nil, err
	}
	if l.password, err = readPassword(o.Dir); err != nil {
		return nil, err
	}
	if user != nil {
		if err := user.own(l.home); err != nil {
			return nil, err
		}
		if l.handle, err = os.Open(l.home); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(l.data()); errors.Is(err, os.ErrNotExist) {
		if err := l.initialize(ctx); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return l, nil
}

func (l *launchpad) data() string { return filepath.Join(l.home, dataFolder) }

func (l *launchpad) close() error {
	if l.handle == nil {
		return nil
	}
	return l.handle.Close()
}

// command runs a program of the installation; inside names a file of home in a
// way that the child can use.
func (l *launchpad) command(program string, args func(inside func(string) string) []string) *exec.Cmd {
	seen, inherit := l.home, false
	if l.handle != nil {
		seen, inherit = handleOf(l.home)
	}
	cmd := exec.Command(filepath.Join(l.bin, program), args(func(name string) string {
		return seen + "/" + name
	})...)
	if inherit {
		cmd.ExtraFiles = []*os.File{l.handle}
	}
	return cmd
}

// readPassword returns the superuser's password, made at the first start.
func readPassword(dir string) (string, error) {
	path := filepath.Join(dir, passwordFile)
	known, err := os.ReadFile(path)
	if err == nil && len(known) > 0 {
		return string(known), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	password := rand.Text()
	return password, os.WriteFile(path, []byte(password), 0o600)
}

// initialize makes the data directory under another name first, so that an
// interrupted initdb is not taken for a database.
func (l *launchpad) initialize(ctx context.Context) error {
	fresh, once := filepath.Join(l.home, "new"), filepath.Join(l.home, passwordFile)
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.WriteFile(once, []byte(l.password), 0o600); err != nil {
		return err
	}
	defer func() { _ = os.Remove(once) }() // the copy in Dir stays
	if l.user != nil {
		if err := l.user.own(once); err != nil {
			return err
		}
	}
	begun := time.Now()
	err := run(ctx, l.command("initdb", func(inside func(string) string) []string {
		args := []string{
			"--pgdata=" + inside("new"), "--username=" + database, "--pwfile=" + inside(passwordFile),
			"--auth=scram-sha-256", "--locale=C", "--encoding=UTF8", "--no-instructions",
		}
		if l.Fast {
			args = append(args, "--no-sync")
		}
		return args
	}), l.user, l.Log)
	if err != nil {
		return err
	}
	l.Log.DebugContext(ctx, "local database initialized", slog.Duration("took", time.Since(begun)))
	return os.Rename(fresh, l.data())
}

// serve starts the server on a free port and waits until it answers.
func (l *launchpad) serve(ctx context.Context) (*Server, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	cmd := l.command("postgres", func(inside func(string) string) []string {
		args := []string{"-D", inside(dataFolder)}
		for _, setting := range l.settings(port) {
			args = append(args, "-c", setting)
		}
		return args
	})
	process, err := launch(ctx, cmd, syscall.SIGQUIT, l.user, l.Log)
	if err != nil {
		return nil, err
	}
	admin := l.url(port, "postgres")
	if err := ready(ctx, process, admin); err != nil {
		return nil, errors.Join(err, process.stop(ctx, syscall.SIGQUIT))
	}
	return &Server{
		kind: "PostgreSQL", url: l.url(port, database), process: process, orderly: syscall.SIGINT, handle: l.handle,
	}, nil
}

// settings keep the server on loopback and its log free of data: no statements,
// no details of violated constraints.
func (l *launchpad) settings(port int) []string {
	settings := []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(port), "unix_socket_directories=",
		"shared_buffers=128MB", "max_connections=100", "timezone=UTC", "log_timezone=UTC",
		"log_error_verbosity=terse", "log_min_error_statement=panic", "max_wal_size=512MB",
	}
	if l.Fast {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off",
			"max_connections=300", "checkpoint_timeout=1d", "autovacuum=off")
	}
	return append(settings, l.Settings...)
}

func (l *launchpad) url(port int, name string) secret.String {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(database, l.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: name, RawQuery: "sslmode=disable",
	}
	return secret.NewString(u.String())
}

func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens on tcp4
	return port, listener.Close()
}
