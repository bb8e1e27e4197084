package topology

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// burning is how long a region that is being lost still commits and publishes
// what no other region hears of.
const burning = time.Second

// Lose ends a region as a fire does: the links of its bus to other regions go
// first, then all processes are killed, and nothing reaches it or leaves it. What
// it published last is in its own streams only. A cluster loses its node there.
func (d *Deployment) Lose(ctx context.Context, r *Region) error {
	for _, link := range d.Links(r) {
		if link.Carries == carriesBus {
			if err := d.links.Cut(link); err != nil {
				return err
			}
		}
	}
	timer := time.NewTimer(burning)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	r.edge.close()
	var group errgroup.Group
	for _, p := range r.Processes {
		group.Go(p.Kill)
	}
	if d.cluster != nil {
		group.Go(func() error { return d.cluster.Kill(r.Name) })
	}
	return errors.Join(group.Wait(), d.Isolate(r))
}

// Restore starts a region that was lost, with what its disks still have.
func (d *Deployment) Restore(ctx context.Context, r *Region) error {
	if err := d.Rejoin(ctx, r); err != nil {
		return err
	}
	return d.startRegion(ctx, r)
}

// Isolate cuts all links of a region, also that to the database, unless the
// region has a node of it: that one is cut off from the other nodes instead. Its
// processes go on, and answer callers inside the region.
func (d *Deployment) Isolate(r *Region) error {
	return d.each(r, func(link *Link) error {
		if d.clustered && link.Carries == carriesDatabase {
			return nil
		}
		return d.links.Cut(link)
	})
}

// Rejoin heals all links of a region.
func (d *Deployment) Rejoin(ctx context.Context, r *Region) error {
	return d.each(r, func(link *Link) error { return d.links.Heal(ctx, link) })
}

// Links are the links that begin or end in a region.
func (d *Deployment) Links(r *Region) []*Link {
	return slices.DeleteFunc(slices.Clone(d.links.all), func(k *Link) bool { return !k.touches(r.Name) })
}

// Cut drops everything that a link carries, until Mend.
func (d *Deployment) Cut(link *Link) error { return d.links.Cut(link) }

// Mend ends a cut.
func (d *Deployment) Mend(ctx context.Context, link *Link) error { return d.links.Heal(ctx, link) }

func (d *Deployment) each(r *Region, do func(*Link) error) error {
	for _, link := range d.Links(r) {
		if err := do(link); err != nil {
			return err
		}
	}
	return nil
}

// Slow makes the links between regions several times as slow, and their delays
// uneven. A factor of 1 is as they were.
func (d *Deployment) Slow(factor int) error {
	for _, link := range d.links.all {
		delay := d.plan.delay(link.From, link.To) * time.Duration(factor)
		jitter := delay / jitterShare
		if factor > 1 {
			jitter = delay / 2
		}
		if err := d.links.Slow(link, delay, jitter); err != nil {
			return err
		}
	}
	return nil
}

// Skew sets how far the clocks of a region's machines are off, from the next
// start of their processes on.
func (d *Deployment) Skew(r *Region, by time.Duration) error {
	if d.plan.Skews == nil {
		d.plan.Skews = map[string]time.Duration{}
	}
	d.plan.Skews[r.Name] = by
	for _, service := range services() {
		if _, err := d.writeNode(r, service); err != nil {
			return err
		}
	}
	return nil
}

// Install makes a region's services run another program from their next start
// on; empty means the plan's.
func (d *Deployment) Install(r *Region, binary string) {
	if binary == "" {
		binary = d.plan.binary(r.Name)
	}
	for _, p := range r.Services() {
		p.Use(binary)
	}
}
