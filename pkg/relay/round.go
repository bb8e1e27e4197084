package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// drain publishes pages of the outbox until it is empty. drained says that
// everything that was committed before clock is published.
func (r *Relay) drain(stop, work context.Context) (clock time.Time, drained bool, err error) {
	for stop.Err() == nil && r.lead(work) {
		pending, asOf, readErr := r.c.Store.Outbox(work, r.c.Region, r.c.Page)
		published, publishErr := r.publish(work, pending)
		markErr := r.mark(work, published)
		if err := errors.Join(readErr, publishErr, markErr); err != nil {
			return time.Time{}, false, err
		}
		if !asOf.IsZero() && len(published) == len(pending) {
			return asOf, true, nil
		}
	}
	return time.Time{}, false, nil
}

// publish sends each log's appends in order, and several logs at once. A log
// whose event fails stops there; the others go on. All stop early enough to mark
// what they did while the lease is held. It returns the appends of which every
// event was acknowledged.
func (r *Relay) publish(ctx context.Context, pending []eventlog.Pending) ([]eventlog.Pending, error) {
	if len(pending) == 0 {
		return nil, nil
	}
	var logs []string
	byLog := make(map[string][]eventlog.Pending)
	for _, p := range pending {
		if _, ok := byLog[p.Log]; !ok {
			logs = append(logs, p.Log)
		}
		byLog[p.Log] = append(byLog[p.Log], p)
	}
	var (
		mu        sync.Mutex
		published []eventlog.Pending
		failed    error
		progress  atomic.Bool
		group     errgroup.Group
	)
	group.SetLimit(r.c.Workers)
	for _, log := range logs {
		group.Go(func() error {
			n, err := r.publishLog(ctx, byLog[log], &progress)
			mu.Lock()
			defer mu.Unlock()
			published = append(published, byLog[log][:n]...)
			if err != nil && failed == nil {
				failed = err
			}
			return nil
		})
	}
	_ = group.Wait() // the functions return no error
	return published, failed
}

// publishLog sends appends of one log and returns how many it completed.
// progress says whether any log of this round completed one.
func (r *Relay) publishLog(ctx context.Context, appends []eventlog.Pending, progress *atomic.Bool) (int, error) {
	for i, p := range appends {
		if progress.Load() && r.remaining() < r.c.Lease/2 {
			return i, nil
		}
		for _, e := range p.Events {
			if err := r.publishEvent(ctx, e); err != nil {
				return i, fmt.Errorf("publish %s: %w", p.Log, err)
			}
		}
		progress.Store(true)
		r.metrics.visible.Observe(max(0, r.c.Clock().Sub(p.RecordedAt).Seconds()))
	}
	return len(appends), nil
}

func (r *Relay) publishEvent(ctx context.Context, e eventlog.Recorded) error {
	if hook := r.c.Hooks.BeforePublish; hook != nil {
		if err := hook(e); err != nil {
			return err
		}
	}
	if r.back.Load() {
		return errReconnected
	}
	start := time.Now()
	if _, err := r.c.Bus.Publish(ctx, e); err != nil {
		return err
	}
	r.metrics.publish.Observe(time.Since(start).Seconds())
	r.metrics.published.Inc()
	if hook := r.c.Hooks.AfterPublish; hook != nil {
		hook(e)
	}
	return nil
}

// mark takes what was published out of the outbox, but only while the lease is
// held, and only when it went to the stream that holds everything else: that one
// is still there after the last acknowledgement.
func (r *Relay) mark(ctx context.Context, published []eventlog.Pending) error {
	if len(published) == 0 {
		return nil
	}
	if hook := r.c.Hooks.BeforeMark; hook != nil {
		hook(published)
	}
	ctx, cancel := context.WithTimeout(ctx, r.remaining())
	defer cancel()
	if _, err := r.same(ctx); err != nil {
		return err
	}
	by := eventlog.Publisher{Holder: r.c.Holder, Epoch: r.lease.epoch, Fill: r.fill}
	marked, err := r.c.Store.MarkPublished(ctx, r.c.Region, by, published)
	if err != nil {
		return fmt.Errorf("mark published: %w", err)
	}
	if !marked {
		r.adopted, r.lease.renew = false, time.Time{}
		return errors.New("mark published: another relay has the lease, or filled another stream")
	}
	if hook := r.c.Hooks.AfterMark; hook != nil {
		hook(published)
	}
	return nil
}

// beat sends a heartbeat: everything committed before clock is published, and
// what this relay published is at or before where its stream ends now. When the
// stream is not the one that holds what was published before, there is none.
func (r *Relay) beat(ctx context.Context, clock time.Time) error {
	end, err := r.same(ctx)
	if err != nil {
		return err
	}
	r.beaten = r.c.Clock()
	return r.c.Bus.PublishHeartbeat(bus.Heartbeat{
		HomeRegion: r.c.Region, Clock: clock,
		Stream: end.Stream, Created: end.Created, Sequence: end.Sequence,
		Epoch: r.lease.epoch,
	})
}

// errReconnected ends a round in which the bus went away and came back.
var errReconnected = errors.New("the bus was away: its stream is looked at before more is published")

// errReplaced ends a round in which the stream turned out to be another.
var errReplaced = errors.New("the stream was lost, or lost its newest messages")

// same returns where the stream ends, if it is the adopted one. Else the next
// round adopts it anew.
func (r *Relay) same(ctx context.Context) (bus.Position, error) {
	end, err := r.end(ctx)
	if err != nil {
		return bus.Position{}, err
	}
	if shortened(end, r.fill) {
		r.adopted = false
		return bus.Position{}, errReplaced
	}
	r.fill.Sequence = end.Sequence
	return end, nil
}

// shortened says that a stream is not the one that was filled, or lacks its end.
func shortened(end bus.Position, fill eventlog.Fill) bool {
	return end.Stream != fill.Stream || end.Created != fill.Created || end.Sequence < fill.Sequence
}

// end returns where the stream ends; a stream that is absent is made anew.
func (r *Relay) end(ctx context.Context) (bus.Position, error) {
	stream := bus.StreamName(r.c.Bus.Region())
	end, err := r.c.Bus.End(ctx, stream)
	if err == nil {
		return end, nil
	}
	if err := r.c.Bus.Ensure(ctx); err != nil {
		return bus.Position{}, err
	}
	return r.c.Bus.End(ctx, stream)
}

func (r *Relay) count(ctx context.Context) {
	now := r.c.Clock()
	if now.Sub(r.counted) < time.Second {
		return
	}
	r.counted = now
	entries, oldest, err := r.c.Store.Backlog(ctx, r.c.Region)
	if err != nil {
		return // the round says so
	}
	r.metrics.backlog(entries, oldest, now)
}
