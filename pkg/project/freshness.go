package project

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-iam/meridian/pkg/bus"
)

// beat is a heartbeat whose stream position was passed: every event that went to
// the outbox of its home region and was committed before clock was handed to the
// attachments, if they have confirmed with the events table since generation
// began.
type beat struct {
	clock      time.Time
	generation uint64
}

// home is what is known of one home region.
type home struct {
	newest atomic.Pointer[beat]
	// Guarded by freshness.mu.
	stream  string
	epoch   uint64
	waiting []bus.Heartbeat
}

// place is how far a stream was read.
type place struct {
	created  int64
	mirror   bool
	sequence atomic.Uint64
}

// maxWaiting is how many heartbeats of a region are kept until their position is
// passed: at four in a second, those of sixteen seconds.
const maxWaiting = 64

// freshness compares heartbeats with how far the streams were read.
type freshness struct {
	follower *Follower
	// waiting counts the heartbeats whose position was not passed.
	waiting atomic.Int64

	mu    sync.Mutex
	homes map[string]*home
	// places has each stream under the name that heartbeats use: its origin's.
	places map[string]*place
}

func newFreshness(f *Follower) *freshness {
	return &freshness{follower: f, homes: make(map[string]*home), places: make(map[string]*place)}
}

// of returns the state of a home region, for good.
func (f *freshness) of(region string) *home {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ofLocked(region)
}

func (f *freshness) ofLocked(region string) *home {
	h, ok := f.homes[region]
	if !ok {
		h = &home{}
		f.homes[region] = h
	}
	return h
}

// started notes that a stream is read after a position.
func (f *freshness) started(s bus.Stream, at bus.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &place{created: at.Created, mirror: s.Mirror}
	p.sequence.Store(at.Sequence)
	f.places[bus.StreamName(s.Region)] = p
}

// passed notes that everything up to a stream sequence was handed on.
func (f *freshness) passed(s bus.Stream, sequence uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.places[bus.StreamName(s.Region)]; p != nil {
		p.sequence.Store(sequence)
	}
	if f.waiting.Load() == 0 {
		return
	}
	for _, h := range f.homes {
		f.promote(h)
	}
}

// heard takes in a heartbeat. One from another stream than before is not
// believed before the events table confirmed: what the lost relay published may
// not have arrived here. The first of a region may follow such a move, too.
func (f *freshness) heard(b bus.Heartbeat) {
	f.mu.Lock()
	h := f.ofLocked(b.HomeRegion)
	if b.Epoch < h.epoch {
		f.mu.Unlock()
		return
	}
	before := h.stream
	h.stream, h.epoch = b.Stream, b.Epoch
	f.mu.Unlock()
	if before != b.Stream {
		f.follower.c.Log.Info("heartbeats come", slog.String("home_region", b.HomeRegion),
			slog.String("stream", b.Stream), slog.String("before", before))
		f.follower.missed(before != "")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(h.waiting) < maxWaiting {
		h.waiting = append(h.waiting, b)
		f.waiting.Add(1)
	}
	f.promote(h)
	f.lag(b)
}

// promote makes the heartbeats count whose position was passed.
func (f *freshness) promote(h *home) {
	rest := h.waiting[:0]
	for _, b := range h.waiting {
		p := f.places[b.Stream]
		switch {
		case p == nil || !p.mirror && p.created != b.Created:
			// Not a stream that is read here, or not yet: later ones follow.
			f.waiting.Add(-1)
		case p.sequence.Load() < b.Sequence:
			rest = append(rest, b)
		default:
			f.waiting.Add(-1)
			if old := h.newest.Load(); old == nil || b.Clock.After(old.clock) {
				h.newest.Store(&beat{clock: b.Clock, generation: f.follower.generation.Load()})
			}
		}
	}
	h.waiting = rest
}

// lag sets the metrics of how far behind this process is.
func (f *freshness) lag(b bus.Heartbeat) {
	m := f.follower.metrics
	if p := f.places[b.Stream]; p != nil {
		m.lagEvents.WithLabelValues(b.Stream).Set(float64(b.Sequence - min(b.Sequence, p.sequence.Load())))
	}
	if newest := f.homes[b.HomeRegion].newest.Load(); newest != nil {
		m.lagSeconds.WithLabelValues(b.Stream).Set(max(0, f.follower.c.Clock().Sub(newest.clock).Seconds()))
	}
}
