package authzcore

import (
	"fmt"
	"slices"
)

// validate applies the rules of the language that its grammar cannot say.
func (r *reader) validate() {
	tuplesets := r.tuplesets()
	for _, t := range r.schema.types {
		for _, rel := range t.relations {
			r.validateRestrictions(rel, tuplesets[rel])
			rel.rewrite.walk(func(w *rewrite) { r.validateRewrite(rel, w) })
		}
	}
	if len(r.problems) > 0 {
		return
	}
	r.refuseComputedCycles()
	r.requireEntrypoints()
}

// at returns where a word stands in a relation's definition.
func (r *reader) at(rel *relationDef, word string) place {
	if s := r.sources[rel.at.file]; s != nil {
		return s.wordAt(rel.at, word)
	}
	return rel.at
}

func (r *reader) tuplesets() map[*relationDef]bool {
	found := map[*relationDef]bool{}
	for _, t := range r.schema.types {
		for _, rel := range t.relations {
			rel.rewrite.walk(func(w *rewrite) {
				if target := t.byName[w.tupleset]; w.kind == rewriteFrom && target != nil {
					found[target] = true
				}
			})
		}
	}
	return found
}

func (r *reader) validateRestrictions(rel *relationDef, tupleset bool) {
	for _, x := range rel.restrictions {
		switch {
		case r.schema.byName[x.typ] == nil:
			r.report(r.at(rel, x.typ).problem(fmt.Sprintf("type %s is not defined", x.typ)))
		case x.relation != "" && r.schema.relation(x.typ, x.relation) == nil:
			r.report(r.at(rel, x.relation).problem(fmt.Sprintf("type %s has no relation %s", x.typ, x.relation)))
		case x.condition != "" && r.schema.conditions[x.condition] == nil:
			r.report(r.at(rel, x.condition).problem(fmt.Sprintf("condition %s is not defined", x.condition)))
		case tupleset && (x.wildcard || x.relation != ""):
			r.report(r.at(rel, x.typ).problem(fmt.Sprintf("relation %s is used after from, so %s is not allowed in it: only objects are", rel.name, x)))
		}
	}
	if rel.rewrite.assignable() && len(rel.restrictions) == 0 {
		r.report(rel.at.problem(fmt.Sprintf("relation %s needs at least one type that it can be given to", rel.name)))
	}
}

func (r *reader) validateRewrite(rel *relationDef, w *rewrite) {
	switch w.kind {
	case rewriteComputed:
		if w.relation == rel.name {
			r.report(r.at(rel, w.relation).problem(fmt.Sprintf("relation %s is defined by itself", rel.name)))
		} else if rel.typ.byName[w.relation] == nil {
			r.report(r.at(rel, w.relation).problem(fmt.Sprintf("type %s has no relation %s", rel.typ.name, w.relation)))
		}
	case rewriteFrom:
		r.validateFrom(rel, w)
	case rewriteThis, rewriteUnion, rewriteIntersection, rewriteExclusion:
	}
}

func (r *reader) validateFrom(rel *relationDef, w *rewrite) {
	tupleset := rel.typ.byName[w.tupleset]
	if tupleset == nil {
		r.report(r.at(rel, w.tupleset).problem(fmt.Sprintf("type %s has no relation %s", rel.typ.name, w.tupleset)))
		return
	}
	if tupleset.rewrite.kind != rewriteThis {
		r.report(r.at(rel, w.tupleset).problem(fmt.Sprintf("relation %s is used after from, so it must be direct", w.tupleset)))
		return
	}
	known := slices.ContainsFunc(tupleset.restrictions, func(x restriction) bool {
		return r.schema.relation(x.typ, w.relation) != nil
	})
	if !known {
		r.report(r.at(rel, w.relation).problem(fmt.Sprintf("no type in relation %s has a relation %s", w.tupleset, w.relation)))
	}
}

// refuseComputedCycles: a relation must not be made of itself through relations
// of the same object.
func (r *reader) refuseComputedCycles() {
	for _, t := range r.schema.types {
		// 0: new, 1: on the path, 2: done.
		state := map[string]int{}
		var visit func(name string) bool
		visit = func(name string) bool {
			state[name] = 1
			cyclic := false
			t.byName[name].rewrite.walk(func(w *rewrite) {
				if w.kind != rewriteComputed || cyclic {
					return
				}
				cyclic = state[w.relation] == 1 || state[w.relation] == 0 && visit(w.relation)
			})
			state[name] = 2
			return cyclic
		}
		for _, rel := range t.relations {
			if state[rel.name] == 0 && visit(rel.name) {
				r.report(rel.at.problem(fmt.Sprintf("relation %s of type %s is made of itself", rel.name, t.name)))
			}
		}
	}
}

// requireEntrypoints: every relation must be reachable by some relationship.
func (r *reader) requireEntrypoints() {
	reached := map[*relationDef]bool{}
	order := r.inOrder()
	for changed := true; changed; {
		changed = false
		for _, rel := range order {
			if !reached[rel] && r.entered(rel, rel.rewrite, reached) {
				reached[rel], changed = true, true
			}
		}
	}
	for _, t := range r.schema.types {
		for _, rel := range t.relations {
			if !reached[rel] {
				r.report(rel.at.problem(fmt.Sprintf("no relationship can ever give relation %s of type %s", rel.name, t.name)))
			}
		}
	}
}

// inOrder lists the relations with those that a relation is made of before it,
// as far as there are no cycles, so that few rounds settle them all.
func (r *reader) inOrder() []*relationDef {
	var order []*relationDef
	seen := map[*relationDef]bool{}
	var visit func(rel *relationDef)
	visit = func(rel *relationDef) {
		if rel == nil || seen[rel] {
			return
		}
		seen[rel] = true
		rel.rewrite.walk(func(w *rewrite) {
			switch w.kind {
			case rewriteThis:
				for _, x := range rel.restrictions {
					visit(r.schema.relation(x.typ, x.relation))
				}
			case rewriteComputed:
				visit(rel.typ.byName[w.relation])
			case rewriteFrom:
				for _, x := range rel.typ.byName[w.tupleset].restrictions {
					visit(r.schema.relation(x.typ, w.relation))
				}
			case rewriteUnion, rewriteIntersection, rewriteExclusion: // walk comes to their operands
			}
		})
		order = append(order, rel)
	}
	for _, t := range r.schema.types {
		for _, rel := range t.relations {
			visit(rel)
		}
	}
	return order
}

func (r *reader) entered(rel *relationDef, w *rewrite, reached map[*relationDef]bool) bool {
	all := func() bool {
		return !slices.ContainsFunc(w.children, func(c *rewrite) bool { return !r.entered(rel, c, reached) })
	}
	switch w.kind {
	case rewriteThis:
		return slices.ContainsFunc(rel.restrictions, func(x restriction) bool {
			return x.relation == "" || reached[r.schema.relation(x.typ, x.relation)]
		})
	case rewriteComputed:
		return reached[rel.typ.byName[w.relation]]
	case rewriteFrom:
		return slices.ContainsFunc(rel.typ.byName[w.tupleset].restrictions, func(x restriction) bool {
			return reached[r.schema.relation(x.typ, w.relation)]
		})
	case rewriteUnion:
		return slices.ContainsFunc(w.children, func(c *rewrite) bool { return r.entered(rel, c, reached) })
	default:
		return all()
	}
}
