package history

import "fmt"

// registers is the model of relationships: each is a register, present or
// absent, that writes set and checks read.
//
// Every answer names its revision, so the order is claimed by the system, and
// what is left to find is whether it can be true: values must follow from it,
// revisions of writes must rise, a check must not be older than its token, and
// each step must take effect within its time. That time ends with the answer and
// begins with the call, for a check with a token with the call of the write that
// gave the token, and for one of minimal latency as far back as its age may be.
//
// A write that is not Unchanged found the other value. An unknown write has no
// place; it may be anywhere after its call. Three rules leave out what is the
// same history told otherwise. It is put where it changes the value, because
// elsewhere nobody can see it. No two of them stand together, because only the
// last would be seen. Those with the same value are used in the order of their
// calls: whoever could be the later one could be the earlier one, too. So a
// region that knows no outcome for a minute does not make the search longer.
func registers() model {
	return model{name: "relationships", parts: registerParts, ordered: true, relax: undecided, rule: rule(register{})}
}

func registerParts(h *past) map[string][]step {
	parts := make(map[string][]step)
	for _, op := range h.ops {
		switch op.Kind {
		case KindTouch, KindDelete, KindCheck:
		default:
			continue
		}
		if op.Outcome == OK || op.Outcome == Unknown && op.Kind != KindCheck {
			key := op.Organization + " " + op.Relationship
			parts[key] = append(parts[key], h.step(op))
		}
	}
	return parts
}

// register is the state of one relationship.
type register struct {
	present bool
	// revision is the least that the log can have reached.
	revision uint64
	// place is of the next known step.
	place int
	// touches and deletes are how many unknown ones took effect.
	touches, deletes int
	// guessed says that the last step was an unknown write.
	guessed bool
	// ended says that nothing known follows.
	ended bool
}

func (r register) next(s *step) (state, bool) {
	switch {
	case s.end:
		r.ended = true
		return r, true
	case s.Outcome == Unknown:
		return r.guess(s)
	case s.place != r.place, s.Revision == 0, s.Revision < s.AtLeast, s.Revision < r.revision:
		return r, false
	case s.changes() && (s.Revision == r.revision || s.present() == r.present):
		return r, false
	case s.reads() && s.present() != r.present:
		return r, false
	}
	r.present, r.revision, r.place, r.guessed = s.present(), s.Revision, r.place+1, false
	return r, true
}

// guess lets an unknown write take effect.
func (r register) guess(s *step) (state, bool) {
	used := &r.deletes
	if s.present() {
		used = &r.touches
	}
	switch {
	case r.ended:
		return r, true
	case r.guessed, s.present() == r.present, s.turn != *used:
		return r, false
	}
	*used++
	r.present, r.guessed = s.present(), true
	r.revision++
	return r, true
}

func (r register) String() string {
	value := "absent"
	if r.present {
		value = "present"
	}
	if r.guessed {
		return fmt.Sprintf("%s, after %d", value, r.revision-1)
	}
	return fmt.Sprintf("%s at %d", value, r.revision)
}
