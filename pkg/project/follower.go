package project

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// Follower reads the region's streams once for the whole process and keeps any
// number of replicas of logs up to date. Its methods may be called from many
// goroutines.
type Follower struct {
	c       Config
	metrics *metrics
	table   *table
	fresh   *freshness

	// ctx ends when Run does; attachments end with it.
	ctx    context.Context //nolint:containedctx // the life of the follower, not of a call
	cancel context.CancelFunc

	// generation counts the times that events may have been missed, from 1. An
	// attachment that confirmed with the events table since then has them all.
	generation atomic.Uint64
	// strict is the newest generation that only the events table can confirm.
	strict atomic.Uint64

	mu       sync.RWMutex
	attached map[string][]*Attachment
	watchers map[*watcher]struct{}
}

// NewFollower returns a follower. Run starts to follow; Attach works before
// that, too.
func NewFollower(c Config) *Follower {
	c = c.withDefaults("replicas")
	m := newMetrics(c.Metrics, c.Name)
	f := &Follower{
		c: c, metrics: m, table: newTable(c, m),
		attached: make(map[string][]*Attachment), watchers: make(map[*watcher]struct{}),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.generation.Store(1)
	f.fresh = newFreshness(f)
	return f
}

// Run follows until ctx ends; then the attachments stop as well. The bus being
// away is no error: replicas age meanwhile and say so. Run may be called once.
//
// Errors: a configuration that cannot work.
func (f *Follower) Run(ctx context.Context) error {
	defer f.cancel()
	if err := f.c.check(); err != nil {
		return err
	}
	var group errgroup.Group
	for _, s := range f.c.Bus.Streams() {
		group.Go(func() error {
			f.follow(ctx, s)
			return nil
		})
	}
	group.Go(func() error {
		f.listen(ctx)
		return nil
	})
	return group.Wait()
}

// listen takes in heartbeats until ctx ends.
func (f *Follower) listen(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		stop, err := f.c.Bus.Heartbeats(ctx, f.fresh.heard)
		if err == nil {
			<-ctx.Done()
			stop()
			return
		}
		f.c.Log.WarnContext(ctx, "heartbeats cannot be followed", slog.String("error", err.Error()))
		pause = sleep(ctx, pause)
	}
}

// follow reads one stream from its end until ctx ends.
func (f *Follower) follow(ctx context.Context, s bus.Stream) {
	pause, first := firstPause, true
	for ctx.Err() == nil {
		reader, err := f.c.Bus.Read(ctx, bus.ReadOptions{Stream: s.Name, FromEnd: true})
		if err != nil {
			f.c.Log.WarnContext(ctx, "stream cannot be followed", slog.String("stream", s.Name), slog.String("error", err.Error()))
			pause = sleep(ctx, pause)
			continue
		}
		pause = firstPause
		// In this order: a heartbeat whose position is passed from here on counts only
		// for those who have asked for what was before.
		f.missed(!first)
		f.fresh.started(s, reader.Start())
		first = false
		f.read(ctx, s, reader)
		reader.Close()
	}
}

// read hands on live events until ctx ends or the stream is replaced.
func (f *Follower) read(ctx context.Context, s bus.Stream, reader *bus.Reader) {
	for {
		m, err := reader.Next(ctx)
		switch {
		case err == nil:
			f.dispatch(m)
			f.fresh.passed(s, m.Sequence)
		case errors.Is(err, bus.ErrResumed):
			f.missed(false)
		case errors.Is(err, bus.ErrReplaced):
			f.c.Log.ErrorContext(ctx, "stream was lost and made anew", slog.String("stream", s.Name))
			return
		default:
			return
		}
	}
}

// missed makes every attachment ask the events table whether it has everything.
// strict: the streams cannot tell.
func (f *Follower) missed(strict bool) {
	generation := f.generation.Add(1)
	if strict {
		f.strict.Store(generation)
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, attachments := range f.attached {
		for _, a := range attachments {
			a.request(fromTable)
		}
	}
}

// dispatch decodes a live event once for all who want it.
func (f *Follower) dispatch(m bus.Message) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	attachments := f.attached[m.Log]
	if len(attachments) == 0 && len(f.watchers) == 0 {
		return
	}
	recorded, err := m.Decode()
	for _, a := range attachments {
		a.enqueue(live{event: recorded, sequence: m.LogSequence, err: err})
	}
	if err != nil {
		f.c.Log.Error("message of the stream is no event", slog.String("stream", m.Stream),
			slog.Uint64("stream_sequence", m.Sequence), slog.String("error", err.Error()))
		return
	}
	for w := range f.watchers {
		w.offer(recorded)
	}
}

// Attach starts to keep a replica of a log that has applied everything up to
// from (0: nothing). apply gets each event after from exactly once, in order, in
// batches of up to 1,000, from one goroutine: first what exists, then what
// comes. It must not keep the slice.
//
// An error of apply, or a panic, halts this attachment and no other: see Err.
// The log need not exist yet.
func (f *Follower) Attach(log string, from uint64, apply func(ctx context.Context, batch []eventlog.Recorded) error) *Attachment {
	a := newAttachment(f, log, from, apply)
	f.mu.Lock()
	f.attached[log] = append(f.attached[log], a)
	f.metrics.attached.Inc()
	f.mu.Unlock()
	a.request(fromStream)
	go a.run()
	return a
}

func (f *Follower) detach(a *Attachment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rest := f.attached[a.log][:0:0]
	for _, other := range f.attached[a.log] {
		if other != a {
			rest = append(rest, other)
		}
	}
	if len(rest) == len(f.attached[a.log]) {
		return
	}
	f.metrics.attached.Dec()
	if f.attached[a.log] = rest; len(rest) == 0 {
		delete(f.attached, a.log)
	}
}

// sleep waits for about a pause, or until ctx ends, and returns the next pause.
func sleep(ctx context.Context, pause time.Duration) time.Duration {
	timer := time.NewTimer(pause/2 + rand.N(pause))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return min(2*pause, longestPause)
}
