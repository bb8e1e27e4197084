package authzcore

import (
	"maps"
	"slices"
	"sync/atomic"
)

// extra is what an overlay adds to the indexes that it shares with the graph.
type extra struct {
	objects map[typedID]uint32
	guards  map[uint64]uint32
}

type typedID struct {
	typ uint16
	id  string
}

// overlays numbers the overlays of a process: each writes under a batch of its
// own, above those of all graphs, so that it copies whatever it changes.
var overlays atomic.Uint64

const firstOverlay = 1 << 63

// With returns a view with relationships that hold in it only: the contextual
// relationships of a question. One that is stored with the same resource,
// relation and subject is taken as given here. It copies the parts of the view
// that it changes: about 20 KiB, and some KiB for each relationship.
//
// Errors: *RelationshipError with the index of what the model does not allow,
// or what is named twice with different terms; ErrNoModel, ErrGraphFull.
func (v *View) With(relationships []Relationship) (*View, error) {
	if len(relationships) == 0 {
		return v, nil
	}
	if v.model == nil {
		return nil, ErrNoModel
	}
	w := v.overlay()
	seen := make(map[Relationship]Terms, len(relationships))
	for i, r := range relationships {
		if err := v.model.Validate(r); err != nil {
			return nil, &RelationshipError{Index: i, Err: err}
		}
		if terms, twice := seen[r.Key()]; twice && terms != r.Terms {
			return nil, &RelationshipError{Index: i, Err: &InputError{Field: "relationship", Rule: "unique", Detail: "is named twice, with different terms"}}
		}
		seen[r.Key()] = r.Terms
	}
	changes := make([]Change, len(relationships))
	for i, r := range relationships {
		changes[i].Relationship = r
	}
	if err := w.prepare([]Applied{{Sequence: v.sequence + 1, Changes: changes}}); err != nil {
		return nil, err
	}
	for i := range changes {
		w.change(&changes[i], &w.parsed[i])
	}
	out := *w.peek()
	out.size, out.extra = v.size, w.extra
	return &out, nil
}

// overlay returns a writer that shares the view's parts until it changes them.
func (v *View) overlay() *writer {
	w := &writer{
		graph: v.graph, batch: firstOverlay + overlays.Add(1), sequence: v.sequence, model: v.model, limits: v.limits,
		nodes: shared(v.nodes), sets: shared(v.sets), lists: shared(v.lists), guards: shared(v.guards),
		// A full chunk: new ids go into one of their own.
		ids:    arena{chunks: slices.Clip(v.ids), used: chunkSize},
		anyone: v.anyone, groups: v.groups, relationships: v.size.Relationships,
		extra: &extra{objects: map[typedID]uint32{}, guards: map[uint64]uint32{}},
	}
	if v.extra != nil {
		maps.Copy(w.extra.objects, v.extra.objects)
		maps.Copy(w.extra.guards, v.extra.guards)
	}
	return w
}

// shared is a vector that owns nothing of a table's pages.
func shared[T any](t table[T]) vector[T] {
	return vector[T]{table: t, owned: map[uint32]bool{}, sealed: true}
}
