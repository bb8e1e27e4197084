package authzcore

// stored explains the stored subjects of a relation: the subject itself, a
// wildcard, or a userset.
func (x *explainer) stored(r *relationDef, object uint32, want bool) *Step {
	out := x.step(StepDirect, r, object, false)
	if out == nil || object == phantom {
		return out
	}
	n, ok := x.view.setOf(object, r.id)
	if !ok {
		return out
	}
	s := x.view.sets.at(n)
	if x.hasSubject && r.rule.kinds.has(x.parsed.kind) && x.view.contains(s.members, x.subject) {
		if x.parsed.subject.ID == wildcard {
			out.Kind = StepWildcard
		}
		out.Allowed, out.Relationship = true, x.texts.relationship(s, x.subject).String()
		return out
	}
	if x.hasAnyone && r.rule.kinds.has(x.anyoneKind) && x.view.contains(s.members, x.anyone) {
		out.Kind, out.Allowed, out.Relationship = StepWildcard, true, x.texts.relationship(s, x.anyone).String()
		return out
	}
	x.usersets(out, r, s, want)
	return out
}

// usersets explains the usersets among the stored subjects, under out.
func (x *explainer) usersets(out *Step, r *relationDef, s *set, want bool) {
	start := x.steps
	x.view.each(s.members, func(ref uint32) bool {
		if ref&setFlag == 0 {
			return true
		}
		m := x.view.sets.at(ref &^ setFlag)
		p := pair(m.typ, m.relation)
		if r.rule.set(p) == nil {
			return true
		}
		member := x.view.model.pairs[p]
		if want && x.holds(member, m.object) != allowed {
			return true
		}
		child := x.question(member, m.object)
		if child == nil {
			return false
		}
		if child.Allowed {
			out.Kind, out.Allowed = StepUserset, true
			out.Relationship, out.Steps = x.texts.relationship(s, ref).String(), []*Step{child}
			x.steps = start + child.count()
			return false
		}
		if want {
			x.steps = start
			return true
		}
		tried := x.step(StepUserset, r, s.object, false)
		if tried == nil {
			return false
		}
		tried.Relationship, tried.Steps = x.texts.relationship(s, ref).String(), []*Step{child}
		out.Steps = append(out.Steps, tried)
		return true
	})
}

// from explains the objects that a tupleset leads to.
func (x *explainer) from(r *relationDef, object uint32, w *rewrite) *Step {
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
	start := x.steps
	x.view.each(s.members, func(ref uint32) bool {
		if ref&setFlag != 0 {
			return false
		}
		t := x.view.model.types[x.view.nodes.at(ref).typ]
		if t == nil || string(x.view.idBytes(x.view.nodes.at(ref))) == wildcard || !tupleset.rule.kinds.has(x.view.model.objectKind(t)) {
			return true
		}
		asked := t.byName[w.relation]
		if asked == nil {
			return true
		}
		child := x.question(asked, ref)
		if child == nil {
			return false
		}
		if child.Allowed {
			out.Allowed, out.Relationship, out.Steps = true, x.texts.relationship(s, ref).String(), []*Step{child}
			x.steps = start + child.count()
			return false
		}
		tried := x.step(StepFrom, r, object, false)
		if tried == nil {
			return false
		}
		tried.Relationship, tried.Steps = x.texts.relationship(s, ref).String(), []*Step{child}
		out.Steps = append(out.Steps, tried)
		return true
	})
	return out
}
