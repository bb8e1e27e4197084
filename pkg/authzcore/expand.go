package authzcore

import (
	"context"
	"slices"
)

// ExpandNode is a part of a definition with the stored subjects.
type ExpandNode struct {
	// Kind is StepDirect, StepComputed or StepFrom for leaves, StepUnion,
	// StepIntersection or StepExclusion (base, subtract) over Nodes.
	Kind StepKind
	// Name is resource#relation.
	Name string
	// Relationships are the stored ones, sorted by subject, for StepDirect.
	Relationships []Relationship
	// Usersets are what StepComputed and StepFrom lead to, sorted.
	Usersets []string
	// Tupleset is the relation of StepFrom.
	Tupleset string
	Nodes    []*ExpandNode
}

// maxExpanded bounds the stored subjects in an expansion, and maxExpandedBytes
// their names and contexts together.
const (
	maxExpanded      = 10_000
	maxExpandedBytes = 1 << 20
)

// Expand shows one level of what a permission of a resource is made of.
// Relationships that the model does not allow any more, or that have expired,
// are left out; those under conditions are not, whatever the context.
//
// Errors: *InputError, *TypeUnknownError, *RelationUnknownError, ErrNoModel,
// ErrTooWide for more than 10,000 subjects or more than 1 MiB of names and
// contexts, ctx.Err().
func (v *View) Expand(ctx context.Context, resource, permission string, under Circumstances) (*ExpandNode, error) {
	if v.model == nil {
		return nil, ErrNoModel
	}
	o, err := ParseObject(resource)
	if err != nil {
		return nil, err
	}
	t := v.model.schema.byName[o.Type]
	if t == nil {
		return nil, &TypeUnknownError{Field: "resource", Type: o.Type}
	}
	r := t.byName[permission]
	if r == nil {
		if err := checkName("permission", "relation_name", permission); err != nil {
			return nil, err
		}
		return nil, &RelationUnknownError{Field: "permission", Type: o.Type, Relation: permission}
	}
	x := &expander{ctx: ctx, view: v, texts: v.texts(), resource: resource}
	x.object, x.known = v.find(t.id, o.ID)
	x.under.set(&under)
	node := x.node(r, r.rewrite)
	return node, x.err
}

type expander struct {
	ctx      context.Context //nolint:containedctx // lives as long as one expansion
	view     *View
	texts    *texts
	resource string
	object   uint32
	known    bool
	under    asked
	count    int
	bytes    int
	err      error
}

func (x *expander) node(r *relationDef, w *rewrite) *ExpandNode {
	out := &ExpandNode{Name: x.resource + "#" + r.name}
	switch w.kind {
	case rewriteThis:
		out.Kind = StepDirect
		x.stored(r, func(ref uint32, terms Terms) {
			found := Relationship{Resource: x.resource, Relation: r.name, Subject: string(x.texts.appendRef(nil, ref)), Terms: terms}
			if x.room(len(found.Resource) + len(found.Relation) + len(found.Subject) + len(terms.Condition) + len(terms.Context)) {
				out.Relationships = append(out.Relationships, found)
			}
		})
		slices.SortFunc(out.Relationships, func(a, b Relationship) int { return compare(a.Subject, b.Subject) })
	case rewriteComputed:
		out.Kind, out.Usersets = StepComputed, []string{x.resource + "#" + w.relation}
	case rewriteFrom:
		out.Kind, out.Tupleset = StepFrom, w.tupleset
		x.stored(r.typ.byName[w.tupleset], func(ref uint32, _ Terms) {
			if t := x.view.model.types[x.view.nodes.at(ref).typ]; t.byName[w.relation] != nil {
				if set := x.texts.object(ref) + "#" + w.relation; x.room(len(set)) {
					out.Usersets = append(out.Usersets, set)
				}
			}
		})
		slices.Sort(out.Usersets)
	default:
		out.Kind = map[rewriteKind]StepKind{
			rewriteUnion: StepUnion, rewriteIntersection: StepIntersection, rewriteExclusion: StepExclusion,
		}[w.kind]
		for _, c := range w.children {
			out.Nodes = append(out.Nodes, x.node(r, c))
		}
	}
	return out
}

// room counts bytes of the answer. It returns false when there are too many.
func (x *expander) room(bytes int) bool {
	if x.bytes += bytes; x.bytes > maxExpandedBytes {
		x.err = ErrTooWide
	}
	return x.err == nil
}

// stored calls fn for the stored subjects of a relation that count.
func (x *expander) stored(r *relationDef, fn func(ref uint32, terms Terms)) {
	if !x.known || x.err != nil {
		return
	}
	in, stored := x.view.setOf(x.object, r.id)
	if !stored {
		return
	}
	s := x.view.sets.at(in)
	x.view.each(s.members, func(ref uint32) bool {
		if x.count++; x.count > maxExpanded {
			x.err = ErrTooWide
		} else if x.count%polled == 0 {
			x.err = x.ctx.Err()
		}
		if x.err != nil {
			return false
		}
		kind, known := x.view.kindOf(ref)
		t := x.view.termsOf(in, ref)
		condition := uint16(0)
		if t != nil {
			condition = t.condition
		}
		if known && r.rule.allows(kind, condition) && (t == nil || t.Expires == 0 || x.under.clock() < t.Expires) {
			fn(ref, x.view.termsValue(in, s, ref))
		}
		return x.err == nil
	})
}

// kindOf numbers the kind of a stored subject; false when the model has no such
// kind.
func (v *View) kindOf(ref uint32) (int, bool) {
	if ref&setFlag != 0 {
		s := v.sets.at(ref &^ setFlag)
		r := v.model.pairs[pair(s.typ, s.relation)]
		if r == nil {
			return 0, false
		}
		return v.model.setKind(r), true
	}
	o := v.nodes.at(ref)
	t := v.model.types[o.typ]
	switch {
	case t == nil:
		return 0, false
	case string(v.idBytes(o)) == wildcard:
		return v.model.wildcardKind(t), true
	default:
		return v.model.objectKind(t), true
	}
}
