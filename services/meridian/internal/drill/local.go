package drill

import (
	"context"
	"fmt"
	"os"

	"github.com/meridian-iam/meridian/services/meridian/internal/topology"
)

// LocalOptions say which topology to start for drills.
type LocalOptions struct {
	// Dir keeps everything; empty means a new folder that is removed again.
	Dir string
	// Binary is the meridian program that runs, Other another build of it for the
	// rolling upgrade.
	Binary, Other string
	Regions       []string
	// Servers of each NATS cluster.
	Servers int
	Step    func(text string)
}

// Local starts a deployment on this machine to be broken. stop ends it.
func Local(ctx context.Context, o LocalOptions) (_ Target, stop func() error, err error) {
	remove := func() error { return nil }
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "meridian-drill-"); err != nil {
			return nil, nil, fmt.Errorf("folder of the drill: %w", err)
		}
		remove = func() error { return os.RemoveAll(o.Dir) }
	}
	d, err := topology.Start(ctx, topology.Plan{
		Dir: o.Dir, Binary: o.Binary, Regions: o.Regions, Servers: o.Servers, Step: o.Step,
	})
	if err != nil {
		return nil, nil, err
	}
	stop = func() error {
		if err := d.Stop(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		return remove()
	}
	return &local{Deployment: d, regions: o.Regions, other: o.Other}, stop, nil
}
