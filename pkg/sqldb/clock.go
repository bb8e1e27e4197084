package sqldb

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// sampleEvery is how often the database is asked for the time; a quartz clock
// drifts by less than maxDrift of the time since.
const (
	sampleEvery   = 5 * time.Second
	sampleTimeout = 2 * time.Second
	maxDrift      = 200 * time.Microsecond // for each second
)

// Clock tells the database's time without asking each time: what the database
// said last, and the monotonic time since. So all nodes have one time, whatever
// their own clocks show, and ages and expiries mean the same everywhere.
type Clock struct {
	db     *DB
	own    func() time.Time
	sample atomic.Pointer[sample]
}

// sample is one answer of the database.
type sample struct {
	database time.Time
	// local is when it came, with a monotonic reading.
	local time.Time
	// within is how far off it may be: half the time that asking took.
	within time.Duration
}

// NewClock asks the database for the time. Run keeps the clock right. own is
// the machine's clock, which may be off; its monotonic reading is used only.
//
// Errors: DATABASE_UNAVAILABLE.
func (db *DB) NewClock(ctx context.Context, own func() time.Time) (*Clock, error) {
	c := &Clock{db: db, own: own}
	s, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	c.sample.Store(&s)
	return c, nil
}

// Now is the database's time, UTC. While the database is away it goes on by the
// monotonic clock.
func (c *Clock) Now() time.Time {
	s := c.sample.Load()
	return s.database.Add(c.own().Sub(s.local))
}

// Run asks the database again and again until ctx ends.
func (c *Clock) Run(ctx context.Context, log *slog.Logger) error {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		s, err := c.ask(ctx)
		if err != nil {
			continue // the database's own readiness says so
		}
		if old := c.sample.Load(); s.betterThan(*old) {
			if off := s.database.Sub(old.database.Add(s.local.Sub(old.local))); off.Abs() > time.Second {
				log.WarnContext(ctx, "database's clock has jumped", slog.Duration("by", off))
			}
			c.sample.Store(&s)
		}
	}
}

// betterThan says whether a later sample is closer to the truth, with what an
// older one has drifted since. One that differs by more than both may be off
// says that the database's clock was set.
func (s sample) betterThan(old sample) bool {
	age := s.local.Sub(old.local)
	drifted := old.within + time.Duration(age.Seconds()*float64(maxDrift))
	off := s.database.Sub(old.database.Add(age)).Abs()
	return s.within <= drifted || off > drifted+s.within
}

func (c *Clock) ask(ctx context.Context) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	conn, err := c.db.pool.Acquire(ctx)
	if err != nil {
		return sample{}, Unavailable(fmt.Errorf("read clock: %w", err))
	}
	defer conn.Release()
	asked := c.own()
	var s sample
	// The simple protocol takes one round trip, also the first time.
	err = conn.QueryRow(ctx, `SELECT clock_timestamp()`, pgx.QueryExecModeSimpleProtocol).Scan(&s.database)
	if err != nil {
		return sample{}, Unavailable(fmt.Errorf("read clock: %w", err))
	}
	took := c.own().Sub(asked)
	// It was read at some time in between.
	s.within, s.local = took/2, asked.Add(took/2)
	s.database = s.database.UTC()
	return s, nil
}
