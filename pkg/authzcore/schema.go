package authzcore

import (
	"maps"
	"slices"
	"sync/atomic"
)

// rewriteKind is an operator of the language.
type rewriteKind uint8

const (
	rewriteThis rewriteKind = iota + 1
	rewriteComputed
	rewriteFrom
	rewriteUnion
	rewriteIntersection
	rewriteExclusion
)

// rewrite is the definition of a relation, as a tree.
type rewrite struct {
	kind rewriteKind
	// relation is what is asked: of the same object (computed) or of the objects
	// in tupleset (from).
	relation string
	tupleset string
	// children: two for an exclusion (base, subtract), two or more for unions
	// and intersections.
	children []*rewrite
}

// restriction is one kind of subject that a relation may be given to.
type restriction struct {
	typ      string
	relation string
	wildcard bool
	// condition that such a relationship must have; empty for none.
	condition string
}

func (r restriction) String() string {
	text := r.typ
	switch {
	case r.wildcard:
		text += ":*"
	case r.relation != "":
		text += "#" + r.relation
	}
	if r.condition != "" {
		text += " with " + r.condition
	}
	return text
}

// place is where something stands in a file. The zero place is nowhere.
type place struct {
	file         string
	line, column int
}

func (p place) problem(message string) Problem {
	return Problem{File: p.file, Line: p.line, Column: p.column, Message: message}
}

// typeDef is a type of a model.
type typeDef struct {
	name   string
	module string
	at     place
	// id is the number in Names, ordinal the one in the model.
	id        uint16
	ordinal   int
	relations []*relationDef
	byName    map[string]*relationDef
}

// relationDef is a relation (or permission) of a type.
type relationDef struct {
	typ          *typeDef
	name         string
	module       string
	at           place
	id           uint16
	ordinal      int
	rewrite      *rewrite
	restrictions []restriction
	// pure: only stored relationships make it true, of objects or of usersets
	// that are pure as well; so membership can be followed from the subject up.
	pure  bool
	rule  *rule
	start int32
	// leads and route are for lists of objects.
	leads leads
	route atomic.Pointer[route]
}

// schema is a parsed model before it is compiled.
type schema struct {
	version    string
	types      []*typeDef
	byName     map[string]*typeDef
	conditions map[string]*condition
}

// conditionNames lists the conditions, sorted.
func (s *schema) conditionNames() []string {
	return slices.Sorted(maps.Keys(s.conditions))
}

func (s *schema) relation(typ, relation string) *relationDef {
	t := s.byName[typ]
	if t == nil {
		return nil
	}
	return t.byName[relation]
}

// arrange sorts types and relations and numbers them, so that the order of the
// sources does not matter.
func (s *schema) arrange() {
	slices.SortFunc(s.types, func(a, b *typeDef) int { return compare(a.name, b.name) })
	n := 0
	for i, t := range s.types {
		t.ordinal = i
		slices.SortFunc(t.relations, func(a, b *relationDef) int { return compare(a.name, b.name) })
		for _, r := range t.relations {
			r.ordinal = n
			n++
		}
	}
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// walk calls fn for w and everything under it.
func (w *rewrite) walk(fn func(*rewrite)) {
	fn(w)
	for _, c := range w.children {
		c.walk(fn)
	}
}

// assignable says whether relationships can be stored under the rewrite.
func (w *rewrite) assignable() bool {
	found := false
	w.walk(func(x *rewrite) { found = found || x.kind == rewriteThis })
	return found
}
