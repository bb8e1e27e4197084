package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-iam/meridian/services/meridian/internal/topology"
)

// Target is a deployment that a drill breaks and heals.
type Target interface {
	// Regions, the platform's home first.
	Regions() []string
	// Token is the platform's, of level admin.
	Token() string
	// URLs are where callers in a region reach all regions, the nearest first.
	URLs(from string) []string
	// Audits are where all services of a region answer to log verify.
	Audits(region string) []string
	// Delay is the one-way delay between two regions.
	Delay(from, to string) time.Duration
	// Database says which one, with its version.
	Database() string
	// Break does what a scenario does to a region; say is told of what else is
	// done until Heal, which undoes it and returns when every part has been
	// started again.
	Break(ctx context.Context, scenario, region string, say func(text string)) error
	Heal(ctx context.Context, scenario, region string) error
}

// local is a topology on this machine.
type local struct {
	*topology.Deployment

	regions []string
	// other is another build of the program, for the rolling upgrade.
	other string
	// seed repeats the faults of chaos.
	seed   uint64
	mayhem *mayhem
}

// Regions implements Target.
func (l *local) Regions() []string { return l.regions }

// Token implements Target.
func (l *local) Token() string { return l.Deployment.Token }

// Database implements Target.
func (l *local) Database() string { return l.Deployment.Database }

// Break implements Target.
func (l *local) Break(ctx context.Context, scenario, region string, say func(text string)) error {
	r, err := l.Region(region)
	if err != nil {
		return err
	}
	switch scenario {
	case RegionLoss:
		return l.Lose(ctx, r)
	case RegionIsolation:
		return l.Isolate(r)
	case NATSLoss:
		return killAll(r.Servers())
	case DatabaseLoss:
		return l.KillDatabase()
	case SlowLink:
		return l.Slow(slowFactor)
	case RelayCrash:
		return r.Processes[topology.Relay].Kill()
	case ClockSkew:
		return l.skew(ctx, r, skewed)
	case RollingUpgrade:
		return l.upgrade(ctx, l.other)
	case Chaos:
		l.mayhem = l.begin(ctx, l.seed, say)
		return nil
	}
	return fmt.Errorf("there is no drill %q", scenario)
}

// Heal implements Target.
func (l *local) Heal(ctx context.Context, scenario, region string) error {
	r, err := l.Region(region)
	if err != nil {
		return err
	}
	switch scenario {
	case RegionLoss:
		return l.Restore(ctx, r)
	case RegionIsolation:
		return l.Rejoin(ctx, r)
	case NATSLoss:
		return startAll(ctx, r.Servers())
	case DatabaseLoss:
		return l.RestartDatabase(ctx)
	case SlowLink:
		return l.Slow(1)
	case RelayCrash:
		return r.Processes[topology.Relay].Start(ctx)
	case ClockSkew:
		return l.skew(ctx, r, 0)
	case RollingUpgrade:
		return l.upgrade(ctx, "")
	case Chaos:
		return l.mayhem.end()
	}
	return fmt.Errorf("there is no drill %q", scenario)
}

// The sizes of faults.
const (
	// slowFactor is how many times as slow a slow link is.
	slowFactor = 8
	// skewed is how far a clock is off: more than any bound of staleness.
	skewed = -2 * time.Minute
)

// skew sets the clock of a region's machines.
func (l *local) skew(ctx context.Context, r *topology.Region, by time.Duration) error {
	if err := l.Skew(r, by); err != nil {
		return err
	}
	return restart(ctx, r)
}

// upgrade makes one region after another run another build; empty means the
// first one.
func (l *local) upgrade(ctx context.Context, binary string) error {
	for _, r := range l.Deployment.Regions {
		l.Install(r, binary)
		if err := restart(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// restart stops and starts a region's services, each in order and one at a
// time, as a roll-out does.
func restart(ctx context.Context, r *topology.Region) error {
	for _, p := range r.Services() {
		if err := p.Stop(); err != nil {
			return err
		}
		if err := p.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func killAll(processes []*topology.Process) error {
	for _, p := range processes {
		if err := p.Kill(); err != nil {
			return err
		}
	}
	return nil
}

func startAll(ctx context.Context, processes []*topology.Process) error {
	for _, p := range processes {
		if err := p.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}
