package drill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/meridian-iam/meridian/services/meridian/internal/topology"
)

// mayhem breaks one thing after the other, at random, until it is stopped.
type mayhem struct {
	stop context.CancelFunc
	done chan error
}

// The times of a random fault and of the pause after it.
const (
	shortestFault = 300 * time.Millisecond
	longestFault  = 3 * time.Second
	betweenFaults = 500 * time.Millisecond
)

// begin starts a mayhem with a seed. say is told of every fault.
func (l *local) begin(ctx context.Context, seed uint64, say func(text string)) *mayhem {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	m := &mayhem{stop: stop, done: make(chan error, 1)}
	go func() { m.done <- l.rage(ctx, rand.New(rand.NewPCG(seed, 0)), say) }()
	return m
}

// end stops it; the last fault is healed when it returns.
func (m *mayhem) end() error {
	m.stop()
	return <-m.done
}

func (l *local) rage(ctx context.Context, r *rand.Rand, say func(text string)) error {
	for ctx.Err() == nil {
		f := l.draw(r)
		lasts := shortestFault + rand.N(longestFault-shortestFault)
		say(fmt.Sprintf("%s for %s", f.name, lasts.Round(100*time.Millisecond)))
		err := f.begin()
		_ = wait(ctx, lasts) // an end of the drill shortens it
		if err := errors.Join(err, f.end(context.WithoutCancel(ctx))); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		_ = wait(ctx, betweenFaults)
	}
	return nil
}

// fault is something that is broken and healed again.
type fault struct {
	name  string
	begin func() error
	end   func(ctx context.Context) error
}

// draw chooses a fault: half of them end a process, a quarter pauses one, a
// quarter cuts a link; one in ten ends the database instead.
func (l *local) draw(r *rand.Rand) fault {
	if r.IntN(10) == 0 {
		return fault{"the database is killed", l.KillDatabase, l.RestartDatabase}
	}
	region := l.Deployment.Regions[r.IntN(len(l.Deployment.Regions))]
	processes := append(region.Servers(), region.Services()...)
	p := processes[r.IntN(len(processes))]
	switch r.IntN(4) {
	case 0:
		return fault{p.Name + " is stopped (SIGSTOP)", p.Pause, func(context.Context) error { return p.Continue() }}
	case 1:
		links := l.Links(region)
		link := links[r.IntN(len(links))]
		return fault{"the link " + link.Name() + " is cut", func() error { return l.Cut(link) }, func(ctx context.Context) error { return l.Mend(ctx, link) }}
	default:
		return fault{p.Name + " is killed", p.Kill, func(ctx context.Context) error { return restartKilled(ctx, p) }}
	}
}

// restartKilled starts a process again. One that cannot start, because what it
// needs was lost at the same moment, is started again as a supervisor would.
func restartKilled(ctx context.Context, p *topology.Process) error {
	var err error
	for range 5 {
		if err = p.Start(ctx); err == nil {
			return nil
		}
	}
	return err
}
