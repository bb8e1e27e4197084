package authzcore

import (
	"sync/atomic"
	"unsafe"
)

// guard keeps the terms of one member of a set. Most members have none, so
// guards are beside the lists of members, not in them.
type guard struct {
	set, ref uint32
	// terms are nil when the member has none any more.
	terms *terms
}

// terms are the Terms of a relationship, with what an evaluation needs of them.
// They are immutable but for what they remember.
type terms struct {
	Terms
	// condition is its number in Names; 0 for none.
	condition uint16
	// settled is the context, cast for the condition of the model that asked last.
	settled atomic.Pointer[settled]
}

// cast returns the context's values in the types of a condition's parameters.
func (t *terms) cast(of *condition) *settled {
	if s := t.settled.Load(); s != nil && s.of == of {
		return s
	}
	values, _ := DecodeContext(t.Context) // checked when it was written; a damaged one has no values
	s := of.cast(values)
	t.settled.Store(s)
	return s
}

func (t *terms) bytes() uint64 {
	return uint64(unsafe.Sizeof(*t)) + uint64(len(t.Context))
}

// newTerms returns nil for the zero Terms.
//
// Errors: ErrNamesFull.
func (n *Names) newTerms(t Terms) (*terms, error) {
	if t == (Terms{}) {
		return nil, nil //nolint:nilnil // no terms are what most relationships have
	}
	out := &terms{Terms: t}
	if t.Condition == "" {
		return out, nil
	}
	var err error
	out.condition, err = n.conditions.intern(t.Condition)
	return out, err
}

func hashGuard(in, ref uint32) uint32 {
	h := (uint64(in)<<32 | uint64(ref)) * 0x9e3779b97f4a7c15
	h ^= h >> 29
	h *= 0xff51afd7ed558ccd
	return uint32(h >> 32)
}

// termsOf returns the terms of a member of a set; nil for none.
func (v *View) termsOf(in, ref uint32) *terms {
	n, found := v.findGuard(in, ref)
	if !found {
		return nil
	}
	return v.guards.at(n).terms
}

func (v *View) findGuard(in, ref uint32) (uint32, bool) {
	if v.extra != nil {
		if n, found := v.extra.guards[uint64(in)<<32|uint64(ref)]; found {
			return n, true
		}
	}
	hash := hashGuard(in, ref)
	t := v.graph.guards.Load()
	for i := uint64(hash) & t.mask; ; i = (i + 1) & t.mask {
		s := t.slot[i].Load()
		if s == 0 {
			return 0, false
		}
		n := uint32(s) - 1
		if uint32(s>>32) != hash || n >= v.guards.n { //nolint:gocritic // the upper half is the hash
			continue
		}
		if g := v.guards.at(n); g.set == in && g.ref == ref {
			return n, true
		}
	}
}

// termsValue returns the Terms of a member of a set.
func (v *View) termsValue(in uint32, s *set, ref uint32) Terms {
	if s.guarded == 0 {
		return Terms{}
	}
	if t := v.termsOf(in, ref); t != nil {
		return t.Terms
	}
	return Terms{}
}

// setTerms gives a member of a set its terms, nil for none.
func (w *writer) setTerms(in, ref uint32, next *terms) {
	if next == nil && w.sets.at(in).guarded == 0 {
		return
	}
	n, found := w.peek().findGuard(in, ref)
	switch {
	case !found && next == nil:
		return
	case !found:
		n = w.guards.add(guard{set: in, ref: ref}, w.batch)
		w.indexGuard(in, ref, n)
	}
	g := w.guards.mut(n, w.batch)
	s := w.sets.mut(in, w.batch)
	if g.terms != nil {
		w.heap -= g.terms.bytes()
		s.guarded--
	}
	if next != nil {
		w.heap += next.bytes()
		s.guarded++
	}
	g.terms = next
}

func (w *writer) indexGuard(in, ref, n uint32) {
	if w.extra != nil {
		w.extra.guards[uint64(in)<<32|uint64(ref)] = n
		return
	}
	t := w.graph.guards.Load()
	if grown := t.insert(hashGuard(in, ref), n); grown != t {
		w.graph.guards.Store(grown)
	}
}
