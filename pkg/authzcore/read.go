package authzcore

import (
	"bytes"
	"container/heap"
	"context"
	"slices"
	"strings"
)

// Filter matches relationships. Each field is empty (all match), or full, or
// only a type in Resource and Subject. A full Subject matches itself only.
type Filter struct {
	Resource, Relation, Subject string
}

// Anchored says whether the resource or the subject is full, so that reading
// follows what is stored of it and not the size of the graph.
func (f Filter) Anchored() bool {
	return strings.Contains(f.Resource, ":") || strings.Contains(f.Subject, ":")
}

// Read returns up to limit relationships that match a filter and come after a
// relationship (the zero one: from the start), and whether there are more. The
// order is that of the bytes of resource, relation and subject.
//
// The cost follows the resource's or subject's own relationships when the filter
// is Anchored, else the size of the graph.
//
// Errors: *InputError with field resource, relation or subject; ctx.Err().
func (v *View) Read(ctx context.Context, f Filter, after Relationship, limit int) ([]Relationship, bool, error) {
	m, err := v.matcher(ctx, f)
	if err != nil {
		return nil, false, err
	}
	if m.nothing || limit <= 0 {
		return nil, false, nil
	}
	page := newPage(v, after, limit+1)
	m.scan(func(in uint32, s *set, ref uint32) bool {
		page.offer(in, s, ref)
		return true
	})
	if m.ended != nil {
		return nil, false, m.ended
	}
	out := page.sorted()
	if len(out) > limit {
		return out[:limit], true, nil
	}
	return out, false, nil
}

// All calls yield for every relationship, in no order, until it returns false.
func (v *View) All(yield func(Relationship) bool) {
	_ = v.Each(context.Background(), Filter{}, yield) // the empty filter has no error
}

// Each calls yield for every relationship that matches a filter, in no order,
// until it returns false. The cost is as Read's.
//
// Errors: *InputError with field resource, relation or subject; ctx.Err().
func (v *View) Each(ctx context.Context, f Filter, yield func(Relationship) bool) error {
	m, err := v.matcher(ctx, f)
	if err != nil || m.nothing {
		return err
	}
	t := v.texts()
	m.scan(func(in uint32, s *set, ref uint32) bool {
		r := t.relationship(s, ref)
		r.Terms = v.termsValue(in, s, ref)
		return yield(r)
	})
	return m.ended
}

// matcher is a filter with its names and ids resolved.
type matcher struct {
	view *View
	// ctx is looked at every polled relationships and sets that are looked at;
	// ended is its error.
	ctx    context.Context //nolint:containedctx // lives as long as one read
	looked int
	ended  error
	// nothing: a name or id that the graph has never seen.
	nothing                   bool
	resourceType, subjectType uint16
	relation                  uint16
	resource, subject         uint32
	hasResource, hasSubject   bool
}

func (v *View) matcher(ctx context.Context, f Filter) (*matcher, error) {
	m := &matcher{view: v, ctx: ctx}
	if err := m.resolveResource(f.Resource); err != nil {
		return nil, err
	}
	if f.Relation != "" {
		if err := checkName("relation", "relation_name", f.Relation); err != nil {
			return nil, err
		}
		m.relation = m.relationID(f.Relation)
	}
	return m, m.resolveSubject(f.Subject)
}

func (m *matcher) typeID(name string) uint16 {
	id, ok := m.view.graph.names.types.find(name)
	m.nothing = m.nothing || !ok
	return id
}

func (m *matcher) relationID(name string) uint16 {
	id, ok := m.view.graph.names.relations.find(name)
	m.nothing = m.nothing || !ok
	return id
}

func (m *matcher) objectOf(typ uint16, id string) uint32 {
	if m.nothing {
		return 0
	}
	n, ok := m.view.find(typ, id)
	m.nothing = !ok
	return n
}

func (m *matcher) resolveResource(text string) error {
	switch {
	case text == "":
		return nil
	case !strings.Contains(text, ":"):
		m.resourceType = m.typeID(text)
		return checkName("resource", "type_name", text)
	}
	o, err := ParseObject(text)
	if err != nil {
		return err
	}
	m.resource, m.hasResource = m.objectOf(m.typeID(o.Type), o.ID), true
	return nil
}

func (m *matcher) resolveSubject(text string) error {
	switch {
	case text == "":
		return nil
	case !strings.Contains(text, ":"):
		m.subjectType = m.typeID(text)
		return checkName("subject", "type_name", text)
	}
	s, err := ParseSubject(text)
	if err != nil {
		return err
	}
	m.hasSubject = true
	m.subject = m.objectOf(m.typeID(s.Type), s.ID)
	if s.Relation == "" || m.nothing {
		return nil
	}
	relation := m.relationID(s.Relation)
	if m.nothing {
		return nil
	}
	n, ok := m.view.setOf(m.subject, relation)
	m.subject, m.nothing = n|setFlag, !ok
	return nil
}

