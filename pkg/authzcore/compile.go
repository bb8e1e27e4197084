package authzcore

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strconv"
	"strings"
)

// File is one source file of a model. Path is its name in messages and, for
// modules, the one that fga.mod lists.
type File struct {
	Path, Content string
}

// Model is a compiled model. It is immutable and safe for concurrent use.
type Model struct {
	id     string
	names  *Names
	schema *schema
	// relations by pair of global numbers (type, relation).
	pairs map[uint32]*relationDef
	types map[uint16]*typeDef
	// conditions by number.
	conditions map[uint16]*condition
	// kinds is how many kinds of subjects the model tells apart: objects and
	// wildcards of each type, and usersets of each relation.
	kinds  int
	states []*state
	// exprs are the intersections and exclusions and their operands.
	exprs map[*rewrite]*expr
}

// Compile parses a model and makes it ready to decide: one file with a whole
// model (schema 1.1 or 1.2), or an fga.mod with the modules that it lists
// (schema 1.2). At most 100 files, 256 KiB, 500 types and 200 conditions in all;
// definitions nest at most 50 deep.
//
// Only a model without errors takes room in names, and keeps it for good: to
// check a model that may never be used, compile it with names of its own.
//
// Errors: *ModelError with every problem found, ErrNamesFull.
//
// Source: https://openfga.dev/docs/configuration-language and, for modules,
// https://openfga.dev/docs/modeling/modular-models.
func Compile(names *Names, files []File) (*Model, error) {
	return CompileContext(context.Background(), names, files)
}

// CompileContext is Compile that looks at ctx before each file and between its
// other steps. One step takes at most some seconds.
//
// Errors: those of Compile, and ctx.Err() when ctx ended first.
func CompileContext(ctx context.Context, names *Names, files []File) (*Model, error) {
	r := &reader{ctx: ctx}
	r.readFiles(files)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(r.problems) == 0 {
		r.validate()
	}
	if len(r.problems) > 0 {
		return nil, r.failure()
	}
	r.schema.arrange()
	// The first build, with names that are dropped, finds what is too complex.
	if _, err := build(NewNames(), r.schema, files); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return build(names, r.schema, files)
}

func build(names *Names, s *schema, files []File) (*Model, error) {
	m := &Model{id: modelID(s), names: names, schema: s, pairs: map[uint32]*relationDef{}, types: map[uint16]*typeDef{}, conditions: map[uint16]*condition{}}
	if err := m.number(); err != nil {
		return nil, err
	}
	if !m.build() {
		return nil, &ModelError{Problems: []Problem{{File: files[0].Path, Message: "the model's relations are made of too many others"}}}
	}
	return m, nil
}

// number gives every type and relation its number in Names.
func (m *Model) number() error {
	var types, relations []string
	conditions := m.schema.conditionNames()
	for _, t := range m.schema.types {
		types = append(types, t.name)
		for _, r := range t.relations {
			relations = append(relations, r.name)
		}
	}
	if err := m.names.internAll(types, relations, conditions); err != nil {
		return err
	}
	for _, t := range m.schema.types {
		t.id, _ = m.names.types.find(t.name)
		m.types[t.id] = t
		for _, r := range t.relations {
			r.id, _ = m.names.relations.find(r.name)
			m.pairs[pair(t.id, r.id)] = r
			m.kinds++
		}
	}
	m.kinds += 2 * len(m.schema.types)
	for _, name := range conditions {
		c := *m.schema.conditions[name]
		c.id, _ = m.names.conditions.find(name)
		m.conditions[c.id] = &c
	}
	return nil
}

// pair joins the numbers of a type and of a relation.
func pair(typ, relation uint16) uint32 {
	return uint32(typ)<<16 | uint32(relation)
}

// ID is mdl_ and 32 characters of Crockford's base 32: the first 20 bytes of
// the SHA-256 of the model's canonical form. It does not depend on the order of
// files, types and relations, on white space or on comments.
func (m *Model) ID() string { return m.id }

// Types lists the model's types, sorted.
func (m *Model) Types() []string {
	out := make([]string, len(m.schema.types))
	for i, t := range m.schema.types {
		out[i] = t.name
	}
	return out
}

// Relations lists a type's relations and permissions, sorted; nil for an
// unknown type.
func (m *Model) Relations(typ string) []string {
	t := m.schema.byName[typ]
	if t == nil {
		return nil
	}
	out := make([]string, len(t.relations))
	for i, r := range t.relations {
		out[i] = r.name
	}
	return out
}

// Conditions lists the model's conditions, sorted.
func (m *Model) Conditions() []string { return m.schema.conditionNames() }

func modelID(s *schema) string {
	sum := sha256.Sum256([]byte(canonical(s)))
	return "mdl_" + base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding).EncodeToString(sum[:20])
}

// canonical is one line for each type and relation, in order, with the module
// that owns it.
func canonical(s *schema) string {
	var b strings.Builder
	line := func(words ...string) {
		b.WriteString(strings.Join(words, " "))
		b.WriteByte('\n')
	}
	line("meridian model 1, schema", s.version)
	for _, t := range s.types {
		line("type", t.name, strconv.Quote(t.module))
		for _, r := range t.relations {
			var allowed []string
			for _, x := range r.restrictions {
				allowed = append(allowed, x.String())
			}
			slices.Sort(allowed)
			allowed = slices.Compact(allowed)
			line("define", r.name, strconv.Quote(r.module), "["+strings.Join(allowed, ",")+"]", r.rewrite.canonical())
		}
	}
	for _, name := range s.conditionNames() {
		line(s.conditions[name].canonical()...)
	}
	return b.String()
}

func (w *rewrite) canonical() string {
	join := func(word string) string {
		parts := make([]string, len(w.children))
		for i, c := range w.children {
			parts[i] = c.canonical()
		}
		return "(" + strings.Join(parts, " "+word+" ") + ")"
	}
	switch w.kind {
	case rewriteThis:
		return "[]"
	case rewriteComputed:
		return w.relation
	case rewriteFrom:
		return "(" + w.relation + " from " + w.tupleset + ")"
	case rewriteUnion:
		return join("or")
	case rewriteIntersection:
		return join("and")
	default:
		return join("but not")
	}
}
