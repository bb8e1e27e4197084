package authzcore

// stored explains the stored subjects of a relation: the subject itself, a
// wildcard, or a userset.
func (x *explainer) stored(r *relationDef, object uint32, m mode) *Step {
	out := x.step(StepDirect, r, object, false)
	if out == nil || object == phantom {
		return out
	}
	n, ok := x.view.setOf(object, r.id)
	if !ok {
		return out
	}
	s := x.view.sets.at(n)
	if !x.direct(out, r, n, s) {
		x.usersets(out, r, n, s, m)
	}
	return out
}

// direct says whether a set holds the subject itself or a wildcard, and puts
// that into out.
func (x *explainer) direct(out *Step, r *relationDef, in uint32, s *set) bool {
	c := x.engine
	if c.hasSubject && r.rule.kinds.has(c.kind) && x.view.contains(s.members, c.subject) {
		kind := StepDirect
		if x.parsed.subject.ID == wildcard {
			kind = StepWildcard
		}
		if x.member(out, kind, r, in, s, c.subject, c.kind) {
			return true
		}
	}
	return c.hasAnyone && r.rule.kinds.has(c.anyoneKind) && x.view.contains(s.members, c.anyone) &&
		x.member(out, StepWildcard, r, in, s, c.anyone, c.anyoneKind)
}

// member says whether a stored subject counts, and puts the relationship into
// out; under it when out has another, which does not count.
func (x *explainer) member(out *Step, kind StepKind, r *relationDef, in uint32, s *set, ref uint32, of int) bool {
	if x.engine.member(r.rule, in, s, ref, of) {
		out.Kind, out.Allowed, out.Steps = kind, true, nil
		x.lean(out, in, ref)
		return true
	}
	if !x.shown(r, in, s, ref, of) {
		return false
	}
	if out.Relationship != "" {
		under := x.step(kind, r, s.object, false)
		if under == nil {
			return false
		}
		out.Steps = append(out.Steps, under)
		out = under
	}
	out.Kind = kind
	x.lean(out, in, ref)
	return false
}

// shown says whether a stored subject that does not count is worth a step: its
// condition is not met or lacks parameters, or it has expired. What the model
// does not allow any more is not.
func (x *explainer) shown(r *relationDef, in uint32, s *set, ref uint32, of int) bool {
	if s.guarded == 0 {
		return false
	}
	t := x.view.termsOf(in, ref)
	if t == nil || !r.rule.allows(of, t.condition) {
		return false
	}
	return x.engine.outcome(r.rule, in, ref, of) != broken
}

// lean puts a stored relationship into out, with its condition and what that
// lacks.
func (x *explainer) lean(out *Step, in, ref uint32) {
	c := x.engine
	out.Relationship, out.Condition, out.Missing = x.texts.relationship(x.view.sets.at(in), ref).String(), "", nil
	t := x.view.termsOf(in, ref)
	if t == nil || t.Expires != 0 && c.under.clock() >= t.Expires {
		return
	}
	out.Condition = t.Condition
	c.under.lacking = nil
	if c.holds(t) == unknown {
		out.Missing = c.under.missing()
	}
}

// usersets explains the usersets among the stored subjects, under out.
func (x *explainer) usersets(out *Step, r *relationDef, in uint32, s *set, m mode) {
	var single [1]uint32
	x.eachOf(x.view.flagged(s.members, &single), func(ref uint32) bool {
		member := x.view.sets.at(ref &^ setFlag)
		p := pair(member.typ, member.relation)
		rule := r.rule.set(p)
		if rule == nil {
			return true
		}
		l := leaning{StepUserset, r, in, ref, x.view.model.pairs[p], member.object}
		if !x.engine.member(r.rule, in, s, ref, rule.kind) {
			return m == modeAllowed || !x.shown(r, in, s, ref, rule.kind) || x.unmet(out, &l)
		}
		return x.try(out, &l, m)
	})
}

