package authzcore

import (
	"slices"
	"strconv"
	"strings"
)

// maxStates bounds the sets of relations that are asked of one object at once.
// Past it every relation is asked on its own: slower, never wrong.
const maxStates = 4096

// maxAutomaton bounds the entries of all states together. Models that people
// write have some hundreds.
const maxAutomaton = 200_000

// A state is a question about one object: does the subject have any of these
// relations? It holds everything that unions lead to on the same object, so
// that a check visits an object once for all of them.
type state struct {
	typ uint16
	// relations of the question, sorted: a userset subject of one of them is
	// the answer itself.
	relations []uint16
	// entries say what to do with each stored relation of the object.
	entries []entry
	// exprs are the intersections and exclusions among the relations.
	exprs []*expr
	// reach has the kinds of subjects that can make the answer yes.
	reach bitset
	// local: the answer needs no other object.
	local bool
}

// entry is what a state does with the stored subjects of one relation.
type entry struct {
	relation uint16
	// rule is not nil when the subjects have the relation themselves.
	rule *rule
	// hops lead on to the subjects, when they are objects.
	hops []hop
	// through says which subjects may be stored, for hops.
	through *rule
}

// hop asks a state of objects of a type.
type hop struct {
	typ   uint16
	kind  int // of the objects
	state int32
}

// rule says which stored subjects of a relation the model allows.
type rule struct {
	// kinds of subjects that may be stored, and those that may be without a
	// condition.
	kinds, plain bitset
	// conditional are the kinds that may be stored under a condition.
	conditional []conditionalKind
	// sets are the usersets that may be stored.
	sets []setRule
	// pure and impure are the kinds of subjects that usersets can lead to.
	pure, impure bitset
}

type conditionalKind struct {
	kind      int
	condition uint16
}

// allows says whether a subject of a kind may be stored under a condition, 0
// for none.
func (r *rule) allows(kind int, condition uint16) bool {
	if condition == 0 {
		return r.plain.has(kind)
	}
	return slices.Contains(r.conditional, conditionalKind{kind, condition})
}

type setRule struct {
	pair uint32
	kind int
	pure bool
	// state asks whether the subject is in the userset.
	state int32
}

// operator of an expr.
type operator uint8

const (
	opUnion operator = iota
	opIntersection
	opExclusion
	opState
)

// expr is an intersection or exclusion, or a part of one.
type expr struct {
	id       uint32
	op       operator
	state    int32 // opState
	operands []*expr
	reach    bitset
	// base and subtract of an exclusion, in the order of the language;
	// operands are in the order of cost.
	subtract *expr
}

// bitset is a set of kinds.
type bitset []uint64

func (b bitset) has(i int) bool { return b[i>>6]&(1<<(i&63)) != 0 }
func (b bitset) add(i int)      { b[i>>6] |= 1 << (i & 63) }

// join adds c to b and says whether b changed.
func (b bitset) join(c bitset) bool {
	changed := false
	for i, w := range c {
		changed = changed || b[i]|w != b[i]
		b[i] |= w
	}
	return changed
}

// objectKind, wildcardKind and setKind number the kinds of subjects.
func (m *Model) objectKind(t *typeDef) int   { return t.ordinal }
func (m *Model) wildcardKind(t *typeDef) int { return len(m.schema.types) + t.ordinal }
func (m *Model) setKind(r *relationDef) int  { return 2*len(m.schema.types) + r.ordinal }

func (m *Model) newBitset() bitset { return make(bitset, (m.kinds+63)/64) }

// builder makes the automaton of a model.
type builder struct {
	m     *Model
	named map[string]int32
	exprs map[*rewrite]*expr
	// order in which states are filled.
	pending []func()
	nextID  uint32
	size    int
}

// build compiles every relation of the model into a state. It returns false
// when the model is too complex.
func (m *Model) build() bool {
	b := &builder{m: m, named: map[string]int32{}, exprs: map[*rewrite]*expr{}}
	b.markPure()
	for _, r := range m.pairs {
		r.rule = b.newRule(r)
	}
	for _, t := range m.schema.types {
		for _, r := range t.relations {
			r.start = b.state(t, []*relationDef{r})
		}
	}
	for _, t := range m.schema.types {
		for _, r := range t.relations {
			for i, s := range r.rule.sets {
				r.rule.sets[i].state = m.pairs[s.pair].start
			}
		}
	}
	for len(b.pending) > 0 {
		fill := b.pending[len(b.pending)-1]
		b.pending = b.pending[:len(b.pending)-1]
		fill()
		if b.size > maxAutomaton {
			return false
		}
	}
	b.reach()
	b.addLeads()
	m.exprs = b.exprs
	return true
}

