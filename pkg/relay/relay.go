// Package relay publishes committed events from the outbox to JetStream.
//
// A relay publishes each log strictly in order and may repeat: it marks an
// append as published only after JetStream acknowledged all of its events, so a
// crash in between publishes them again. Two relays at once do no harm, because
// consumers order and de-duplicate by (log, sequence).
package relay

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// Config is what a relay needs. Zero values mean the defaults named.
type Config struct {
	// DB is only read, by Rebuild and when a stream is filled again.
	DB    *sqldb.DB
	Store *eventlog.Store
	Bus   *bus.Bus
	// Region is the home region whose outbox is relayed. It may be another than
	// the bus's: then this relay takes over for a lost region.
	Region string
	// Holder names this process in the lease; a process that starts again takes a
	// new name.
	Holder string
	// Sweep is how often the outbox is looked at without a nudge, and how often
	// heartbeats are sent. 250 ms.
	Sweep time.Duration
	// Lease is how long a relay that died keeps others waiting. 5 s.
	Lease time.Duration
	// Yield is how long publishing may fail before this relay gives its lease to a
	// relay of another region; 0 means for ever: there is no other.
	Yield time.Duration
	// StopWithin bounds the last round after Run's context ended. 5 s.
	StopWithin time.Duration
	// Page is how many appends are read at once. 500.
	Page int
	// Workers is how many logs are published at once. 8.
	Workers int
	// Clock is the wall clock; nil means time.Now.
	Clock func() time.Time
	// Metrics may be nil.
	Metrics prometheus.Registerer
	Log     *slog.Logger
	// Hooks are for tests that stop the relay at a certain place.
	Hooks Hooks
}

// Hooks are called inside a round; each may be nil.
type Hooks struct {
	// BeforePublish is called before an event is published. An error counts as a
	// failure to publish.
	BeforePublish func(r eventlog.Recorded) error
	// AfterPublish is called when JetStream acknowledged an event.
	AfterPublish func(r eventlog.Recorded)
	// BeforeMark is called when everything in p was acknowledged.
	BeforeMark func(p []eventlog.Pending)
	// AfterMark is called when p was marked as published.
	AfterMark func(p []eventlog.Pending)
	// AfterFill is called when a stream was filled, with the number of events.
	AfterFill func(events uint64)
}

// Relay publishes one region's outbox.
type Relay struct {
	c       Config
	metrics *metrics
	wake    chan struct{}
	lease   lease
	// adopted says that fill is known to hold everything that was published.
	adopted  bool
	fill     eventlog.Fill
	failures int
	yield    yield
	// idleUntil is when to try again after failures.
	idleUntil time.Time
	back      atomic.Bool // the bus is: try at once
	beaten    time.Time
	counted   time.Time
}

// New returns a relay. Run starts it.
func New(c Config) *Relay {
	c.Sweep = orDefault(c.Sweep, 250*time.Millisecond)
	c.Lease = orDefault(c.Lease, 5*time.Second)
	c.StopWithin = orDefault(c.StopWithin, 5*time.Second)
	c.Page = min(orDefault(c.Page, 500), eventlog.MaxOutbox)
	c.Workers = orDefault(c.Workers, 8)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With(slog.String("home_region", c.Region))
	return &Relay{c: c, metrics: newMetrics(c.Metrics, c.Region), wake: make(chan struct{}, 1)}
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// Nudge wakes the relay when region is its own. It never blocks.
func (r *Relay) Nudge(region string) {
	if region != r.c.Region {
		return
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// hurry ends a back-off when the bus is back: what failed may work now.
func (r *Relay) hurry() {
	r.back.Store(true)
	r.Nudge(r.c.Region)
}

// Run relays until ctx ends; then it finishes the round that is under way,
// within StopWithin, and gives the lease back. Without the lease it stands by.
// The database or the bus being away is no error: it tries again. Run may be
// called once.
//
// Errors: a configuration that cannot work.
func (r *Relay) Run(ctx context.Context) error {
	if r.c.Store == nil || r.c.Bus == nil || r.c.Region == "" || r.c.Holder == "" {
		return errors.New("relay: store, bus, region and holder are required")
	}
	unsubscribe, err := r.c.Bus.Nudges(r.c.Region, func() { r.Nudge(r.c.Region) })
	if err != nil {
		r.c.Log.WarnContext(ctx, "relay works without remote nudges", slog.String("error", err.Error()))
		unsubscribe = func() {}
	}
	defer unsubscribe()
	defer r.c.Bus.Reconnected(r.hurry)()
	work, cancel := outlast(ctx, r.c.StopWithin)
	defer cancel()
	defer r.release(work)
	if !r.home() {
		// A region that starts, too, gets its own lease first.
		r.lease.renew = r.c.Clock().Add(r.c.Lease)
	}

	ticker := time.NewTicker(r.c.Sweep)
	defer ticker.Stop()
	for tick := true; ; {
		r.turn(ctx, work, tick)
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
			tick = false
		case <-ticker.C:
			tick = true
		}
	}
}

// outlast returns a context that ends a while after ctx.
func outlast(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(by)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-work.Done():
		}
		cancel()
	})
	return work, func() {
		stop()
		cancel()
	}
}

// turn is what one nudge or tick causes. stop says when to begin nothing new.
func (r *Relay) turn(stop, work context.Context, tick bool) {
	if r.back.Load() {
		r.resume()
	}
	if !r.lead(work) {
		return
	}
	if tick {
		r.count(work)
	}
	if r.back.Swap(false) {
		r.adopted = false // it may be another stream now
	} else if r.c.Clock().Before(r.idleUntil) {
		return
	}
	if err := r.adopt(stop, work); err != nil {
		r.settle(work, err)
		return
	}
	clock, drained, err := r.drain(stop, work)
	if err == nil && drained && (tick || r.c.Clock().Sub(r.beaten) >= r.c.Sweep/2) {
		err = r.beat(work, clock)
	}
	r.settle(work, err)
}

// settle decides when to try again, and whether another should.
func (r *Relay) settle(ctx context.Context, err error) {
	r.yielding(ctx, err)
	if err == nil {
		r.failures = 0
		return
	}
	r.failures++
	r.metrics.failures.Inc()
	pause := min(50*time.Millisecond<<min(r.failures, 7), 5*time.Second)
	pause = pause/2 + rand.N(pause/2)
	r.idleUntil = r.c.Clock().Add(pause)
	r.c.Log.WarnContext(ctx, "relay round failed", slog.String("error", err.Error()),
		slog.Int("failures", r.failures), slog.Duration("retry_after", pause))
}