// leaning is a stored relationship that leads to another question.
type leaning struct {
	kind StepKind
	// relation is the one that is explained.
	relation *relationDef
	in, ref  uint32
	// asked is the question that it leads to, of an object.
	asked  *relationDef
	object uint32
}

// unmet puts a relationship that does not count under out. One that lacks
// parameters is followed: it matters only where it leads to a yes. It returns
// false when there is no room.
func (x *explainer) unmet(out *Step, l *leaning) bool {
	tried := x.step(l.kind, l.relation, x.view.sets.at(l.in).object, false)
	if tried == nil {
		return false
	}
	x.lean(tried, l.in, l.ref)
	out.Steps = append(out.Steps, tried)
	if tried.Missing == nil {
		return true
	}
	child := x.question(l.asked, l.object, false)
	if child != nil {
		tried.Steps = []*Step{child}
	}
	return child != nil
}

// eachOf calls fn for the refs of a span until fn returns false or the budget
// is used up.
func (x *explainer) eachOf(s span, fn func(ref uint32) bool) {
	for refs := s.next(); len(refs) > 0; refs = s.next() {
		for _, ref := range refs {
			if !x.spend(1) || !fn(ref) {
				return
			}
		}
	}
}

// try asks what a stored subject leads to and puts it under out: alone when it
// is the answer. It returns false when there is nothing left to try.
func (x *explainer) try(out *Step, l *leaning, m mode) bool {
	if m == modeAllowed && x.holds(l.asked, l.object) != allowed {
		return true
	}
	start := x.steps
	child := x.question(l.asked, l.object, m == modeDenied)
	switch {
	case child == nil:
		return false
	case child.Allowed:
		out.Kind, out.Allowed, out.Steps = l.kind, true, []*Step{child}
		x.lean(out, l.in, l.ref)
		x.steps = start + child.count()
		return false
	case m == modeAllowed:
		x.steps = start
		return true
	}
	tried := x.step(l.kind, l.relation, x.view.sets.at(l.in).object, false)
	if tried == nil {
		return false
	}
	tried.Steps = []*Step{child}
	x.lean(tried, l.in, l.ref)
	out.Steps = append(out.Steps, tried)
	return true
}

// from explains the objects that a tupleset leads to.
func (x *explainer) from(r *relationDef, object uint32, w *rewrite, m mode) *Step {
	out := x.step(StepFrom, r, object, false)
	if out == nil || object == phantom {
		return out
	}
	tupleset := r.typ.byName[w.tupleset]
	n, ok := x.view.setOf(object, tupleset.id)
	if !ok {
		return out
	}
	s := x.view.sets.at(n)
	var single [1]uint32
	x.eachOf(x.view.objects(s.members, &single), func(ref uint32) bool {
		asked := x.leadsTo(tupleset, w, ref)
		if asked == nil {
			return true
		}
		l, of := leaning{StepFrom, r, n, ref, asked, ref}, x.kindOf(ref)
		if !x.engine.member(tupleset.rule, n, s, ref, of) {
			return m == modeAllowed || !x.shown(tupleset, n, s, ref, of) || x.unmet(out, &l)
		}
		return x.try(out, &l, m)
	})
	return out
}

// kindOf numbers the kind of an object; its type is the model's.
func (x *explainer) kindOf(ref uint32) int {
	m := x.view.model
	return m.objectKind(m.types[x.view.nodes.at(ref).typ])
}

// leadsTo returns the relation that a definition asks of an object in a
// tupleset; nil when the model allows none.
func (x *explainer) leadsTo(tupleset *relationDef, w *rewrite, ref uint32) *relationDef {
	o := x.view.nodes.at(ref)
	t := x.view.model.types[o.typ]
	if t == nil || string(x.view.idBytes(o)) == wildcard || !tupleset.rule.kinds.has(x.view.model.objectKind(t)) {
		return nil
	}
	return t.byName[w.relation]
}
