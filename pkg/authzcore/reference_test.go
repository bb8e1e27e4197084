package authzcore

import (
	"slices"
	"strings"
)

// reference answers questions by plain recursion over the definitions and a map
// of texts. It shares nothing with the engine but the parsed model.
type reference struct {
	schema *schema
	// stored: resource#relation to its subjects.
	stored map[string]map[string]bool
	// steps bounds the recursion, which is exponential; 0 means it gave up.
	steps int
}

func newReference(m *Model, steps int) *reference {
	return &reference{schema: m.schema, stored: map[string]map[string]bool{}, steps: steps}
}

func (f *reference) apply(c Change) {
	key := c.Relationship.Resource + "#" + c.Relationship.Relation
	if f.stored[key] == nil {
		f.stored[key] = map[string]bool{}
	}
	if c.Delete {
		delete(f.stored[key], c.Relationship.Subject)
	} else {
		f.stored[key][c.Relationship.Subject] = true
	}
}

// answer is no, yes or cycle.
type answer int

const (
	no answer = iota
	yes
	cycle
)

// asking is the questions being asked, and how many of them were asked before
// the last subtraction.
type asking struct {
	asked []string
	floor int
}

func (f *reference) check(q Question, p asking, object, relation string) answer {
	if f.steps--; f.steps <= 0 {
		f.steps = 0
		return no
	}
	key := object + "#" + relation
	if key == q.Subject {
		return yes
	}
	for i, k := range p.asked {
		if k == key {
			if i < p.floor {
				return cycle
			}
			return no
		}
	}
	typ, _, _ := strings.Cut(object, ":")
	rel := f.schema.byName[typ].byName[relation]
	p.asked = append(slices.Clip(p.asked), key)
	return f.rewrite(q, p, object, rel, rel.rewrite)
}

func (f *reference) rewrite(q Question, p asking, object string, rel *relationDef, w *rewrite) answer {
	switch w.kind {
	case rewriteThis:
		return f.direct(q, p, object, rel)
	case rewriteComputed:
		return f.check(q, p, object, w.relation)
	case rewriteFrom:
		return f.from(q, p, object, rel, w)
	case rewriteUnion:
		out := no
		for _, c := range w.children {
			out = either(out, f.rewrite(q, p, object, rel, c))
		}
		return out
	case rewriteIntersection:
		out := yes
		for _, c := range w.children {
			out = both(out, f.rewrite(q, p, object, rel, c))
		}
		return out
	default:
		base := f.rewrite(q, p, object, rel, w.children[0])
		p.floor = len(p.asked)
		subtract := f.rewrite(q, p, object, rel, w.children[1])
		switch subtract {
		case yes:
			subtract = no
		case no:
			subtract = yes
		}
		return both(base, subtract)
	}
}

func either(a, b answer) answer {
	if a == yes || b == yes {
		return yes
	}
	return max(a, b)
}

func both(a, b answer) answer {
	if a == no || b == no {
		return no
	}
	return max(a, b)
}

// restricted says whether the model allows a stored subject.
func restricted(rel *relationDef, subject string) bool {
	object, relation, _ := strings.Cut(subject, "#")
	typ, id, _ := strings.Cut(object, ":")
	for _, x := range rel.restrictions {
		if x.typ == typ && x.relation == relation && x.wildcard == (id == "*") {
			return true
		}
	}
	return false
}

func (f *reference) direct(q Question, p asking, object string, rel *relationDef) answer {
	out := no
	subjectType, _, _ := strings.Cut(q.Subject, ":")
	for subject := range f.stored[object+"#"+rel.name] {
		if !restricted(rel, subject) {
			continue
		}
		set, relation, isSet := strings.Cut(subject, "#")
		switch {
		case subject == q.Subject, subject == subjectType+":*" && !strings.Contains(q.Subject, "#"):
			out = yes
		case isSet:
			out = either(out, f.check(q, p, set, relation))
		}
	}
	return out
}

func (f *reference) from(q Question, p asking, object string, rel *relationDef, w *rewrite) answer {
	out := no
	for subject := range f.stored[object+"#"+w.tupleset] {
		typ, _, _ := strings.Cut(subject, ":")
		if restricted(rel.typ.byName[w.tupleset], subject) && f.schema.byName[typ].byName[w.relation] != nil {
			out = either(out, f.check(q, p, subject, w.relation))
		}
	}
	return out
}
