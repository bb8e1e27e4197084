package authzcore

import "slices"

// leads say, for a relation, what having it leads to: the definitions read
// backwards, from the subject to the resources.
type leads struct {
	// stored are the places in the relation's own definition where a stored
	// subject has it.
	stored []*needs
	// computed are relations of the same object that this one makes true.
	computed []lead
	// from are relations of the objects that this object is related to.
	from []lead
}

// lead is one such place in the definition of another relation.
type lead struct {
	to *relationDef
	// tupleset is the relation that the object must be in, for from.
	tupleset *relationDef
	needs    *needs
}

// needs are what else must hold of the object for a place in a definition to
// make the whole true: of each intersection and exclusion around it, from the
// inmost out, the other operands.
type needs struct {
	expr *expr
	// operand is the one that the place is in.
	operand *expr
	outer   *needs
}

// addLeads reads all definitions backwards.
func (b *builder) addLeads() {
	for _, t := range b.m.schema.types {
		for _, r := range t.relations {
			r.leads = leads{}
			r.route.Store(nil)
		}
	}
	for _, t := range b.m.schema.types {
		for _, r := range t.relations {
			b.leadsOf(r, r.rewrite, nil)
		}
	}
}

func (b *builder) leadsOf(r *relationDef, w *rewrite, n *needs) {
	switch w.kind {
	case rewriteThis:
		r.leads.stored = append(r.leads.stored, n)
	case rewriteComputed:
		of := r.typ.byName[w.relation]
		of.leads.computed = append(of.leads.computed, lead{to: r, needs: n})
	case rewriteFrom:
		b.leadsFrom(r, w, n)
	case rewriteUnion:
		for _, c := range w.children {
			b.leadsOf(r, c, n)
		}
	case rewriteIntersection:
		for _, c := range w.children {
			b.leadsOf(r, c, &needs{expr: b.exprs[w], operand: b.exprs[c], outer: n})
		}
	case rewriteExclusion:
		base := w.children[0]
		b.leadsOf(r, base, &needs{expr: b.exprs[w], operand: b.exprs[base], outer: n})
	}
}

func (b *builder) leadsFrom(r *relationDef, w *rewrite, n *needs) {
	tupleset := r.typ.byName[w.tupleset]
	done := map[*relationDef]bool{}
	for _, x := range tupleset.restrictions {
		of := b.m.schema.relation(x.typ, w.relation)
		if of == nil || done[of] || x.wildcard || x.relation != "" {
			continue
		}
		done[of] = true
		of.leads.from = append(of.leads.from, lead{to: r, tupleset: tupleset, needs: n})
	}
}

// route are the relations from which a list's permission can be reached, by
// their ordinals.
type route struct {
	useful bitset
	// onward are those that lead to useful ones, and asSets those of them that do
	// so as usersets.
	onward, asSets bitset
}

// routeTo finds the relations that lead to one, once for each relation.
func (m *Model) routeTo(target *relationDef) *route {
	if found := target.route.Load(); found != nil {
		return found
	}
	before := map[*relationDef][]*relationDef{}
	for _, t := range m.schema.types {
		for _, r := range t.relations {
			for _, x := range slices.Concat(r.leads.computed, r.leads.from) {
				before[x.to] = append(before[x.to], r)
			}
			for _, x := range r.rule.sets {
				before[r] = append(before[r], m.pairs[x.pair])
			}
		}
	}
	out := &route{useful: make(bitset, (m.kinds+63)/64)}
	out.useful.add(target.ordinal)
	for pending := []*relationDef{target}; len(pending) > 0; {
		last := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		for _, r := range before[last] {
			if !out.useful.has(r.ordinal) {
				out.useful.add(r.ordinal)
				pending = append(pending, r)
			}
		}
	}
	m.lookAhead(out)
	target.route.Store(out)
	return out
}

// lookAhead finds where a walk need not go on.
func (m *Model) lookAhead(out *route) {
	out.onward, out.asSets = make(bitset, len(out.useful)), make(bitset, len(out.useful))
	for _, t := range m.schema.types {
		for _, r := range t.relations {
			for _, x := range slices.Concat(r.leads.computed, r.leads.from) {
				if out.useful.has(x.to.ordinal) {
					out.onward.add(r.ordinal)
				}
			}
			if !out.useful.has(r.ordinal) {
				continue
			}
			for _, x := range r.rule.sets {
				set := m.pairs[x.pair].ordinal
				out.onward.add(set)
				out.asSets.add(set)
			}
		}
	}
}
