// Package feed tells a deny map what was taken back, from the shared log, and says how
// old what it told may be.
package feed

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/bus"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// Config is what a Feed needs.
type Config struct {
	// Bus and Deny are required.
	Bus  *bus.Bus
	Deny *accesstoken.Deny
	// Clock is the database's, by which events are committed; nil means time.Now.
	Clock func() time.Time
	// Metrics may be nil; a nil Log is silent.
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

const (
	// margin is how much further back the streams are read than it matters: clocks differ.
	margin = 10 * time.Second
	// again is what is read again after an interruption.
	again      = time.Minute
	firstPause = 50 * time.Millisecond
	maxPause   = 2 * time.Second
	// settleTimeout bounds how long the streams of a region that moved are looked for.
	settleTimeout = 3 * time.Second
	// longestCommit is how long after the time of its events a commit is made at the latest:
	// the database ends statements after it.
	longestCommit = 30 * time.Second
)

// Feed reads every stream of the region: first what was stored in the time for which
// access tokens live, and then what comes. It reads them itself, in full, because a
// revocation that is missed is one that does not hold.
type Feed struct {
	c       Config
	metrics *metrics
	beats   *beats
}

// New makes a feed. It panics without a bus or a deny map.
func New(c Config) *Feed {
	if c.Bus == nil || c.Deny == nil {
		panic("feed: a bus and a deny map are needed")
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	f := &Feed{c: c}
	f.beats = newBeats(c.Bus.Streams(), f.canary)
	f.metrics = newMetrics(c.Metrics, f)
	return f
}

// Age says how long ago the commit was up to which everything that was taken back, in
// any region, is in the deny map; or how far this clock is behind that commit, because
// then it says nothing of how old it is. known is false before that is so for all regions.
func (f *Feed) Age() (age time.Duration, known bool) {
	oldest, known := f.Complete()
	if !known {
		return 0, false
	}
	return f.c.Clock().Sub(oldest).Abs(), true
}

// Complete says when that commit was.
func (f *Feed) Complete() (until time.Time, known bool) { return f.beats.oldest() }

// canary measures how long it takes from a commit until what it ended is refused here,
// whether or not anything is revoked: a heartbeat counts once all that was committed
// before its clock was read, and is enforced.
func (f *Feed) canary(h bus.Heartbeat) {
	f.metrics.canary.WithLabelValues(h.HomeRegion).Observe(max(0, f.c.Clock().Sub(h.Clock).Seconds()))
}

// Run reads until ctx ends. The bus being away is no error: the map ages meanwhile. It
// returns nil.
func (f *Feed) Run(ctx context.Context) error {
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

// follow reads one stream until ctx ends: first what matters still, and after each
// interruption the minute before it, in case that a server lost what it had written
// last. A stream that was made anew is read as the first time.
func (f *Feed) follow(ctx context.Context, s bus.Stream) {
	var reached time.Time // when it was read last; zero: it was not
	for pause := firstPause; ctx.Err() == nil; {
		err := f.read(ctx, s, later(f.c.Clock().Add(-accesstoken.Keep-margin), reached.Add(-again)), &reached)
		switch {
		case errors.Is(err, bus.ErrResumed):
			pause = firstPause
			continue
		case errors.Is(err, bus.ErrReplaced):
			pause, reached = firstPause, time.Time{}
			continue
		case ctx.Err() == nil:
			f.c.Log.WarnContext(ctx, "revocations cannot be followed", slog.String("stream", s.Name), slog.Any("error", err))
		}
		pause = rest(ctx, pause)
	}
}

// read reads one stream from what was stored at a time on, until something breaks.
func (f *Feed) read(ctx context.Context, s bus.Stream, since time.Time, reached *time.Time) error {
	from, end, err := f.c.Bus.Since(ctx, s.Name, since)
	if err != nil {
		return err
	}
	reader, err := f.c.Bus.Read(ctx, bus.ReadOptions{Stream: s.Name, After: from.Sequence, Created: from.Created})
	if err != nil {
		return err
	}
	defer reader.Close()
	f.beats.started(s, reader.Start())
	for {
		m, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		f.learn(ctx, m, m.Sequence > end.Sequence)
		f.beats.passed(s, m.Sequence)
		if m.Sequence >= end.Sequence {
			*reached = f.c.Clock()
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// learn takes in what an event takes back. live: it came just now.
func (f *Feed) learn(ctx context.Context, m bus.Message, live bool) {
	if m.Log == "" {
		return // the relay did not write it
	}
	recorded, err := m.Decode()
	if err != nil {
		f.unread(ctx, &logv1.Envelope{Log: m.Log, Sequence: m.LogSequence}, f.c.Clock(), err)
		return
	}
	if !accesstoken.Concerns(recorded.Envelope.GetType()) {
		return
	}
	committed := recorded.Envelope.GetTime().AsTime()
	visible := f.visible(committed, m.Stored, live)
	event, err := recorded.Message()
	if err != nil {
		f.unread(ctx, recorded.Envelope, visible, err)
		return
	}
	entries, known := accesstoken.Ended(recorded.Envelope, event)
	if !known {
		f.unread(ctx, recorded.Envelope, visible, errors.New("the type of the event is not known"))
		return
	}
	f.deny(entries, visible)
	if live && len(entries) > 0 {
		f.metrics.enforced.Observe(max(0, f.c.Clock().Sub(committed).Seconds()))
	}
}

// visible is when an event was for everybody to read, at the latest. It was not at the
// time that it bears, which is before its commit: whoever asked in between was told of
// what is over as if it went on, and may have made a token.
func (f *Feed) visible(committed, stored time.Time, live bool) time.Time {
	seen := stored
	if live {
		seen = f.c.Clock() // the one by which tokens are made
	}
	if longest := committed.Add(longestCommit); seen.After(longest) {
		return longest
	}
	return later(committed, seen)
}

// unread makes up for an event of which it is not known what it says: it may take back
// anything that the owner of its log has.
func (f *Feed) unread(ctx context.Context, e *logv1.Envelope, visible time.Time, err error) {
	f.metrics.unread.Inc()
	f.c.Log.ErrorContext(ctx, "an event that may revoke something cannot be read", slog.String("log", e.GetLog()),
		slog.Uint64("sequence", e.GetSequence()), slog.Any("error", err))
	entries := accesstoken.EndedAll(e)
	if len(entries) == 0 { // of the platform: it may be about any client, and any key
		f.c.Deny.DenyUntil(visible)
	}
	f.deny(entries, visible)
}

// deny takes in what ended at a time.
func (f *Feed) deny(entries []accesstoken.Entry, at time.Time) {
	for i := range entries {
		entries[i].NotBefore = at
	}
	if len(entries) > 0 {
		f.c.Deny.Add(entries...)
	}
}

// listen takes in heartbeats until ctx ends.
func (f *Feed) listen(ctx context.Context) {
	for pause := firstPause; ctx.Err() == nil; pause = rest(ctx, pause) {
		stop, err := f.c.Bus.Heartbeats(ctx, func(h bus.Heartbeat) {
			if before, moved := f.beats.heard(h); moved {
				go f.settle(ctx, h, before)
			}
		})
		if err == nil {
			<-ctx.Done()
			stop()
			return
		}
		f.c.Log.WarnContext(ctx, "heartbeats cannot be followed", slog.Any("error", err))
	}
}

// settle makes up for a relay that publishes a region's events into another stream than
// the one before: what the last one published there, until it was lost, must have been
// read. Where that stream cannot be had, nobody knows what it was, and every token that
// was made until now is refused. Clients get others, which come after all of it.
func (f *Feed) settle(ctx context.Context, h bus.Heartbeat, before string) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	end, err := f.c.Bus.End(ctx, before)
	if err == nil {
		err = f.beats.reach(ctx, before, end.Sequence)
	}
	if err != nil {
		f.c.Deny.DenyUntil(f.c.Clock())
		f.c.Log.WarnContext(ctx, "the stream of a lost region was not read to its end: tokens that were made until now are refused",
			slog.String("home_region", h.HomeRegion), slog.String("stream", before), slog.Any("error", err))
	}
	f.beats.settled(h)
}

// rest waits for a pause, or until ctx ends, and returns the next one.
func rest(ctx context.Context, pause time.Duration) time.Duration {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return min(2*pause, maxPause)
}