// markPure finds the relations whose members can be followed from the subject
// up: direct only, and so are all usersets in them.
func (b *builder) markPure() {
	var impure []*relationDef
	heldIn := map[*relationDef][]*relationDef{}
	for _, r := range b.m.pairs {
		if r.pure = r.rewrite.kind == rewriteThis; !r.pure {
			impure = append(impure, r)
		}
		for _, x := range r.restrictions {
			if x.relation != "" {
				set := b.m.schema.relation(x.typ, x.relation)
				heldIn[set] = append(heldIn[set], r)
			}
		}
	}
	for len(impure) > 0 {
		last := impure[len(impure)-1]
		impure = impure[:len(impure)-1]
		for _, r := range heldIn[last] {
			if r.pure {
				r.pure = false
				impure = append(impure, r)
			}
		}
	}
}

func (b *builder) newRule(r *relationDef) *rule {
	m := b.m
	out := &rule{kinds: m.newBitset(), plain: m.newBitset(), pure: m.newBitset(), impure: m.newBitset()}
	for _, x := range r.restrictions {
		kind := m.kindOf(x)
		if set := m.schema.relation(x.typ, x.relation); set != nil && !out.kinds.has(kind) {
			out.sets = append(out.sets, setRule{pair: pair(set.typ.id, set.id), kind: kind, pure: set.pure})
		}
		out.kinds.add(kind)
		if x.condition == "" {
			out.plain.add(kind)
			continue
		}
		id, _ := m.names.conditions.find(x.condition)
		out.conditional = append(out.conditional, conditionalKind{kind, id})
	}
	return out
}

// kindOf numbers the kind of subjects that a restriction names.
func (m *Model) kindOf(x restriction) int {
	t := m.schema.byName[x.typ]
	switch {
	case x.wildcard:
		return m.wildcardKind(t)
	case x.relation == "":
		return m.objectKind(t)
	default:
		return m.setKind(t.byName[x.relation])
	}
}

// state returns the number of the state that asks for any of some relations of
// a type.
func (b *builder) state(t *typeDef, relations []*relationDef) int32 {
	ordinals := make([]int, len(relations))
	for i, r := range relations {
		ordinals[i] = r.ordinal
	}
	slices.Sort(ordinals)
	var key strings.Builder
	for _, o := range slices.Compact(ordinals) {
		key.WriteString(strconv.Itoa(o))
		key.WriteByte(' ')
	}
	if n, ok := b.named[key.String()]; ok {
		return n
	}
	n := b.open(t)
	b.named[key.String()] = n
	b.pending = append(b.pending, func() {
		f := b.filler(t, n)
		for _, r := range relations {
			f.relation(r)
		}
		f.finish()
	})
	return n
}

// anonymous returns a state for an operand that is no relation of its own.
func (b *builder) anonymous(r *relationDef, w *rewrite) int32 {
	if w.kind == rewriteComputed {
		return b.state(r.typ, []*relationDef{r.typ.byName[w.relation]})
	}
	n := b.open(r.typ)
	b.pending = append(b.pending, func() {
		f := b.filler(r.typ, n)
		f.rewrite(r, w)
		f.finish()
	})
	return n
}

func (b *builder) open(t *typeDef) int32 {
	b.m.states = append(b.m.states, &state{typ: t.id})
	return int32(len(b.m.states) - 1)
}

// expr compiles an intersection or exclusion; the same definition always gives
// the same expr, so that its answer can be remembered.
func (b *builder) expr(r *relationDef, w *rewrite) *expr {
	if e := b.exprs[w]; e != nil {
		return e
	}
	e := &expr{id: b.nextID, reach: b.m.newBitset()}
	b.nextID++
	b.exprs[w] = e
	switch w.kind {
	case rewriteIntersection:
		e.op = opIntersection
	case rewriteExclusion:
		e.op = opExclusion
	case rewriteUnion:
		if slices.ContainsFunc(w.children, func(c *rewrite) bool {
			return c.kind == rewriteIntersection || c.kind == rewriteExclusion
		}) {
			e.op = opUnion
			break
		}
		fallthrough
	default:
		e.op, e.state = opState, b.anonymous(r, w)
		return e
	}
	for _, c := range w.children {
		e.operands = append(e.operands, b.expr(r, c))
	}
	if e.op == opExclusion {
		e.subtract = e.operands[1]
	}
	return e
}
