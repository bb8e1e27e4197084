package history

import "fmt"

// revisions is the model of an organization's log, whatever is in it: each write
// has a revision of its own, later ones have higher ones, and a check that must
// see all that was done before it, or what its token names, is not evaluated
// before that. It sees across relationships what registers sees within one.
func revisions() model {
	return model{name: "revisions", parts: revisionParts, ordered: true, relax: gone, rule: rule(head{})}
}

func revisionParts(h *past) map[string][]step {
	parts := make(map[string][]step)
	add := func(op Op) { parts[op.Organization] = append(parts[op.Organization], h.step(op)) }
	for _, op := range h.ops {
		switch op.Kind {
		case KindTouch, KindDelete, KindCheck:
			if op.Outcome == OK {
				add(op)
			}
		default:
		}
	}
	for _, op := range h.keyed {
		add(op)
	}
	return parts
}

// head is where a log is.
type head struct {
	revision uint64
	place    int
}

func (h head) next(s *step) (state, bool) {
	switch {
	case s.end:
		return h, true
	case s.place != h.place, s.Revision < h.revision, s.Revision < s.AtLeast, s.Revision == h.revision && !s.reads():
		return h, false
	}
	return head{revision: s.Revision, place: h.place + 1}, true
}

func (h head) String() string { return fmt.Sprintf("at %d", h.revision) }

// keys is the model of idempotency keys: a compare-and-swap from nothing to a
// revision. The first success fixes the revision, every later one returns it. An
// unknown call may have fixed it, to a revision that only a success tells, so it
// excludes nothing and is left out.
func keys() model {
	return model{name: "idempotency keys", parts: keyParts, relax: gone, rule: rule(fixed{})}
}

func keyParts(h *past) map[string][]step {
	parts := make(map[string][]step)
	for _, op := range h.ops {
		if op.Kind == KindKeyedWrite && op.Outcome == OK {
			parts[keyOf(op)] = append(parts[keyOf(op)], h.step(op))
		}
	}
	return parts
}

func keyOf(op Op) string { return op.Organization + " " + op.IdempotencyKey }

// fixed is the revision of a key; 0 none yet.
type fixed struct{ revision uint64 }

func (f fixed) next(s *step) (state, bool) {
	switch {
	case s.end:
		return f, true
	case s.Revision == 0, f.revision != 0 && f.revision != s.Revision:
		return f, false
	}
	return fixed{s.Revision}, true
}

func (f fixed) String() string {
	if f.revision == 0 {
		return "not done"
	}
	return fmt.Sprintf("done at %d", f.revision)
}

// slugs is the model of uniqueness: a set to which each slug is added once. One
// create succeeds, and others are told that the slug exists only after it was
// added, by the one that succeeded or by an unknown one.
func slugs() model {
	return model{name: "slugs", parts: slugParts, relax: undecided, rule: rule(slug{})}
}

func slugParts(h *past) map[string][]step {
	parts := make(map[string][]step)
	for _, op := range h.ops {
		if op.Kind != KindCreate {
			continue
		}
		switch op.Outcome {
		case OK, Exists, Unknown:
			parts[op.Slug] = append(parts[op.Slug], h.step(op))
		case Refused, Failed:
		}
	}
	return parts
}

// slug says whether a slug is taken. An unknown create takes it, or never
// happened.
type slug struct{ taken, ended bool }

func (s slug) next(op *step) (state, bool) {
	switch {
	case op.end:
		s.ended = true
		return s, true
	case op.Outcome == Exists:
		return s, s.taken
	case op.Outcome == Unknown && s.ended:
		return s, true
	}
	return slug{taken: true}, !s.taken
}

func (s slug) String() string {
	if s.taken {
		return "taken"
	}
	return "free"
}
