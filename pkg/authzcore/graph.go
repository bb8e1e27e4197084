package authzcore

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// object is one object. Its id is in the arena.
type object struct {
	id    uint32
	idLen uint16
	typ   uint16
	// sets is the first of the object's sets plus one; 0 for none.
	sets uint32
	// heldBy are the sets that hold the object.
	heldBy holders
}

// holders are the sets that hold an object or set, in two lists: those of
// relations that are used as usersets, which a check climbs, and the others,
// which may be very many.
type holders struct {
	groups, others list
}

func (h *holders) n() uint32 { return h.groups.n + h.others.n }

func (h *holders) list(group bool) *list {
	if group {
		return &h.groups
	}
	return &h.others
}

// set is the stored subjects of one relation of one object.
type set struct {
	object uint32
	// next is the object's next set plus one; 0 for none.
	next     uint32
	relation uint16
	// typ is the object's type.
	typ     uint16
	members list
	// guarded counts the members that have terms.
	guarded uint32
	// heldBy are the sets that hold this one as a userset.
	heldBy holders
}

// Limits bound one check. A check that reaches a limit is an error, never a
// deny. A zero field means its default.
type Limits struct {
	// Depth is how many relationships may lie between the resource and the
	// answer; 50.
	Depth int
	// Breadth is how many sub-questions one object may raise; 1,000.
	Breadth int
	// Visits is how many sub-questions one check may ask, and conditions it may
	// evaluate, in all; 100,000.
	Visits int
	// gather is how many of the subject's groups are gathered; past it, usersets
	// are asked one by one.
	gather int
}

func (l Limits) orDefaults() Limits {
	if l.Depth <= 0 {
		l.Depth = 50
	}
	if l.Breadth <= 0 {
		l.Breadth = 1000
	}
	if l.Visits <= 0 {
		l.Visits = 100_000
	}
	if l.gather <= 0 {
		l.gather = 1024
	}
	return l
}

// Graph holds the relationships of one organization. Any number of goroutines
// read its views while one applies changes.
type Graph struct {
	names *Names
	seed  maphash.Seed
	slots atomic.Pointer[slots]
	// guards finds the terms of members.
	guards atomic.Pointer[slots]
	view   atomic.Pointer[View]

	mu sync.Mutex
	w  writer
}

// View is the graph at one revision. It is immutable, safe for concurrent use,
// and stays valid when the graph goes on.
type View struct {
	graph    *Graph
	sequence uint64
	model    *Model
	limits   Limits
	nodes    table[object]
	sets     table[set]
	lists    table[big]
	guards   table[guard]
	ids      [][]byte
	// anyone are the objects type:*.
	anyone []typedObject
	// groups are the pairs of type and relation used as usersets.
	groups map[uint32]bool
	size   Size
	// extra is not nil in an overlay.
	extra *extra
}

type typedObject struct {
	typ    uint16
	object uint32
}

// wildcard returns the object type:*, if any relationship names it.
func (v *View) wildcard(typ uint16) (uint32, bool) {
	for _, x := range v.anyone {
		if x.typ == typ {
			return x.object, true
		}
	}
	return 0, false
}

// Size says how large a view is.
type Size struct {
	Relationships uint64
	// Objects counts objects that any relationship ever named since the graph
	// was made or loaded.
	Objects uint64
	// Bytes is the resident memory, estimated from capacities.
	Bytes uint64
}

// NewGraph returns an empty graph without a model, at sequence 0. All models
// applied to it must come from the same names.
func NewGraph(names *Names) *Graph {
	g := &Graph{names: names, seed: maphash.MakeSeed()}
	g.slots.Store(newSlots(8))
	g.guards.Store(newSlots(8))
	g.w.graph = g
	g.w.limits = Limits{}.orDefaults()
	g.w.publish()
	return g
}

// View returns the newest view. It never blocks.
func (g *Graph) View() *View { return g.view.Load() }

// SetLimits changes the limits of the views from now on.
func (g *Graph) SetLimits(l Limits) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.w.limits = l.orDefaults()
	g.w.publish()
}

// Sequence is the sequence of the last change applied; 0 for none.
func (v *View) Sequence() uint64 { return v.sequence }

// Model is what the view decides by; nil when none was assigned.
func (v *View) Model() *Model { return v.model }

// Size says how large the view is.
func (v *View) Size() Size { return v.size }

func (v *View) idBytes(o *object) []byte {
	at := o.id & (chunkSize - 1)
	return v.ids[o.id>>chunkBits][at : at+uint32(o.idLen)]
}

// heldBy returns what holds a ref.
func (v *View) heldBy(ref uint32) *holders {
	if ref&setFlag != 0 {
		return &v.sets.at(ref &^ setFlag).heldBy
	}
	return &v.nodes.at(ref).heldBy
}

// setOf returns the number of an object's set for a relation.
func (v *View) setOf(n uint32, relation uint16) (uint32, bool) {
	for next := v.nodes.at(n).sets; next != 0; {
		s := v.sets.at(next - 1)
		if s.relation == relation {
			return next - 1, true
		}
		next = s.next
	}
	return 0, false
}
