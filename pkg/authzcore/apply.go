package authzcore

import (
	"fmt"
	"strings"
	"unsafe"
)

// Change makes a relationship present with its terms, or absent, whatever its
// terms, when Delete is set. Doing what is done already changes nothing.
type Change struct {
	Relationship Relationship
	Delete       bool
}

// Applied is one event: its sequence, what it changes, and the model from then
// on (nil: unchanged).
type Applied struct {
	Sequence uint64
	Changes  []Change
	Model    *Model
}

// Apply applies one event and publishes one new view. Readers see all of it or
// nothing. The sequence must be above the view's; gaps are the caller's matter.
//
// Errors: ErrSequence, ErrNamesFull, ErrGraphFull, *InputError. None of them
// changes anything.
func (g *Graph) Apply(sequence uint64, changes []Change, model *Model) error {
	return g.ApplyBatch([]Applied{{Sequence: sequence, Changes: changes, Model: model}})
}

// ApplyBatch applies events in order and publishes one new view at the end.
// Errors are those of Apply, of the first event that fails; then none of the
// batch is applied.
func (g *Graph) ApplyBatch(batch []Applied) error {
	if len(batch) == 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.w.prepare(batch); err != nil {
		return err
	}
	next := g.w.parsed
	for i := range batch {
		if m := batch[i].Model; m != nil {
			g.w.model = m
			g.w.markGroups(m)
		}
		for j := range batch[i].Changes {
			g.w.change(&batch[i].Changes[j], &next[0]) //nolint:gosec // one was parsed for each change
			next = next[1:]
		}
	}
	clear(g.w.parsed) // they hold on to the caller's texts
	g.w.sequence = batch[len(batch)-1].Sequence
	g.w.publish()
	return nil
}

// writer is the part of a graph that only one goroutine at a time touches.
type writer struct {
	graph    *Graph
	batch    uint64
	sequence uint64
	model    *Model
	limits   Limits

	nodes vector[object]
	sets  vector[set]
	lists vector[big]
	// guards has the terms of members; graph.guards finds them.
	guards vector[guard]
	ids    arena
	// anyone is replaced, never changed.
	anyone []typedObject
	// extra is not nil in the writer of an overlay.
	extra *extra
	// free are the unused items of lists.
	free []uint32
	// groups are the pairs of type and relation used as usersets. It is replaced,
	// never changed.
	groups map[uint32]bool
	// parsed holds the numbers of the batch's names.
	parsed        []parsedChange
	relationships uint64
	// heap counts the bytes of big lists.
	heap uint64
	// current is what peek returns.
	current View
}

// parsedChange is a change cut into its parts.
type parsedChange struct {
	resourceID, subjectID     string
	resourceType, subjectType uint16
	relation, subjectRelation uint16
	terms                     *terms
}

// prepare checks a whole batch, so that applying it cannot fail halfway.
func (w *writer) prepare(batch []Applied) error {
	sequence, changes, bytes := w.sequence, 0, 0
	w.parsed = w.parsed[:0]
	for i := range batch {
		if batch[i].Sequence <= sequence {
			return fmt.Errorf("sequence %d after %d: %w", batch[i].Sequence, sequence, ErrSequence)
		}
		sequence = batch[i].Sequence
		for j := range batch[i].Changes {
			p, err := w.parse(batch[i].Changes[j].Relationship) //nolint:gosec // j ranges over it
			if err != nil {
				return fmt.Errorf("change %d of sequence %d: %w", j, sequence, err)
			}
			w.parsed = append(w.parsed, p)
			changes++
			bytes += len(p.resourceID) + len(p.subjectID)
		}
	}
	room := uint64(setFlag) - 1
	idBytes := uint64(len(w.ids.chunks)+1)*chunkSize + uint64(bytes) + uint64(bytes)/64
	if uint64(w.nodes.n)+2*uint64(changes) > room || uint64(w.sets.n)+2*uint64(changes) > room || uint64(w.guards.n)+uint64(changes) > room || idBytes > 1<<32 {
		return ErrGraphFull
	}
	return nil
}

// parse cuts a relationship into its parts and numbers its names.
func (w *writer) parse(r Relationship) (parsedChange, error) {
	if err := ParseRelationship(r); err != nil {
		return parsedChange{}, err
	}
	resourceType, resourceID, _ := strings.Cut(r.Resource, ":")
	object, subjectRelation, isSet := strings.Cut(r.Subject, "#")
	subjectType, subjectID, _ := strings.Cut(object, ":")
	p := parsedChange{resourceID: resourceID, subjectID: subjectID}
	var err error
	names := w.graph.names
	if p.resourceType, err = names.types.intern(resourceType); err != nil {
		return p, err
	}
	if p.subjectType, err = names.types.intern(subjectType); err != nil {
		return p, err
	}
	if p.relation, err = names.relations.intern(r.Relation); err != nil {
		return p, err
	}
	if isSet {
		if p.subjectRelation, err = names.relations.intern(subjectRelation); err != nil {
			return p, err
		}
	}
	p.terms, err = names.newTerms(r.Terms)
	return p, err
}

func (w *writer) publish() {
	w.batch++
	v := w.peek()
	out := *v
	out.size = Size{Relationships: w.relationships, Objects: uint64(w.nodes.n), Bytes: w.bytes()}
	w.graph.view.Store(&out)
}

// peek returns a view of the writer's own state, valid until the next change.
func (w *writer) peek() *View {
	w.current = View{
		graph: w.graph, sequence: w.sequence, model: w.model, limits: w.limits,
		nodes: w.nodes.table, sets: w.sets.table, lists: w.lists.table, guards: w.guards.table,
		ids: w.ids.chunks, anyone: w.anyone, groups: w.groups, extra: w.extra,
	}
	return &w.current
}

func (w *writer) bytes() uint64 {
	const page, graph = 40, 1200
	n := w.nodes.capacity*uint64(unsafe.Sizeof(object{})) + uint64(len(w.nodes.pageOwner))*page
	n += w.sets.capacity*uint64(unsafe.Sizeof(set{})) + uint64(len(w.sets.pageOwner))*page
	n += w.lists.capacity*uint64(unsafe.Sizeof(big{})) + uint64(len(w.lists.pageOwner))*page
	n += w.guards.capacity*uint64(unsafe.Sizeof(guard{})) + 8*uint64(len(w.graph.guards.Load().slot))
	n += w.ids.bytes() + 8*uint64(len(w.graph.slots.Load().slot))
	return n + w.heap + 4*uint64(cap(w.free)) + graph
}
