package authzcore

import (
	"slices"
	"strings"
)

// Difference is a definition that two models do not share. Type is empty for a
// condition, Relation for a type as a whole.
type Difference struct {
	Type, Relation, Condition string
	// Before and After are the definitions in the language; empty: it is not
	// there. A module is named when it is all that differs.
	Before, After string
}

// Diff returns what differs from one model to another: by type and relation,
// then by condition, sorted. The order of definitions, of type restrictions and
// white space make no difference.
func Diff(from, to *Model) []Difference {
	var out []Difference
	for _, name := range merged(from.Types(), to.Types()) {
		before, after := from.schema.byName[name], to.schema.byName[name]
		if before == nil || after == nil {
			out = append(out, Difference{Type: name, Before: before.source(), After: after.source()})
			continue
		}
		if before.module != after.module {
			out = append(out, Difference{Type: name, Before: before.header() + ownedBy(before.module), After: after.header() + ownedBy(after.module)})
		}
		out = append(out, diffRelations(before, after)...)
	}
	return append(out, diffConditions(from.schema, to.schema)...)
}

func diffConditions(from, to *schema) []Difference {
	var out []Difference
	for _, name := range merged(from.conditionNames(), to.conditionNames()) {
		before, after := from.conditions[name], to.conditions[name]
		d := Difference{Condition: name, Before: before.source(), After: after.source()}
		switch {
		case before == nil || after == nil || before.meaning() != after.meaning():
			out = append(out, d)
		case before.module != after.module:
			d.Before += ownedBy(before.module)
			d.After += ownedBy(after.module)
			out = append(out, d)
		}
	}
	return out
}

func diffRelations(from, to *typeDef) []Difference {
	var out []Difference
	for _, name := range merged(relationNames(from), relationNames(to)) {
		before, after := from.byName[name], to.byName[name]
		d := Difference{Type: from.name, Relation: name, Before: before.source(), After: after.source()}
		switch {
		case before == nil || after == nil || before.meaning() != after.meaning():
			out = append(out, d)
		case before.module != after.module && (before.module != from.module || after.module != to.module):
			d.Before += ownedBy(before.module)
			d.After += ownedBy(after.module)
			out = append(out, d)
		}
	}
	return out
}

// merged merges names, sorted.
func merged(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

func relationNames(t *typeDef) []string {
	out := make([]string, len(t.relations))
	for i, r := range t.relations {
		out[i] = r.name
	}
	return out
}

func ownedBy(module string) string {
	if module == "" {
		return "  # in no module"
	}
	return "  # in module " + module
}

func (t *typeDef) header() string { return "type " + t.name }

// source is a type with its relations in the language; empty for none.
func (t *typeDef) source() string {
	if t == nil {
		return ""
	}
	lines := []string{t.header()}
	if len(t.relations) > 0 {
		lines = append(lines, "  relations")
	}
	for _, r := range t.relations {
		lines = append(lines, "    "+r.source())
	}
	return strings.Join(lines, "\n")
}

// source is a relation in the language; empty for none.
func (r *relationDef) source() string {
	if r == nil {
		return ""
	}
	return "define " + r.name + ": " + r.rewrite.source(r.allowed(), false)
}

// meaning is what makes two definitions the same.
func (r *relationDef) meaning() string {
	allowed := make([]string, len(r.restrictions))
	for i, x := range r.restrictions {
		allowed[i] = x.String()
	}
	slices.Sort(allowed)
	return strings.Join(slices.Compact(allowed), ",") + " " + r.rewrite.canonical()
}

// source is a condition in the language; empty for none.
func (c *condition) source() string {
	if c == nil {
		return ""
	}
	parameters := make([]string, len(c.parameters))
	for i, p := range c.parameters {
		parameters[i] = p.name + ": " + p.typ.String()
	}
	return "condition " + c.name + "(" + strings.Join(parameters, ", ") + ") {\n  " + strings.TrimSpace(c.expression) + "\n}"
}

// meaning is what makes two conditions the same.
func (c *condition) meaning() string {
	if c == nil {
		return ""
	}
	words := c.canonical()
	return strings.Join(append(words[:2:2], words[3:]...), " ") // whatever the module
}

// keeps says whether every context that is stored with a condition is one of the
// other: a nil condition has none.
func (c *condition) keeps(other *condition) bool {
	if c == nil || other == nil {
		return false
	}
	for _, p := range c.parameters {
		if q := other.find(p.name); q == nil || q.typ.String() != p.typ.String() {
			return false
		}
	}
	return true
}

// source is a rewrite in the language, in parentheses when it is an operand.
func (w *rewrite) source(allowed string, operand bool) string {
	word := ""
	switch w.kind {
	case rewriteThis:
		return "[" + allowed + "]"
	case rewriteComputed:
		return w.relation
	case rewriteFrom:
		return w.relation + " from " + w.tupleset
	case rewriteUnion:
		word = " or "
	case rewriteIntersection:
		word = " and "
	case rewriteExclusion:
		word = " but not "
	}
	parts := make([]string, len(w.children))
	for i, c := range w.children {
		parts[i] = c.source(allowed, true)
	}
	text := strings.Join(parts, word)
	if operand {
		return "(" + text + ")"
	}
	return text
}
