package authzcore

import (
	"maps"
	"slices"
)

// filler fills one state.
type filler struct {
	b    *builder
	t    *typeDef
	out  *state
	seen map[*relationDef]bool
	// asked: for each tupleset, the relations that its objects are asked for.
	asked map[*relationDef][]string
	rules map[*relationDef]bool
}

func (b *builder) filler(t *typeDef, n int32) *filler {
	return &filler{
		b: b, t: t, out: b.m.states[n],
		seen: map[*relationDef]bool{}, asked: map[*relationDef][]string{}, rules: map[*relationDef]bool{},
	}
}

func (f *filler) relation(r *relationDef) {
	if f.seen[r] {
		return
	}
	f.seen[r] = true
	f.out.relations = append(f.out.relations, r.id)
	f.rewrite(r, r.rewrite)
}

func (f *filler) rewrite(r *relationDef, w *rewrite) {
	switch w.kind {
	case rewriteThis:
		f.rules[r] = true
	case rewriteComputed:
		f.relation(f.t.byName[w.relation])
	case rewriteFrom:
		tupleset := f.t.byName[w.tupleset]
		if !slices.Contains(f.asked[tupleset], w.relation) {
			f.asked[tupleset] = append(f.asked[tupleset], w.relation)
		}
	case rewriteUnion:
		for _, c := range w.children {
			f.rewrite(r, c)
		}
	default:
		f.out.exprs = append(f.out.exprs, f.b.expr(r, w))
	}
}

// finish turns what was collected into entries.
func (f *filler) finish() {
	slices.Sort(f.out.relations)
	for _, r := range f.used() {
		e := entry{relation: r.id}
		if f.rules[r] {
			e.rule = r.rule
		}
		e.hops, e.through = f.hops(r), r.rule
		if e.rule != nil || e.hops != nil {
			f.out.entries = append(f.out.entries, e)
		}
	}
	f.b.size += len(f.out.relations) + len(f.out.entries) + len(f.out.exprs)
	f.out.local = len(f.out.exprs) == 0 && len(f.asked) == 0 && !f.forwards()
	f.out.reach = f.b.m.newBitset()
}

// used returns the stored relations that the state looks at, in order.
func (f *filler) used() []*relationDef {
	out := slices.Collect(maps.Keys(f.rules))
	for r := range f.asked {
		if !f.rules[r] {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *relationDef) int { return a.ordinal - b.ordinal })
	return out
}

// forwards says whether usersets may have to be asked one by one.
func (f *filler) forwards() bool {
	for r := range f.rules {
		if slices.ContainsFunc(r.rule.sets, func(s setRule) bool { return !s.pure }) {
			return true
		}
	}
	return false
}

func (f *filler) hops(tupleset *relationDef) []hop {
	relations := f.asked[tupleset]
	if len(relations) == 0 {
		return nil
	}
	var out []hop
	done := map[string]bool{}
	for _, x := range tupleset.restrictions {
		t := f.b.m.schema.byName[x.typ]
		if done[x.typ] || x.wildcard || x.relation != "" {
			continue
		}
		done[x.typ] = true
		var asked []*relationDef
		for _, name := range relations {
			if r := t.byName[name]; r != nil {
				asked = append(asked, r)
			}
		}
		if len(asked) == 0 {
			continue
		}
		if len(f.b.m.states) < maxStates {
			out = append(out, hop{typ: t.id, kind: f.b.m.objectKind(t), state: f.b.state(t, asked)})
			continue
		}
		for _, r := range asked {
			out = append(out, hop{typ: t.id, kind: f.b.m.objectKind(t), state: r.start})
		}
	}
	return out
}

// reach finds, for every state, the kinds of subjects that can make it true: a
// search leaves the others out. It also orders operands by cost.
func (b *builder) reach() {
	order := b.inOrder()
	for changed := true; changed; {
		changed = false
		for _, s := range order {
			changed = b.reachState(s) || changed
		}
	}
	for _, e := range b.exprs {
		slices.SortStableFunc(e.operands, func(x, y *expr) int { return b.cost(x) - b.cost(y) })
	}
}

// inOrder lists the states with those that a state leads to before it, as far
// as there are no cycles, so that few rounds settle them all.
func (b *builder) inOrder() []*state {
	var order []*state
	seen := map[*state]bool{}
	var visit func(n int32)
	var visitExpr func(e *expr)
	visitExpr = func(e *expr) {
		if e.op == opState {
			visit(e.state)
		}
		for _, o := range e.operands {
			visitExpr(o)
		}
	}
	visit = func(n int32) {
		s := b.m.states[n]
		if seen[s] {
			return
		}
		seen[s] = true
		for _, e := range s.entries {
			for _, h := range e.hops {
				visit(h.state)
			}
			if e.rule != nil {
				for _, x := range e.rule.sets {
					visit(x.state)
				}
			}
		}
		for _, e := range s.exprs {
			visitExpr(e)
		}
		order = append(order, s)
	}
	for n := range b.m.states {
		visit(int32(n))
	}
	return order
}

func (b *builder) reachRule(r *rule) bool {
	changed := false
	for _, s := range r.sets {
		to := r.impure
		if s.pure {
			to = r.pure
		}
		changed = to.join(b.m.states[s.state].reach) || changed
	}
	return changed
}

func (b *builder) reachState(s *state) bool {
	changed := false
	for _, id := range s.relations {
		kind := b.m.setKind(b.m.pairs[pair(s.typ, id)])
		changed = changed || !s.reach.has(kind)
		s.reach.add(kind)
	}
	for _, e := range s.entries {
		if e.rule != nil {
			changed = b.reachRule(e.rule) || changed
			changed = s.reach.join(e.rule.kinds) || changed
			changed = s.reach.join(e.rule.pure) || changed
			changed = s.reach.join(e.rule.impure) || changed
		}
		for _, h := range e.hops {
			changed = s.reach.join(b.m.states[h.state].reach) || changed
		}
	}
	for _, e := range s.exprs {
		b.reachExpr(e)
		changed = s.reach.join(e.reach) || changed
	}
	// A stored wildcard answers for every object of its type.
	for _, t := range b.m.schema.types {
		if s.reach.has(b.m.wildcardKind(t)) && !s.reach.has(b.m.objectKind(t)) {
			s.reach.add(b.m.objectKind(t))
			changed = true
		}
	}
	return changed
}

func (b *builder) reachExpr(e *expr) {
	switch e.op {
	case opState:
		e.reach = b.m.states[e.state].reach
		return
	case opExclusion:
		base := e.operands[0]
		b.reachExpr(base)
		b.reachExpr(e.subtract)
		e.reach.join(base.reach)
		return
	case opUnion, opIntersection:
	}
	for _, o := range e.operands {
		b.reachExpr(o)
	}
	for i := range e.reach {
		all, one := ^uint64(0), uint64(0)
		for _, o := range e.operands {
			all &= o.reach[i]
			one |= o.reach[i]
		}
		if e.op == opIntersection {
			one = all
		}
		e.reach[i] |= one
	}
}

// cost orders operands: what needs no other object comes first.
func (b *builder) cost(e *expr) int {
	if e.op == opState {
		if b.m.states[e.state].local {
			return 0
		}
		return 1
	}
	return 2
}
