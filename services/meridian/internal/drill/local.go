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
	// Seed repeats the random faults of chaos.
	Seed uint64
	// Servers of each NATS cluster.
	Servers int
	Step    func(text string)
}

// Local starts a deployment on this machine to be broken. stop ends it, and
// keeps its folder, with the logs, if it is told to.
func Local(ctx context.Context, o LocalOptions) (_ Target, stop func(keep bool) error, err error) {
	temporary := o.Dir == ""
	if temporary {
		if o.Dir, err = os.MkdirTemp("", "meridian-drill-"); err != nil {
			return nil, nil, fmt.Errorf("folder of the drill: %w", err)
		}
	}
	d, err := topology.Start(ctx, topology.Plan{
		Dir: o.Dir, Binary: o.Binary, Regions: o.Regions, Servers: o.Servers, Step: o.Step,
	})
	if err != nil {
		return nil, nil, err
	}
	stop = func(keep bool) error {
		if err := d.Stop(context.WithoutCancel(ctx)); err != nil || keep || !temporary {
			return err
		}
		return os.RemoveAll(o.Dir)
	}
	return &local{Deployment: d, regions: o.Regions, other: o.Other, seed: o.Seed}, stop, nil
}
