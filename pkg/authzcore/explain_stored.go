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
		if x.member(out, r, in, s, c.subject, c.kind) {
			if x.parsed.subject.ID == wildcard {
				out.Kind = StepWildcard
			}
			out.Allowed = true
			return true
		}
	}
	if c.hasAnyone && r.rule.kinds.has(c.anyoneKind) && x.view.contains(s.members, c.anyone) {
		if x.member(out, r, in, s, c.anyone, c.anyoneKind) {
			out.Kind, out.Allowed = StepWildcard, true
			return true
		}
	}
	return false
}

// member says whether a stored subject counts, and puts the relationship and
// its condition into out when it does, or when that is not known.
func (x *explainer) member(out *Step, r *relationDef, in uint32, s *set, ref uint32, kind int) bool {
	c := x.engine
	c.under.lacking = nil
	ok := c.member(r.rule, in, s, ref, kind)
	if !ok && c.under.lacking == nil {
		return false
	}
	out.Relationship, out.Condition, out.Missing = x.texts.relationship(s, ref).String(), "", nil
	if t := x.view.termsOf(in, ref); t != nil {
		out.Condition = t.Condition
	}
	if c.under.lacking != nil {
		out.Missing = c.under.missing()
	}
	return ok
}

// usersets explains the usersets among the stored subjects, under out.
func (x *explainer) usersets(out *Step, r *relationDef, in uint32, s *set, m mode) {
	var single [1]uint32
	x.eachOf(x.view.flagged(s.members, &single), func(ref uint32) bool {
		member := x.view.sets.at(ref &^ setFlag)
		p := pair(member.typ, member.relation)
		rule := r.rule.set(p)
		if rule == nil || !x.leans(out, r, StepUserset, r, in, s, ref, rule.kind) {
			return true
		}
		relation := x.view.model.pairs[p]
		if m == modeAllowed && x.holds(relation, member.object) != allowed {
			return true
		}
		return x.try(out, StepUserset, s, ref, r, m, func() *Step { return x.question(relation, member.object, m == modeDenied) })
	})
}

// leans is member for a relationship that leads on: one whose condition lacks
// parameters is shown as a step under out.
func (x *explainer) leans(out *Step, asked *relationDef, kind StepKind, r *relationDef, in uint32, s *set, ref uint32, of int) bool {
	if s.guarded == 0 {
		return r.rule.plain.has(of)
	}
	var found Step
	ok := x.member(&found, r, in, s, ref, of)
	if found.Missing != nil && !ok {
		if tried := x.step(kind, asked, s.object, false); tried != nil {
			tried.Relationship, tried.Condition, tried.Missing = found.Relationship, found.Condition, found.Missing
			out.Steps = append(out.Steps, tried)
		}
	}
	return ok
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
func (x *explainer) try(out *Step, kind StepKind, s *set, ref uint32, r *relationDef, m mode, ask func() *Step) bool {
	start := x.steps
	child := ask()
	switch {
	case child == nil:
		return false
	case child.Allowed:
		out.Kind, out.Allowed = kind, true
		out.Relationship, out.Steps = x.texts.relationship(s, ref).String(), []*Step{child}
		x.steps = start + child.count()
		return false
	case m == modeAllowed:
		x.steps = start
		return true
	}
	tried := x.step(kind, r, s.object, false)
	if tried == nil {
		return false
	}
	tried.Relationship, tried.Steps = x.texts.relationship(s, ref).String(), []*Step{child}
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
		if asked == nil || !x.leans(out, r, StepFrom, tupleset, n, s, ref, x.kindOf(ref)) {
			return true
		}
		if m == modeAllowed && x.holds(asked, ref) != allowed {
			return true
		}
		return x.try(out, StepFrom, s, ref, r, m, func() *Step { return x.question(asked, ref, m == modeDenied) })
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
