package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/meridian-iam/meridian/e2e/census"
)

// bench is one run of the command.
type bench struct {
	o      options
	root   string
	stderr io.Writer
	began  time.Time

	run census.Run
}

// all starts a deployment, grows it step by step, and removes it.
func (b *bench) all(ctx context.Context) (err error) {
	scratch, err := os.MkdirTemp("", "meridian-census-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	// The database's own account passes through it.
	if err := os.Chmod(scratch, 0o711); err != nil { //nolint:gosec // names inside are not secret
		return err
	}
	b.stepf("building")
	d := &deployment{dir: scratch, binary: filepath.Join(scratch, "meridian")}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", d.binary, "./services/meridian")
	cmd.Dir = b.root
	if _, err := output(cmd); err != nil {
		return err
	}
	b.stepf("starting")
	defer func() { err = errors.Join(err, d.stop(ctx)) }()
	if err := d.start(ctx); err != nil {
		return err
	}
	return b.grow(ctx, d)
}

func (b *bench) grow(ctx context.Context, d *deployment) error {
	pool, err := pgxpool.New(ctx, d.database.URL().Reveal())
	if err != nil {
		return err
	}
	defer pool.Close()
	p := &population{pool: pool}
	m := &measurer{d: d, p: p, calls: b.o.calls, slow: b.o.slow, progress: b.stepf}
	if err := m.prepare(ctx); err != nil {
		return err
	}
	for n, size := range b.o.sizes {
		s := census.Step{Size: size}
		b.stepf("%d organizations, %d users: copying rows", size.Organizations, size.Users)
		if s.Fill, err = p.grow(ctx, size); err != nil {
			return err
		}
		b.stepf("  %d rows in %.1f s", s.Fill.Rows, s.Fill.Seconds)
		s.Load = load()
		if err := m.measure(ctx, n, &s); err != nil {
			return fmt.Errorf("%d organizations, %d users: %w", size.Organizations, size.Users, err)
		}
		b.run.Steps = append(b.run.Steps, s)
	}
	b.run.Machine, err = b.machine(ctx, pool)
	return err
}

// stepf prints what happens, for people.
func (b *bench) stepf(format string, args ...any) {
	fmt.Fprintf(b.stderr, "%7.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// machine says where the figures come from.
func (b *bench) machine(ctx context.Context, pool *pgxpool.Pool) (string, error) {
	cmd := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD")
	cmd.Dir = b.root
	commit, err := output(cmd)
	if err != nil {
		commit = "unknown"
	}
	rows, err := pool.Query(ctx, "SHOW server_version")
	if err != nil {
		return "", err
	}
	version, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	version, _, _ = strings.Cut(version, " ")
	return fmt.Sprintf("%s. %d cores, %s/%s, %s. PostgreSQL %s, %s. Meridian %s, one process with all services.", time.Now().UTC().Format(time.DateOnly),
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), version, strings.Join(settings[:1], " "), commit), err
}

// load is the machine's load average of the last minute; "" where there is none.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
