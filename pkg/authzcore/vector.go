package authzcore

import "slices"

const (
	pageBits = 8
	pageSize = 1 << pageBits
	dirBits  = 6
	dirSize  = 1 << dirBits
)

// table is an immutable vector as readers see it: a root of directories of
// pages of items.
type table[T any] struct {
	root [][][]T
	n    uint32
}

// at returns item i, which must be below n. The item must not be written to.
func (t *table[T]) at(i uint32) *T {
	return &t.root[i>>(pageBits+dirBits)][i>>pageBits&(dirSize-1)][i&(pageSize-1)]
}

// vector is a table that one writer changes: before it writes to a page,
// directory or root that an older view shares, it copies it. The batch number
// says what is the writer's own already. The last page grows, so that small
// vectors stay small.
type vector[T any] struct {
	table[T]
	rootOwner uint64
	dirOwner  []uint64
	pageOwner []uint64
	// owned says for a sealed vector what it has copied: dirs with the highest
	// bit set, pages without.
	owned map[uint32]bool
	// capacity counts the items that all pages have room for.
	capacity uint64
	// sealed: another writer may append to the same last page, so it is copied
	// before this one does.
	sealed bool
}

// mut returns item i for writing.
func (v *vector[T]) mut(i uint32, batch uint64) *T {
	p, d, s := i>>pageBits, i>>(pageBits+dirBits), i>>pageBits&(dirSize-1)
	if !v.ownsPage(p, batch) {
		v.own(d, batch)
		old := v.root[d][s]
		page := make([]T, len(old), cap(old))
		copy(page, old)
		v.root[d][s] = page
		v.takePage(p, batch)
	}
	return &v.root[d][s][i&(pageSize-1)]
}

// add appends an item and returns its index.
func (v *vector[T]) add(item T, batch uint64) uint32 {
	i := v.n
	p, d, s := i>>pageBits, i>>(pageBits+dirBits), i>>pageBits&(dirSize-1)
	if int(d) == len(v.root) {
		v.ownRoot(batch)
		v.root = append(v.root, nil)
		v.takeDir(d, batch)
	}
	v.own(d, batch)
	if int(s) == len(v.root[d]) {
		v.root[d] = append(v.root[d], nil)
		v.takePage(p, batch)
	}
	page := v.root[d][s]
	if len(page) == cap(page) || v.sealed && !v.owned[p] {
		grown := make([]T, len(page), min(max(4, 2*cap(page)), pageSize))
		v.capacity += uint64(cap(grown) - cap(page))
		copy(grown, page)
		page = grown
		v.takePage(p, batch)
	}
	// A view that shares this page has an older length and never looks past it.
	v.root[d][s] = append(page, item)
	v.n++
	return i
}

func (v *vector[T]) own(d uint32, batch uint64) {
	if v.ownsDir(d, batch) {
		return
	}
	v.ownRoot(batch)
	v.root[d] = slices.Clone(v.root[d])
	v.takeDir(d, batch)
}

const dirFlag = 1 << 31

func (v *vector[T]) ownsPage(p uint32, batch uint64) bool {
	if v.sealed {
		return v.owned[p]
	}
	return v.pageOwner[p] == batch
}

func (v *vector[T]) takePage(p uint32, batch uint64) {
	switch {
	case v.sealed:
		v.owned[p] = true
	case int(p) == len(v.pageOwner):
		v.pageOwner = append(v.pageOwner, batch)
	default:
		v.pageOwner[p] = batch
	}
}

func (v *vector[T]) ownsDir(d uint32, batch uint64) bool {
	if v.sealed {
		return v.owned[d|dirFlag]
	}
	return v.dirOwner[d] == batch
}

func (v *vector[T]) takeDir(d uint32, batch uint64) {
	switch {
	case v.sealed:
		v.owned[d|dirFlag] = true
	case int(d) == len(v.dirOwner):
		v.dirOwner = append(v.dirOwner, batch)
	default:
		v.dirOwner[d] = batch
	}
}

func (v *vector[T]) ownRoot(batch uint64) {
	if v.rootOwner != batch {
		v.root = slices.Clone(v.root)
		v.rootOwner = batch
	}
}
