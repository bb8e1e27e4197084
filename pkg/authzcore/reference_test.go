package authzcore

import (
	"fmt"
	"slices"
	"strings"
)

// reference answers questions by plain recursion over the definitions and a map
// of texts. It shares nothing with the engine but the parsed model.
type reference struct {
	schema *schema
	// stored: resource#relation to its subjects and their terms.
	stored map[string]map[string]Terms
	// steps bounds the recursion, which is exponential; 0 means it gave up.
	steps int
	// holds evaluates terms; yes, no, maybe or failure.
	holds func(Terms) answer
}

// asking is the questions being asked, how many of them were asked before the
// last subtraction, and whether terms that are maybe, or fail, count as yes.
type asking struct {
	asked          []string
	floor          int
	hopeful, brave bool
}

// decide is maybe if the answer depends on how the maybes turn out, and failure
// if on the failures.
func (f *reference) decide(q Question) answer {
	ask := func(p asking) answer { return f.check(q, p, q.Resource, q.Permission) }
	if out := ask(asking{}); out != no {
		return out
	}
	if out := ask(asking{hopeful: true, brave: true}); out != yes {
		return out
	}
	return [...]answer{no: failure, yes: maybe, cycle: cycle}[ask(asking{hopeful: true})]
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
	if p.hopeful || p.brave {
		key += fmt.Sprint(p.hopeful, p.brave) // another question
	}
	if i := slices.Index(p.asked, key); i >= p.floor {
		return no
	} else if i >= 0 {
		return cycle
	}
	typ, _, _ := strings.Cut(object, ":")
	rel := f.schema.byName[typ].byName[relation]
	if rel == nil {
		return no // of what a tupleset leads to
	}
	p.asked = append(slices.Clip(p.asked), key)
	return f.rewrite(q, p, object, rel, rel.rewrite)
}

func (f *reference) rewrite(q Question, p asking, object string, rel *relationDef, w *rewrite) answer {
	out := no
	switch w.kind {
	case rewriteThis:
		return f.direct(q, p, object, rel)
	case rewriteComputed:
		return f.check(q, p, object, w.relation)
	case rewriteFrom:
		return f.members(p, object, rel.typ.byName[w.tupleset], func(subject string) answer {
			return f.check(q, p, subject, w.relation)
		})
	case rewriteUnion:
		for _, c := range w.children {
			out = either(out, f.rewrite(q, p, object, rel, c))
		}
	case rewriteIntersection:
		out = yes
		for _, c := range w.children {
			out = both(out, f.rewrite(q, p, object, rel, c))
		}
	default:
		out = f.rewrite(q, p, object, rel, w.children[0])
		p.floor, p.hopeful, p.brave = len(p.asked), !p.hopeful, !p.brave
		x := f.rewrite(q, p, object, rel, w.children[1])
		if x <= yes {
			x = yes - x
		}
		return both(out, x)
	}
	return out
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

// members calls fn for the stored subjects of a relation that the model allows
// and whose terms hold; it returns either of the answers.
func (f *reference) members(p asking, object string, rel *relationDef, fn func(subject string) answer) answer {
	out := no
	for subject, terms := range f.stored[object+"#"+rel.name] {
		set, relation, _ := strings.Cut(subject, "#")
		typ, id, _ := strings.Cut(set, ":")
		if !slices.Contains(rel.restrictions, restriction{typ, relation, id == "*", terms.Condition}) {
			continue
		}
		if x := f.holds(terms); x == yes || x == maybe && p.hopeful || x == failure && p.brave || x == adverse && !p.hopeful {
			out = either(out, fn(subject))
		}
	}
	return out
}

func (f *reference) direct(q Question, p asking, object string, rel *relationDef) answer {
	typ, _, _ := strings.Cut(q.Subject, ":")
	return f.members(p, object, rel, func(subject string) answer {
		set, relation, isSet := strings.Cut(subject, "#")
		switch {
		case subject == q.Subject, subject == typ+":*" && !strings.Contains(q.Subject, "#"):
			return yes
		case isSet:
			return f.check(q, p, set, relation)
		}
		return no
	})
}
