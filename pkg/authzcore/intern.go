package authzcore

import (
	"hash/maphash"
	"sync/atomic"
)

const (
	chunkBits  = 16
	chunkSize  = 1 << chunkBits
	firstChunk = 256
)

// arena keeps the bytes of ids. It only grows, and what was written is never
// changed, so that views share it.
type arena struct {
	chunks [][]byte
	used   int // of the last chunk
}

// add copies an id in and returns where it is.
func (a *arena) add(id string) uint32 {
	last := len(a.chunks) - 1
	if last < 0 || a.used+len(id) > chunkSize {
		a.replace(append(a.chunks[:last+1:last+1], make([]byte, firstChunk+len(id))))
		a.used = 0
		last++
	}
	chunk := a.chunks[last]
	if a.used+len(id) > len(chunk) {
		grown := make([]byte, min(chunkSize, 2*len(chunk)+len(id)))
		copy(grown, chunk)
		chunks := append([][]byte(nil), a.chunks...)
		chunks[last] = grown
		a.replace(chunks)
		chunk = grown
	}
	at := a.used
	copy(chunk[at:], id)
	a.used += len(id)
	return uint32(last)<<chunkBits | uint32(at)
}

func (a *arena) replace(chunks [][]byte) { a.chunks = chunks }

func (a *arena) bytes() uint64 {
	n := uint64(0)
	for _, c := range a.chunks {
		n += uint64(len(c))
	}
	return n
}

// slots is an open-addressing hash table from objects to their numbers. One
// writer inserts; readers need no lock. A slot holds 32 bits of hash and the
// number plus one.
type slots struct {
	mask uint64
	slot []atomic.Uint64
	used int
}

func newSlots(size int) *slots {
	return &slots{mask: uint64(size - 1), slot: make([]atomic.Uint64, size)}
}

func hashID(seed maphash.Seed, typ uint16, id string) uint32 {
	h := maphash.String(seed, id) ^ uint64(typ)*0x9e3779b97f4a7c15
	h *= 0xff51afd7ed558ccd
	return uint32(h >> 32)
}

// find returns the number of an object that the view has.
func (v *View) find(typ uint16, id string) (uint32, bool) {
	if v.extra != nil {
		if n, found := v.extra.objects[typedID{typ, id}]; found {
			return n, true
		}
	}
	hash := hashID(v.graph.seed, typ, id)
	t := v.graph.slots.Load()
	for i := uint64(hash) & t.mask; ; i = (i + 1) & t.mask {
		s := t.slot[i].Load()
		if s == 0 {
			return 0, false
		}
		n := uint32(s) - 1
		if uint32(s>>32) != hash || n >= v.nodes.n { //nolint:gocritic // the upper half is the hash
			continue
		}
		if o := v.nodes.at(n); o.typ == typ && string(v.idBytes(o)) == id {
			return n, true
		}
	}
}

// insert adds a number that is not in the table, and returns the table to
// publish: itself or a larger one.
func (t *slots) insert(hash, n uint32) *slots {
	if 4*(t.used+1) > 3*len(t.slot) {
		grown := newSlots(2 * len(t.slot))
		for i := range t.slot {
			if s := t.slot[i].Load(); s != 0 {
				grown.put(s)
			}
		}
		t = grown
	}
	t.put(uint64(hash)<<32 | uint64(n+1))
	return t
}

func (t *slots) put(s uint64) {
	i := s >> 32 & t.mask
	for t.slot[i].Load() != 0 {
		i = (i + 1) & t.mask
	}
	t.slot[i].Store(s)
	t.used++
}
