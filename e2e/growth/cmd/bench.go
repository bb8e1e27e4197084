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

	"github.com/meridian-iam/meridian/e2e/growth"
)

// bench is one run of the command.
type bench struct {
	o      options
	root   string
	stderr io.Writer
	began  time.Time

	binary string
	run    growth.Run
	failed error // what ended the run before its end
}

func regionNames() []string { return []string{"us-east", "eu-west", "ap-south"} }

// all measures one deployment after the other.
func (b *bench) all(ctx context.Context) (err error) {
	scratch, err := os.MkdirTemp("", "meridian-growth-")
	if err != nil {
		return err
	}
	defer func() {
		b.failed = errors.Join(b.failed, err)
		err = errors.Join(err, os.RemoveAll(scratch))
	}()
	// The database's own account passes through it.
	if err := os.Chmod(scratch, 0o711); err != nil { //nolint:gosec // names inside are not secret
		return err
	}
	b.stepf("building")
	b.binary = filepath.Join(scratch, "meridian")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "./services/meridian")
	cmd.Dir = b.root
	if _, err := output(cmd); err != nil {
		return err
	}
	for _, n := range b.o.regions {
		if err := b.deployment(ctx, filepath.Join(scratch, fmt.Sprintf("regions-%d", n)), regionNames()[:n]); err != nil {
			return err
		}
	}
	return nil
}

// deployment starts one, grows it, and removes it.
func (b *bench) deployment(ctx context.Context, dir string, regions []string) (err error) {
	b.stepf("%s: starting", strings.Join(regions, ", "))
	d, err := start(ctx, b.binary, dir, regions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop(), os.RemoveAll(dir)) }()
	if err := d.prepare(ctx); err != nil {
		return err
	}
	g := &grower{d: d, workers: b.o.workers, left: b.o.limit}
	for _, wanted := range b.o.organizations {
		s := growth.Step{Regions: regions, Wanted: wanted}
		if err := b.step(ctx, g, &s); err != nil {
			return fmt.Errorf("%d regions, %d organizations: %w", len(regions), wanted, err)
		}
		b.run.Steps = append(b.run.Steps, s)
		if s.Why != "" {
			b.warnf("%d organizations were wanted, %d reached: %s", wanted, s.Organizations, s.Why)
			break
		}
	}
	return nil
}

// step grows to what is wanted and measures.
func (b *bench) step(ctx context.Context, g *grower, s *growth.Step) error {
	d := g.d
	b.stepf("%d regions: growing to %d organizations", len(s.Regions), s.Wanted)
	before := len(g.made)
	if err := g.grow(ctx, s); err != nil {
		return err
	}
	c := s.Creation
	b.stepf("  %d in %.1f s: %.0f organizations/s, %.0f events/s", c.Organizations, c.Seconds, c.PerSecond(), c.EventsPerSecond())
	if c.Limited > 0 {
		b.warnf("the server limited %d calls: the rate of creation is server.limits', not the machine's", c.Limited)
	}
	s.Memory = d.memory()
	var err error
	if s.Disk, err = d.disk(ctx); err != nil {
		return err
	}
	b.stepf("  without load")
	if s.Idle, err = d.idle(ctx, b.o.idle); err != nil {
		return err
	}
	b.stepf("  lag, checks, following")
	if err := b.ask(ctx, g, s, before); err != nil {
		return err
	}
	b.stepf("  restarting an authz process")
	s.Restart, err = d.restart(ctx, g.homed(s.Regions[0])[0])
	return err
}

// ask measures what answers take.
func (b *bench) ask(ctx context.Context, g *grower, s *growth.Step, before int) (err error) {
	first := s.Regions[0]
	if s.Cold, s.Again, s.Graphs, err = g.d.cold(ctx, g.fresh(first, before, b.o.cold)); err != nil {
		return err
	}
	if s.Checks, err = g.d.checks(ctx, g.fresh(first, before, b.o.samples), b.o.seconds); err != nil {
		return err
	}
	if s.Lags, err = g.d.lags(ctx, g, b.o.samples); err != nil {
		return err
	}
	s.Follow, err = g.d.follow(ctx, g.fresh(first, before, b.o.samples), b.o.seconds, s.Idle)
	return err
}

// stepf prints what happens, for people.
func (b *bench) stepf(format string, args ...any) {
	fmt.Fprintf(b.stderr, "%7.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

func (b *bench) warnf(format string, args ...any) { b.stepf("WARNING: "+format, args...) }

// machine says where the figures come from.
func machine(ctx context.Context, root string) string {
	cmd := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD")
	cmd.Dir = root
	commit, err := output(cmd)
	if err != nil {
		commit = "unknown"
	}
	return fmt.Sprintf("%s. %d cores, %s/%s, %s. Meridian %s.", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(),
		runtime.GOOS, runtime.GOARCH, runtime.Version(), commit)
}