// scan calls fn for every relationship that matches, until it returns false.
func (m *matcher) scan(fn func(in uint32, s *set, ref uint32) bool) {
	v, more := m.view, true
	switch {
	case m.hasResource:
		for next := v.nodes.at(m.resource).sets; next != 0 && more; {
			more = m.scanSet(next-1, fn)
			next = v.sets.at(next - 1).next
		}
	case m.hasSubject:
		held := v.heldBy(m.subject)
		for _, l := range []list{held.groups, held.others} {
			v.each(l, func(n uint32) bool {
				more = more && m.scanSet(n, fn)
				return more
			})
		}
	default:
		for i := uint32(0); i < v.sets.n && more; i++ {
			more = m.scanSet(i, fn)
		}
	}
}

// look counts what is looked at. It returns false when the context ended.
func (m *matcher) look() bool {
	if m.looked++; m.looked%polled == 0 {
		m.ended = m.ctx.Err()
	}
	return m.ended == nil
}

func (m *matcher) scanSet(in uint32, fn func(in uint32, s *set, ref uint32) bool) (more bool) {
	if !m.look() {
		return false
	}
	s := m.view.sets.at(in)
	if m.relation != 0 && s.relation != m.relation || m.resourceType != 0 && s.typ != m.resourceType {
		return true
	}
	if m.hasSubject {
		return !m.view.contains(s.members, m.subject) || fn(in, s, m.subject)
	}
	more = true
	m.view.each(s.members, func(ref uint32) bool {
		if more = m.look(); !more {
			return false
		}
		if m.subjectType == 0 || m.view.typeOf(ref) == m.subjectType {
			more = fn(in, s, ref)
		}
		return more
	})
	return more
}

// typeOf returns the type of an object or of a userset's object.
func (v *View) typeOf(ref uint32) uint16 {
	if ref&setFlag != 0 {
		return v.sets.at(ref &^ setFlag).typ
	}
	return v.nodes.at(ref).typ
}

// page keeps the first relationships after a place, as keys whose bytes order
// as the relationships do: the parts never hold a NUL.
type page struct {
	texts *texts
	limit int
	after []byte
	// keys is a heap with the largest on top.
	keys    keyHeap
	scratch []byte
	// prefix is the part of a key that a set's members share.
	of     *set
	prefix int
}

type keyHeap []pageKey

type pageKey struct {
	key     []byte
	in, ref uint32
}

func (h keyHeap) Len() int           { return len(h) }
func (h keyHeap) Less(i, j int) bool { return bytes.Compare(h[i].key, h[j].key) > 0 }
func (h keyHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *keyHeap) Push(x any)        { *h = append(*h, x.(pageKey)) } //nolint:forcetypeassert // it holds keys only
func (h *keyHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func newPage(v *View, after Relationship, limit int) *page {
	p := &page{texts: v.texts(), limit: limit}
	if after != (Relationship{}) {
		p.after = []byte(after.Resource + "\x00" + after.Relation + "\x00" + after.Subject)
	}
	return p
}

func (p *page) offer(in uint32, s *set, ref uint32) {
	if p.of != s {
		p.scratch = p.texts.appendObject(p.scratch[:0], s.object)
		p.scratch = append(p.scratch, 0)
		p.scratch = append(p.scratch, p.texts.relation(s.relation)...)
		p.scratch = append(p.scratch, 0)
		p.of, p.prefix = s, len(p.scratch)
	}
	p.scratch = p.texts.appendRef(p.scratch[:p.prefix], ref)
	if p.after != nil && bytes.Compare(p.scratch, p.after) <= 0 {
		return
	}
	switch {
	case len(p.keys) < p.limit:
		heap.Push(&p.keys, pageKey{slices.Clone(p.scratch), in, ref})
	case bytes.Compare(p.scratch, p.keys[0].key) < 0:
		p.keys[0] = pageKey{append(p.keys[0].key[:0], p.scratch...), in, ref}
		heap.Fix(&p.keys, 0)
	}
}

func (p *page) sorted() []Relationship {
	slices.SortFunc(p.keys, func(a, b pageKey) int { return bytes.Compare(a.key, b.key) })
	out := make([]Relationship, len(p.keys))
	for i, k := range p.keys {
		parts := strings.Split(string(k.key), "\x00")
		v := p.texts.view
		out[i] = Relationship{
			Resource: parts[0], Relation: parts[1], Subject: parts[2], Terms: v.termsValue(k.in, v.sets.at(k.in), k.ref),
		}
	}
	return out
}
