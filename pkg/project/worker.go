package project

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sabotage"
)

// run applies until the attachment is closed or the follower ends.
func (a *Attachment) run() {
	defer close(a.done)
	defer a.stop()
	for {
		select {
		case <-a.ctx.Done():
			return
		case <-a.wake:
			for a.ctx.Err() == nil && a.step() {
			}
		}
	}
}

// step does what is due and says whether there may be more.
func (a *Attachment) step() bool {
	// Before taking: everything up to this heartbeat was handed over.
	home, beat := a.newest()
	generation := a.follower.generation.Load()
	a.mu.Lock()
	switch {
	case a.err != nil:
		a.mu.Unlock()
		return false
	case a.wanted != nowhere && !time.Now().Before(a.retry):
		from := a.wanted
		a.wanted = nowhere
		a.mu.Unlock()
		return a.complete(from, home, beat, generation)
	case len(a.queue) > 0:
		batch := a.queue[:min(len(a.queue), maxBatch)]
		if a.queue = a.queue[len(batch):]; len(a.queue) == 0 {
			a.queue, a.bytes = nil, 0
		}
		all := len(a.queue) == 0
		a.mu.Unlock()
		if a.applyLive(batch) && all {
			a.settled(home, beat)
		}
		return true
	default:
		if a.wanted == nowhere {
			a.unsettled.Store(false)
		}
		a.mu.Unlock()
		return false
	}
}

// newest returns the log's home and the newest heartbeat of it; nil when unknown.
func (a *Attachment) newest() (*home, *beat) {
	h := a.home.Load()
	if h == nil {
		return nil, nil
	}
	return h, h.newest.Load()
}

// settled vouches for a heartbeat after everything that was handed over before
// it was applied. When that moved the log to another home, the heartbeat of the
// old one says nothing: events may have followed that are the new home's to
// publish. While the home is the same, none has before the heartbeat's clock, for
// the event that moves a log is the old home's to publish.
func (a *Attachment) settled(h *home, b *beat) {
	if b != nil && a.home.Load() == h && a.confirmed.Load() >= b.generation {
		a.vouch(b)
	}
}

// complete looks for what is missing. When nothing can be reached it tries again
// after a while; live events are applied meanwhile.
func (a *Attachment) complete(from source, h *home, b *beat, generation uint64) bool {
	err := a.catchUp(from)
	switch {
	case err == nil:
		a.pause = firstPause
		if a.confirmed.Load() < generation {
			a.confirmed.Store(generation)
		}
		a.settled(h, b)
		return true
	case a.ctx.Err() != nil || a.Err() != nil:
		return false
	}
	a.follower.c.Log.Warn("replica cannot catch up", slog.String("log", a.log), slog.String("error", err.Error()))
	a.mu.Lock()
	a.wanted = max(a.wanted, from)
	a.retry = time.Now().Add(a.pause)
	a.mu.Unlock()
	time.AfterFunc(a.pause, a.signal)
	a.pause = min(2*a.pause, longestPause)
	return true
}

// applyLive applies events of the queue and says whether none was missing.
func (a *Attachment) applyLive(batch []live) bool {
	events := make([]eventlog.Recorded, 0, len(batch))
	last := a.sequence.Load()
	for _, l := range batch {
		switch Judge(last, l.sequence) {
		case Drop:
			continue
		case Gap:
			if a.applyRun(events) == nil {
				a.request(fromTable)
			}
			return false
		case Apply:
		}
		if l.err != nil {
			if a.applyRun(events) == nil {
				a.halt(l.sequence, l.err)
			}
			return false
		}
		events = append(events, l.event)
		last = l.sequence
	}
	return a.applyRun(events) == nil
}

// applyAll applies events that were read, at most maxBatch at once; it drops
// repeats. A gap is an error.
func (a *Attachment) applyAll(events []eventlog.Recorded) error {
	run := make([]eventlog.Recorded, 0, min(len(events), maxBatch))
	last := a.sequence.Load()
	for _, e := range events {
		switch Judge(last, e.Envelope.GetSequence()) {
		case Drop:
			continue
		case Gap:
			return fmt.Errorf("event %d came after %d", e.Envelope.GetSequence(), last)
		case Apply:
		}
		run = append(run, e)
		last++
		if len(run) == maxBatch {
			if err := a.applyRun(run); err != nil {
				return err
			}
			run = run[:0]
		}
	}
	return a.applyRun(run)
}

// applyRun applies events that follow each other. Any error halted the
// attachment, or it is closing.
func (a *Attachment) applyRun(events []eventlog.Recorded) error {
	good, broken := a.chained(events)
	if len(good) > 0 {
		if err := a.call(good); err != nil {
			if a.ctx.Err() != nil {
				return err
			}
			err = poison(a.log, good, err)
			a.halt(good[0].Envelope.GetSequence(), err)
			return err
		}
		a.advance(good)
	}
	if broken != nil {
		a.halt(a.sequence.Load()+1, broken)
	}
	return broken
}

// chained returns the events up to the first that does not follow.
func (a *Attachment) chained(events []eventlog.Recorded) ([]eventlog.Recorded, error) {
	previous := a.previous
	for i, e := range events {
		if err := eventlog.Next(previous, e); err != nil && !sabotage.Off(sabotage.GapCheck) {
			return events[:i], err
		}
		previous = e
	}
	return events, nil
}

// call runs apply and turns a panic into an error.
func (a *Attachment) call(events []eventlog.Recorded) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.follower.c.Log.Error("projection panicked", slog.String("log", a.log), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("apply panicked: %v", p)
		}
	}()
	return a.apply(a.ctx, events)
}

// advance notes what was applied and wakes who waited for it.
func (a *Attachment) advance(events []eventlog.Recorded) {
	a.previous = events[len(events)-1]
	a.locate(a.previous)
	a.follower.metrics.applied.Add(float64(len(events)))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sequence.Store(a.previous.Envelope.GetSequence())
	a.waiters.reached(a.sequence.Load())
}

// locate follows the log's home region: whose heartbeats cover the next event.
func (a *Attachment) locate(e eventlog.Recorded) {
	if region := e.Envelope.GetRegion(); region != a.homeRegion {
		a.homeRegion = region
		a.home.Store(a.follower.fresh.of(region))
	}
}

// poison is the error of a replica that cannot apply an event: a fault of apply
// stays what it is.
func poison(log string, batch []eventlog.Recorded, err error) error {
	if f, ok := fault.As(err); ok {
		return f
	}
	last := batch[len(batch)-1].Envelope.GetSequence()
	return unreadable(log, batch[0].Envelope.GetSequence(), fmt.Errorf("batch up to %d: %w", last, err))
}
