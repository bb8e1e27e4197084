package feed

import (
	"context"
	"sync"
	"time"

	"github.com/meridian-iam/meridian/pkg/bus"
)

// maxWaiting is how many heartbeats of a region are kept until their position is passed.
const maxWaiting = 64

// beats compares heartbeats with how far the streams were read.
type beats struct {
	mu    sync.Mutex
	homes map[string]*home // every region's
	// places has each stream under the name that heartbeats use: its origin's.
	places map[string]*place
	// moved is closed when a place was moved; nil: nobody waits for that.
	moved chan struct{}
	// counts is told of each heartbeat that counts, with the lock held.
	counts func(bus.Heartbeat)
}

// home is what is known of the events of one home region.
type home struct {
	// newest is the commit clock up to which all of them were read.
	newest time.Time
	// stream is where its relay publishes, and epoch that relay's. unsettled: it is not
	// known whether all was read that the relay before published.
	stream    string
	epoch     uint64
	unsettled bool
	waiting   []bus.Heartbeat
}

// place is how far a stream was read.
type place struct {
	created  int64
	mirror   bool
	sequence uint64
}

func newBeats(streams []bus.Stream, counts func(bus.Heartbeat)) *beats {
	b := &beats{homes: make(map[string]*home), places: make(map[string]*place), counts: counts}
	for _, s := range streams {
		// What a region's relay published before it is heard of went to its own stream.
		b.homes[s.Region] = &home{stream: bus.StreamName(s.Region)}
	}
	return b
}

// oldest is the commit clock up to which the events of all regions were read.
func (b *beats) oldest() (clock time.Time, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range b.homes {
		if h.newest.IsZero() {
			return time.Time{}, false
		}
		if clock.IsZero() || h.newest.Before(clock) {
			clock = h.newest
		}
	}
	return clock, !clock.IsZero()
}

// started notes that a stream is read after a position.
func (b *beats) started(s bus.Stream, at bus.Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.places[bus.StreamName(s.Region)] = &place{created: at.Created, mirror: s.Mirror, sequence: at.Sequence}
	b.promote()
}

// passed notes that a stream was read up to a sequence.
func (b *beats) passed(s bus.Stream, sequence uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.places[bus.StreamName(s.Region)]; p != nil {
		p.sequence = sequence
	}
	b.promote()
}

// heard takes in a heartbeat. When its stream is another than the region's was, before
// is that one, and nothing of the region counts until it is settled.
func (b *beats) heard(beat bus.Heartbeat) (before string, moved bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := b.homes[beat.HomeRegion]
	if h == nil || beat.Epoch < h.epoch {
		return "", false
	}
	h.epoch = beat.Epoch
	if before = h.stream; beat.Stream != before {
		h.stream, h.unsettled, h.waiting, moved = beat.Stream, true, nil, true
	}
	if len(h.waiting) < maxWaiting {
		h.waiting = append(h.waiting, beat)
	}
	b.promote()
	return before, moved
}

// settled says that what came before a heartbeat's relay is accounted for.
func (b *beats) settled(beat bus.Heartbeat) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h := b.homes[beat.HomeRegion]; h != nil && h.stream == beat.Stream {
		h.unsettled = false
		b.promote()
	}
}

// reach waits until a stream was read up to a sequence.
func (b *beats) reach(ctx context.Context, stream string, sequence uint64) error {
	for {
		b.mu.Lock()
		p := b.places[stream]
		there := p != nil && p.sequence >= sequence
		if b.moved == nil {
			b.moved = make(chan struct{})
		}
		moved := b.moved
		b.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// promote makes the heartbeats count whose position was passed. The lock is held.
func (b *beats) promote() {
	if b.moved != nil {
		close(b.moved)
		b.moved = nil
	}
	for _, h := range b.homes {
		if h.unsettled {
			continue
		}
		rest := h.waiting[:0]
		for _, beat := range h.waiting {
			p := b.places[beat.Stream]
			switch {
			case p == nil || !p.mirror && p.created != beat.Created:
				// Not a stream that is read here, or not yet: later ones follow.
			case p.sequence < beat.Sequence:
				rest = append(rest, beat)
			case beat.Clock.After(h.newest):
				h.newest = beat.Clock
				b.counts(beat)
			}
		}
		h.waiting = rest
	}
}
