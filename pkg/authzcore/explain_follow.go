package authzcore

// trail is the way that the engine found to a yes: the objects that it visited,
// from the one that was asked about to the one that answers. The last holds the
// subject, one of its groups, or an intersection or exclusion that is true.
type trail struct {
	*explainer
	visits []visit
	// failed are the questions that the trail does not answer.
	failed map[trailQuestion]bool
}

type trailQuestion struct {
	at       int
	relation *relationDef
}

// follow explains the engine's last yes along its trail, without any search but
// for operands. It returns nil when the trail is not the whole reason.
func (x *explainer) follow(r *relationDef, w *rewrite) *Step {
	t := &trail{explainer: x, visits: x.engine.trace, failed: map[trailQuestion]bool{}}
	if len(t.visits) == 0 {
		return nil
	}
	key := explained{t.visits[0].object, r, x.engine.mood}
	if x.onPath[key] > 0 {
		return t.rewrite(0, r, w)
	}
	x.onPath[key] = x.subtractions
	out := t.rewrite(0, r, w)
	delete(x.onPath, key)
	return out
}

// question explains a relation of the object at a place of the trail.
func (t *trail) question(at int, r *relationDef) *Step {
	object := t.visits[at].object
	if t.own(r, object) {
		return t.step(StepDirect, r, object, true)
	}
	key, tried := explained{object, r, t.engine.mood}, trailQuestion{at, r}
	if t.onPath[key] > 0 || t.failed[tried] {
		return nil
	}
	t.onPath[key] = t.subtractions
	out := t.rewrite(at, r, r.rewrite)
	delete(t.onPath, key)
	t.failed[tried] = out == nil
	return out
}

// rewrite explains a definition by what comes next on the trail, or returns nil.
func (t *trail) rewrite(at int, r *relationDef, w *rewrite) *Step {
	start, object := t.steps, t.visits[at].object
	last := at == len(t.visits)-1
	var out *Step
	switch w.kind {
	case rewriteThis:
		out = t.stored(at, r)
	case rewriteComputed:
		if out = t.step(StepComputed, r, object, false); out != nil {
			out = t.adopt(out, t.question(at, r.typ.byName[w.relation]))
		}
	case rewriteFrom:
		out = t.from(at, r, w)
	case rewriteUnion:
		out = t.union(at, r, w)
	case rewriteIntersection:
		if last {
			out = t.intersection(r, object, w)
		}
	case rewriteExclusion:
		if last {
			out = t.exclusion(r, object, w)
		}
	}
	if out == nil || !out.Allowed {
		t.steps = start
		return nil
	}
	return out
}

func (t *trail) union(at int, r *relationDef, w *rewrite) *Step {
	out := t.step(StepUnion, r, t.visits[at].object, false)
	if out == nil {
		return nil
	}
	for _, c := range w.children {
		if child := t.rewrite(at, r, c); child != nil {
			out.keep(child)
			return out
		}
	}
	return nil
}

func (t *trail) from(at int, r *relationDef, w *rewrite) *Step {
	object, tupleset := t.visits[at].object, r.typ.byName[w.tupleset]
	if object == phantom || at+1 == len(t.visits) {
		return nil
	}
	next := t.visits[at+1].object
	n, ok := t.view.setOf(object, tupleset.id)
	if !ok || !t.view.contains(t.view.sets.at(n).members, next) {
		return nil
	}
	asked := t.leadsTo(tupleset, w, next)
	out := t.step(StepFrom, r, object, false)
	if asked == nil || out == nil || !t.counts(tupleset, n, next, t.kindOf(next)) {
		return nil
	}
	return t.lead(out, StepFrom, n, next, t.question(at+1, asked))
}

// stored explains the stored subjects of a relation: the subject, a group of
// it, or the userset that comes next.
func (t *trail) stored(at int, r *relationDef) *Step {
	object := t.visits[at].object
	if object == phantom {
		return nil
	}
	n, ok := t.view.setOf(object, r.id)
	out := t.step(StepDirect, r, object, false)
	if !ok || out == nil {
		return nil
	}
	s := t.view.sets.at(n)
	if t.direct(out, r, n, s) {
		return out
	}
	if at+1 == len(t.visits) {
		return t.group(out, r, n, -1)
	}
	next := t.visits[at+1].object
	for _, rule := range r.rule.sets {
		member := t.view.model.pairs[rule.pair]
		if member.typ.id != t.view.nodes.at(next).typ {
			continue
		}
		ref, ok := t.view.setOf(next, member.id)
		if !ok || !t.view.contains(s.members, ref|setFlag) || !t.counts(r, n, ref|setFlag, rule.kind) {
			continue
		}
		if child := t.question(at+1, member); child != nil {
			return t.lead(out, StepUserset, n, ref|setFlag, child)
		}
	}
	return nil
}

// group explains that a set holds a group of the subject: one of a depth, or
// any when depth is below 0.
func (t *trail) group(out *Step, r *relationDef, in uint32, depth int32) *Step {
	s := t.view.sets.at(in)
	for _, g := range t.engine.groups.sure.list {
		rule := r.rule.set(g.pair)
		if depth >= 0 && g.depth != depth || rule == nil || !t.view.contains(s.members, g.set|setFlag) ||
			!t.counts(r, in, g.set|setFlag, rule.kind) {
			continue
		}
		held := t.view.sets.at(g.set)
		child := t.step(StepDirect, g.relation, held.object, false)
		if child != nil && !t.direct(child, g.relation, g.set, held) {
			child = t.group(child, g.relation, g.set, g.depth-1)
		}
		return t.lead(out, StepUserset, in, g.set|setFlag, child)
	}
	return nil
}

// counts says whether a stored subject counts under model and circumstances.
func (t *trail) counts(r *relationDef, in, ref uint32, kind int) bool {
	return t.engine.member(r.rule, in, t.view.sets.at(in), ref, kind)
}

// lead makes child, unless it is nil, what a stored subject leads to.
func (t *trail) lead(out *Step, kind StepKind, in, ref uint32, child *Step) *Step {
	if child == nil {
		return nil
	}
	out.Kind, out.Allowed, out.Steps = kind, child.Allowed, []*Step{child}
	t.lean(out, in, ref)
	return out
}
