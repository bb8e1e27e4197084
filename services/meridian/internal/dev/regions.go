package dev

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/meridian-iam/meridian/services/meridian/internal/topology"
)

// RegionsOptions say how to run several regions.
type RegionsOptions struct {
	Options

	// Regions, the platform's home first.
	Regions []string
	// Servers of each NATS cluster, 1 or 3.
	Servers int
	// DatabaseDelay is the way from a region to the database.
	DatabaseDelay time.Duration
	// Binary is the program to run; empty means this one.
	Binary string
}

// RunRegions runs a deployment of several regions until ctx ends. started is
// called once everything answers, after Dir/dev.json was written.
func RunRegions(ctx context.Context, o RegionsOptions, started func(Ready, *topology.Deployment)) error {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil { //nolint:gosec // the database's own account passes through it
		return fmt.Errorf("folder %s: %w", o.Dir, err)
	}
	unlock, err := lock(o.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	if o.Binary == "" {
		if o.Binary, err = os.Executable(); err != nil {
			return err
		}
	}
	d, err := topology.Start(ctx, topology.Plan{
		Dir: filepath.Join(o.Dir, "regions"), Binary: o.Binary, Regions: o.Regions, Servers: o.Servers,
		Listen: o.Listen, DatabaseDelay: o.DatabaseDelay, Step: o.Step,
	})
	if err != nil {
		return err
	}
	defer func() { _ = d.Stop(context.WithoutCancel(ctx)) }() // what is left is killed
	ready := Ready{URL: d.Regions[0].URL, AdminToken: d.Token, PID: os.Getpid(), Regions: map[string]string{}, Links: d.API()}
	for _, r := range d.Regions {
		ready.Regions[r.Name] = r.URL
	}
	o.Step("seeding the demo model and the demo organization")
	if ready.Organization, err = seed(ctx, ready.URL, ready.AdminToken); err != nil {
		return fmt.Errorf("demo data: %w", err)
	}
	if err := write(o.Dir, ready); err != nil {
		return err
	}
	started(ready, d)
	<-ctx.Done()
	return nil
}
