package authzcore

import (
	"maps"
	"slices"
)

// change applies one prepared change.
func (w *writer) change(c *Change, p *parsedChange) {
	if c.Delete {
		w.delete(p)
		return
	}
	resource := w.node(p.resourceType, p.resourceID)
	in := w.setOf(resource, p.resourceType, p.relation)
	subject := w.node(p.subjectType, p.subjectID)
	if p.subjectRelation != 0 {
		w.markGroup(pair(p.subjectType, p.subjectRelation))
		subject = w.setOf(subject, p.subjectType, p.subjectRelation) | setFlag
	}
	w.link(in, subject)
	w.setTerms(in, subject, p.terms)
}

// link adds a ref to a set and the set to what holds the ref's object or set.
func (w *writer) link(in, ref uint32) {
	members, added := w.insert(w.sets.at(in).members, ref)
	if !added {
		return
	}
	s := w.sets.mut(in, w.batch)
	s.members = members
	held := w.heldBy(ref).list(w.groups[pair(s.typ, s.relation)])
	*held, _ = w.insert(*held, in)
	w.relationships++
}

// heldBy returns, for writing, what holds a ref.
func (w *writer) heldBy(ref uint32) *holders {
	if ref&setFlag != 0 {
		return &w.sets.mut(ref&^setFlag, w.batch).heldBy
	}
	return &w.nodes.mut(ref, w.batch).heldBy
}

func (w *writer) delete(p *parsedChange) {
	v := w.peek()
	resource, ok := v.find(p.resourceType, p.resourceID)
	if !ok {
		return
	}
	in, ok := v.setOf(resource, p.relation)
	if !ok {
		return
	}
	subject, ok := v.find(p.subjectType, p.subjectID)
	if !ok {
		return
	}
	if p.subjectRelation != 0 {
		if subject, ok = v.setOf(subject, p.subjectRelation); !ok {
			return
		}
		subject |= setFlag
	}
	members, removed := w.remove(v.sets.at(in).members, subject)
	if !removed {
		return
	}
	w.setTerms(in, subject, nil)
	s := w.sets.mut(in, w.batch)
	s.members = members
	held := w.heldBy(subject).list(w.groups[pair(s.typ, s.relation)])
	*held, _ = w.remove(*held, in)
	w.relationships--
}

// node returns the number of an object, adding it when it is new.
func (w *writer) node(typ uint16, id string) uint32 {
	if n, ok := w.peek().find(typ, id); ok {
		return n
	}
	n := w.nodes.add(object{id: w.ids.add(id), idLen: uint16(len(id)), typ: typ}, w.batch)
	if id == wildcard {
		w.anyone = append(slices.Clip(w.anyone), typedObject{typ, n})
	}
	if w.extra != nil {
		w.extra.objects[typedID{typ, id}] = n
		return n
	}
	t := w.graph.slots.Load()
	if grown := t.insert(hashID(w.graph.seed, typ, id), n); grown != t {
		w.graph.slots.Store(grown)
	}
	return n
}

// setOf returns the number of an object's set, adding it when it is new.
func (w *writer) setOf(n uint32, typ, relation uint16) uint32 {
	if s, ok := w.peek().setOf(n, relation); ok {
		return s
	}
	o := w.nodes.mut(n, w.batch)
	s := w.sets.add(set{object: n, next: o.sets, relation: relation, typ: typ}, w.batch)
	o.sets = s + 1
	return s
}

// markGroups marks what a model uses as usersets.
func (w *writer) markGroups(m *Model) {
	for _, t := range m.schema.types {
		for _, r := range t.relations {
			for _, x := range r.rule.sets {
				w.markGroup(x.pair)
			}
		}
	}
}

// markGroup marks a pair of type and relation as used for usersets: from then
// on its sets are among the groups of what they hold. Models name such pairs
// before relationships do, so that there is nothing to move yet.
func (w *writer) markGroup(group uint32) {
	if w.groups[group] {
		return
	}
	groups := maps.Clone(w.groups)
	if groups == nil {
		groups = map[uint32]bool{}
	}
	groups[group] = true
	w.groups = groups
	for i := range w.sets.n {
		s := w.sets.at(i)
		if pair(s.typ, s.relation) != group || s.members.n == 0 {
			continue
		}
		v := *w.peek()
		var refs []uint32
		v.each(s.members, func(ref uint32) bool {
			refs = append(refs, ref)
			return true
		})
		for _, ref := range refs {
			held := w.heldBy(ref)
			held.others, _ = w.remove(held.others, i)
			held.groups, _ = w.insert(held.groups, i)
		}
	}
}
