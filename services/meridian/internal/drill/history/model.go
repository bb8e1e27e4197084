package history

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// step is an operation as a model sees it.
type step struct {
	Op

	// It took effect at one point between from and to, both included.
	from, to time.Duration
	// place is where its revision puts it among the steps that have one.
	place int
	// turn is how many unknown writes of the same value were called before this
	// one.
	turn int
	// end marks the step after all that is known; it has no Op. Whatever of the
	// unknown comes after it never happened.
	end bool
}

// The ends of time.
const (
	always = time.Duration(math.MinInt64)
	never  = time.Duration(math.MaxInt64)
)

// model is a rule for the operations of one partition.
type model struct {
	name string
	// parts are the operations that the model is about, by partition.
	parts func(*past) map[string][]step
	// ordered says that the revisions of steps claim an order. Porcupine then
	// finds whether that order agrees with what was answered and when.
	ordered bool
	// relax returns what is left of a known step when it is known no longer;
	// false when it is nothing. What holds with the step holds without.
	relax func(step) (step, bool)
	rule  porcupine.Model
}

// models returns all models, the most telling first.
func models() []model { return []model{registers(), revisions(), keys(), slugs()} }

// past is a history with what several models need of it.
type past struct {
	ops []Op
	// keyed has one Op for each idempotency key with a success.
	keyed []Op
	// began is when the write was called that a revision is of.
	began map[position]time.Duration
}

// position is a place in an organization's log.
type position struct {
	organization string
	revision     uint64
}

func newPast(ops []Op) *past {
	h := &past{ops: ops, keyed: merged(ops), began: make(map[position]time.Duration)}
	for _, writes := range [][]Op{ops, h.keyed} {
		for _, op := range writes {
			at := position{op.Organization, op.Revision}
			if op.Outcome != OK || op.Kind == KindCheck || op.Unchanged {
				continue
			}
			if first, found := h.began[at]; !found || op.Start < first {
				h.began[at] = op.Start
			}
		}
	}
	return h
}

// merged returns one Op for each idempotency key that somebody had a success
// with: from the first call that may have done it to the first success.
func merged(ops []Op) []Op {
	began := make(map[string]time.Duration)
	done := make(map[string]Op)
	var order []string
	for _, op := range ops {
		if op.Kind != KindKeyedWrite || op.Outcome != OK && op.Outcome != Unknown {
			continue
		}
		key := keyOf(op)
		if first, found := began[key]; !found || op.Start < first {
			began[key] = op.Start
		}
		if op.Outcome != OK {
			continue
		}
		first, found := done[key]
		if !found {
			order = append(order, key)
		}
		if !found || op.End < first.End {
			done[key] = op
		}
	}
	out := make([]Op, len(order))
	for i, key := range order {
		out[i] = done[key]
		out[i].Start = began[key]
	}
	return out
}

// step returns an operation with the time in which it took effect. What a check
// sees is not newer than its end; its freshness says how far back it may be. An
// unknown write has no end.
func (h *past) step(op Op) step {
	s := step{Op: op, from: op.Start, to: op.End}
	if op.Outcome == Unknown {
		s.to = never
	}
	if op.Kind != KindCheck || op.Freshness == FullyConsistent {
		return s
	}
	s.from = always
	if op.Freshness == MinimizeLatency && op.MaxAge > 0 {
		s.from = op.Start - op.MaxAge
	}
	if began, found := h.began[position{op.Organization, op.AtLeast}]; found && op.Freshness == AtLeast {
		s.from = min(began, op.Start)
	}
	return s
}

// arranged gives known steps their place and unknown ones their turn, and
// returns all of them with the end.
//
// Steps with the same revision are a write and then checks of what it left. No
// write comes between those, so the one that ends first may as well be first.
func (m model) arranged(steps []step) []step {
	var known, unknown []step
	for _, s := range steps {
		if s.Outcome == Unknown {
			unknown = append(unknown, s)
		} else {
			known = append(known, s)
		}
	}
	if m.ordered {
		slices.SortStableFunc(known, func(a, b step) int {
			return cmp.Or(cmp.Compare(a.Revision, b.Revision), after(a, b), cmp.Compare(a.to, b.to))
		})
		follow(known)
	}
	slices.SortStableFunc(unknown, func(a, b step) int { return cmp.Compare(a.from, b.from) })
	turns := make(map[bool]int)
	for i := range unknown {
		unknown[i].turn = turns[unknown[i].present()]
		turns[unknown[i].present()]++
	}
	end := step{end: true, from: never - 1, to: never - 1}
	return append(append(known, unknown...), end)
}

// after orders a write before what only looks.
func after(a, b step) int {
	writes := func(s step) int {
		if s.reads() {
			return 1
		}
		return 0
	}
	return cmp.Compare(writes(a), writes(b))
}

// reads says whether a step leaves its log as it is.
func (s step) reads() bool { return s.Kind == KindCheck || s.Unchanged }

// follow numbers steps that stand in the order of their revisions. None of them
// took effect before its predecessor could: with that said, Porcupine meets them
// in their order and need not search for it.
func follow(steps []step) {
	earliest := always
	for i := range steps {
		s := &steps[i]
		earliest = max(earliest, s.from)
		s.place, s.from = i, min(earliest, s.to)
	}
}

// events is the history of steps for Porcupine. A call at the moment of a return
// is concurrent with it.
func (m model) events(steps []step) []porcupine.Event {
	steps = m.arranged(steps)
	type moment struct {
		at    time.Duration
		event porcupine.Event
	}
	moments := make([]moment, 0, 2*len(steps))
	clients := make(map[string]int)
	for i := range steps {
		s := &steps[i]
		client, found := clients[s.Client]
		if !found {
			client = len(clients)
			clients[s.Client] = client
		}
		moments = append(moments,
			moment{s.from, porcupine.Event{ClientId: client, Kind: porcupine.CallEvent, Value: s, Id: i}},
			moment{s.to, porcupine.Event{ClientId: client, Kind: porcupine.ReturnEvent, Id: i}})
	}
	slices.SortStableFunc(moments, func(a, b moment) int {
		returns := func(m moment) int {
			if m.event.Kind == porcupine.ReturnEvent {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(returns(a), returns(b)))
	})
	events := make([]porcupine.Event, len(moments))
	for i, m := range moments {
		events[i] = m.event
	}
	return events
}

// state is what a model remembers between two steps. It is comparable.
type state interface {
	// next is the state after a step; false when the step cannot be next.
	next(s *step) (state, bool)
	// String is for people.
	String() string
}

// rule makes a Porcupine model that begins with a state.
func rule(first state) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return first },
		Step: func(now, input, _ any) (bool, any) {
			after, ok := now.(state).next(input.(*step)) //nolint:forcetypeassert // Porcupine was given no other types
			return ok, after
		},
		DescribeOperation: func(input, _ any) string { return input.(*step).String() }, //nolint:forcetypeassert // as above
		DescribeState:     func(now any) string { return now.(state).String() },        //nolint:forcetypeassert // as above
	}
}

// String is the operation, for people.
func (s *step) String() string {
	if s.end {
		return "end: what is unknown and comes later never happened"
	}
	return s.Op.String()
}

// gone relaxes a step to nothing.
func gone(step) (step, bool) { return step{}, false }

// undecided relaxes a write to one that may or may not be done, and what only
// looks to nothing.
func undecided(s step) (step, bool) {
	if s.reads() || s.Outcome == Exists {
		return step{}, false
	}
	s.Outcome, s.Revision, s.to = Unknown, 0, never
	return s, true
}
