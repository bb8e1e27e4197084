package project

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Attachment is a replica of one log. Its methods may be called from many
// goroutines.
type Attachment struct {
	follower *Follower
	log      string
	apply    func(ctx context.Context, batch []eventlog.Recorded) error
	ctx      context.Context //nolint:containedctx // the life of the replica, not of a call
	cancel   context.CancelFunc
	wake     chan struct{}
	done     chan struct{}

	// sequence is the last applied.
	sequence atomic.Uint64
	// unsettled: something was handed to this attachment and is not applied, or
	// there may be something that it does not know of.
	unsettled atomic.Bool
	// confirmed is the generation in which the replica was complete.
	confirmed atomic.Uint64
	// asOf is the commit clock up to which the replica is complete, in Unix
	// nanoseconds; 0 means that it is not known.
	asOf atomic.Int64
	// home is the log's home region; nil before it is known.
	home atomic.Pointer[home]

	mu      sync.Mutex
	queue   []live
	bytes   int
	wanted  source
	retry   time.Time // not before this, because it failed
	late    time.Time // of the last overdue
	err     error
	closed  bool
	waiters waiters

	// Of the goroutine of run.
	previous   eventlog.Recorded
	homeRegion string
	pause      time.Duration
}

// live is an event that the stream brought. With err, it could not be decoded.
type live struct {
	event    eventlog.Recorded
	sequence uint64
	err      error
}

// source is where an attachment is to look for what it misses.
type source uint8

const (
	nowhere source = iota
	// fromTable asks the events table, for little.
	fromTable
	// fromStream reads the streams first, for much.
	fromStream
)

func newAttachment(f *Follower, log string, from uint64, apply func(context.Context, []eventlog.Recorded) error) *Attachment {
	a := &Attachment{
		follower: f, log: log, apply: apply,
		wake: make(chan struct{}, 1), done: make(chan struct{}), pause: firstPause,
	}
	a.ctx, a.cancel = context.WithCancel(f.ctx)
	a.sequence.Store(from)
	return a
}

// Log is the id of the log.
func (a *Attachment) Log() string { return a.log }

// Sequence is that of the last event applied; 0 means none.
func (a *Attachment) Sequence() uint64 { return a.sequence.Load() }

// Err says why this attachment halted, or nil. The fault is EVENT_CORRUPT or
// what apply returned; metadata and log name the log and the sequence.
func (a *Attachment) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// Close stops the replica and waits until apply has returned; so apply must not
// call it. Waiters get STOPPING.
func (a *Attachment) Close() {
	a.follower.detach(a)
	a.cancel()
	<-a.done
}

// Wait returns when the replica has applied sequence. When that takes longer
// than Config.LateAfter, the events table is asked, so that it ends even while
// the relay or the bus is away.
//
// Errors: REVISION_NOT_VISIBLE when ctx ends first; the error of Err when the
// attachment halted; STOPPING.
func (a *Attachment) Wait(ctx context.Context, sequence uint64) error {
	if a.sequence.Load() >= sequence {
		return nil
	}
	w, err := a.register(sequence)
	if w == nil {
		return err
	}
	after := a.follower.c.LateAfter
	timer := time.NewTimer(after)
	defer timer.Stop()
	for {
		select {
		case err := <-w.result:
			return err
		case <-timer.C:
			a.overdue()
			after = min(2*after, time.Second)
			timer.Reset(after)
		case <-ctx.Done():
			return a.giveUp(w, sequence, ctx.Err())
		}
	}
}

// giveUp ends a wait whose context has ended.
func (a *Attachment) giveUp(w *waiter, sequence uint64, ended error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiters.remove(w)
	if a.sequence.Load() >= sequence {
		return nil
	}
	return fault.New(fault.Precondition, commonv1.Reason_REVISION_NOT_VISIBLE,
		"the replica did not reach the revision in time").Retry(a.follower.c.LateAfter).Because(ended)
}

// register returns a waiter, or nil with the answer.
func (a *Attachment) register(sequence uint64) (*waiter, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.sequence.Load() >= sequence:
		return nil, nil //nolint:nilnil // no waiter is the answer: it is there already
	case a.err != nil:
		return nil, a.err
	case a.closed:
		return nil, stopping()
	}
	return a.waiters.add(sequence), nil
}

func stopping() error {
	return fault.New(fault.Unavailable, commonv1.Reason_STOPPING, "the replica is closed")
}

// overdue asks the events table, but not too often for all waiters together.
func (a *Attachment) overdue() {
	now := time.Now()
	a.mu.Lock()
	recent := now.Sub(a.late) < firstPause
	if !recent {
		a.late = now
	}
	a.mu.Unlock()
	if !recent {
		a.request(fromTable)
	}
}

// Age says how old an answer from this replica may be: the time since the commit
// clock up to which the replica certainly has every event of its log. known is
// false before the first heartbeat of the log's home region, and for a log
// without events.
func (a *Attachment) Age() (age time.Duration, known bool) {
	// The order matters: what came before the heartbeat was handed over before it
	// is seen here.
	if h, b := a.newest(); !a.unsettled.Load() {
		a.settled(h, b)
	}
	asOf := a.asOf.Load()
	if asOf == 0 {
		return 0, false
	}
	return max(0, a.follower.c.Clock().Sub(time.Unix(0, asOf))), true
}

// vouch notes that the replica is complete up to a heartbeat.
func (a *Attachment) vouch(b *beat) {
	clock := b.clock.UnixNano()
	for old := a.asOf.Load(); clock > old; old = a.asOf.Load() {
		if a.asOf.CompareAndSwap(old, clock) {
			return
		}
	}
}

// enqueue hands over a live event without waiting. A queue that is full is
// dropped: the streams and the table have it all.
func (a *Attachment) enqueue(l live) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil || a.closed {
		return
	}
	a.unsettled.Store(true)
	if len(a.queue) >= a.follower.c.Queue || a.bytes > queueBytes {
		a.queue, a.bytes, a.wanted = nil, 0, fromStream
		a.follower.metrics.overflowed.Inc()
	} else {
		a.queue = append(a.queue, l)
		a.bytes += len(l.event.Bytes)
	}
	a.signal()
}

// request asks the worker to look for what is missing.
func (a *Attachment) request(from source) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil || a.closed {
		return
	}
	a.unsettled.Store(true)
	a.wanted = max(a.wanted, from)
	a.signal()
}

func (a *Attachment) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// halt stops applying for good. Only this attachment is concerned.
func (a *Attachment) halt(sequence uint64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err, a.queue, a.bytes = err, nil, 0
	a.waiters.fail(err)
	a.follower.metrics.halted.Inc()
	a.follower.c.Log.Error("projection halted", slog.String("log", a.log),
		slog.Uint64("sequence", sequence), slog.String("error", err.Error()))
}

// stop ends the waiting of all.
func (a *Attachment) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed, a.queue = true, nil
	a.unsettled.Store(true)
	a.waiters.fail(stopping())
	if a.err != nil {
		a.follower.metrics.halted.Dec()
	}
}
