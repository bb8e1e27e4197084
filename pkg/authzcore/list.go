package authzcore

import "slices"

const (
	// setFlag marks a ref to a set; without it a ref is an object.
	setFlag = 1 << 31
	// maxFlat is how many refs one slice holds; more go into chunks.
	maxFlat = 512
)

// list is a sorted set of refs: none, one (in place), or an index of a big.
type list struct {
	n uint32
	v uint32
}

// big holds two or more sorted refs: flat, or in chunks when there are many.
type big struct {
	refs  []uint32
	tree  *tree
	owner uint64
}

// contains says whether a list has a ref.
func (v *View) contains(l list, ref uint32) bool {
	switch l.n {
	case 0:
		return false
	case 1:
		return l.v == ref
	}
	b := v.lists.at(l.v)
	if b.tree != nil {
		return b.tree.contains(ref)
	}
	return has(b.refs, ref)
}

func has(refs []uint32, ref uint32) bool {
	i := lowerBound(refs, ref)
	return i < len(refs) && refs[i] == ref
}

// lowerBound returns the index of the first ref that is not below ref.
func lowerBound(refs []uint32, ref uint32) int {
	lo, hi := 0, len(refs)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if refs[mid] < ref {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// span is a part of a list, in order: walk it with next.
type span struct {
	refs []uint32
	rest [][]uint32
	last []uint32
}

// count returns how many refs are left, or a number above limit.
func (s *span) count(limit int) int {
	n := len(s.refs) + len(s.last)
	for i := 0; i < len(s.rest) && n <= limit; i++ {
		n += len(s.rest[i])
	}
	return n
}

// next returns the next run of refs, which is empty at the end only.
func (s *span) next() []uint32 {
	for {
		out := s.refs
		switch {
		case len(s.rest) > 0:
			s.refs, s.rest = s.rest[0], s.rest[1:]
		default:
			s.refs, s.last = s.last, nil
		}
		if len(out) > 0 || len(s.refs) == 0 && len(s.rest) == 0 {
			return out
		}
	}
}

// objects returns the refs without setFlag, flagged those with it. single
// must live as long as the span; it holds a list of one.
func (v *View) objects(l list, single *[1]uint32) span {
	return v.part(l, single, false)
}

// whole returns all refs.
func (v *View) whole(l list, single *[1]uint32) span {
	if l.n <= 1 {
		single[0] = l.v
		return span{refs: single[:l.n]}
	}
	b := v.lists.at(l.v)
	if b.tree != nil {
		return span{refs: b.tree.chunks[0], rest: b.tree.chunks[1:]}
	}
	return span{refs: b.refs}
}

// hasFlagged says whether a list has a ref with setFlag.
func (v *View) hasFlagged(l list) bool {
	if l.n <= 1 {
		return l.n == 1 && l.v >= setFlag
	}
	b := v.lists.at(l.v)
	if b.tree != nil {
		last := b.tree.chunks[len(b.tree.chunks)-1]
		return last[len(last)-1] >= setFlag
	}
	return b.refs[len(b.refs)-1] >= setFlag
}

func (v *View) flagged(l list, single *[1]uint32) span {
	return v.part(l, single, true)
}

func (v *View) part(l list, single *[1]uint32, flagged bool) span {
	switch l.n {
	case 0:
		return span{}
	case 1:
		if l.v&setFlag != 0 != flagged {
			return span{}
		}
		single[0] = l.v
		return span{refs: single[:]}
	}
	b := v.lists.at(l.v)
	if b.tree != nil {
		return b.tree.part(flagged)
	}
	i := lowerBound(b.refs, setFlag)
	if flagged {
		return span{refs: b.refs[i:]}
	}
	return span{refs: b.refs[:i]}
}

// each calls fn for every ref of a list, in order, until fn returns false.
func (v *View) each(l list, fn func(ref uint32) bool) {
	var single [1]uint32
	s := v.whole(l, &single)
	for refs := s.next(); len(refs) > 0; refs = s.next() {
		for _, ref := range refs {
			if !fn(ref) {
				return
			}
		}
	}
}

// insert adds a ref to a list of the writer's and returns the new list and
// whether the ref was absent.
func (w *writer) insert(l list, ref uint32) (list, bool) {
	switch l.n {
	case 0:
		return list{1, ref}, true
	case 1:
		if l.v == ref {
			return l, false
		}
		refs := []uint32{min(l.v, ref), max(l.v, ref)}
		w.heap += 8
		return list{2, w.newBig(big{refs: refs, owner: w.batch})}, true
	}
	b := w.lists.at(l.v)
	if b.tree != nil && b.tree.contains(ref) || b.tree == nil && has(b.refs, ref) {
		return l, false
	}
	b = w.lists.mut(l.v, w.batch)
	before := b.bytes()
	switch {
	case b.tree != nil:
		b.tree = b.tree.insert(ref, w.batch)
	case len(b.refs) >= maxFlat:
		b.tree = newTree(b.refs, w.batch).insert(ref, w.batch)
		b.refs = nil
	default:
		b.insertFlat(ref, w.batch)
	}
	w.heap += b.bytes() - before
	return list{l.n + 1, l.v}, true
}

func (b *big) insertFlat(ref uint32, batch uint64) {
	i, n := lowerBound(b.refs, ref), len(b.refs)
	if b.owner == batch && n < cap(b.refs) {
		b.refs = b.refs[:n+1]
		copy(b.refs[i+1:], b.refs[i:n])
		b.refs[i] = ref
		return
	}
	refs := make([]uint32, n+1, (n+n/4+2)&^1)
	copy(refs, b.refs[:i])
	refs[i] = ref
	copy(refs[i+1:], b.refs[i:])
	b.refs, b.owner = refs, batch
}

// remove takes a ref out of a list of the writer's and returns the new list and
// whether the ref was present.
func (w *writer) remove(l list, ref uint32) (list, bool) {
	if !w.peek().contains(l, ref) {
		return l, false
	}
	if l.n == 1 {
		return list{}, true
	}
	b := w.lists.mut(l.v, w.batch)
	before := b.bytes()
	switch {
	case l.n == 2:
		other := b.refs[0]
		if other == ref {
			other = b.refs[1]
		}
		*b = big{}
		w.heap -= before
		w.free = append(w.free, l.v)
		return list{1, other}, true
	case b.tree != nil:
		b.tree = b.tree.remove(ref, w.batch)
		if int(l.n)-1 <= maxFlat/2 {
			b.refs, b.tree, b.owner = b.tree.flat(), nil, w.batch
		}
	default:
		i := lowerBound(b.refs, ref)
		if b.owner != w.batch {
			b.refs, b.owner = slices.Clone(b.refs), w.batch
		}
		b.refs = slices.Delete(b.refs, i, i+1)
	}
	w.heap += b.bytes() - before
	return list{l.n - 1, l.v}, true
}

func (w *writer) newBig(b big) uint32 {
	if n := len(w.free); n > 0 {
		i := w.free[n-1]
		w.free = w.free[:n-1]
		*w.lists.mut(i, w.batch) = b
		return i
	}
	return w.lists.add(b, w.batch)
}

func (b *big) bytes() uint64 {
	if b.tree != nil {
		return b.tree.bytes()
	}
	return 4 * uint64(cap(b.refs))
}

// makeList returns a list of sorted, distinct refs, which it may keep.
func (w *writer) makeList(refs []uint32) list {
	switch len(refs) {
	case 0:
		return list{}
	case 1:
		return list{1, refs[0]}
	}
	b := big{owner: w.batch}
	if len(refs) > maxFlat {
		b.tree = newTree(refs, w.batch)
	} else {
		b.refs = slices.Clone(refs)
	}
	w.heap += b.bytes()
	return list{uint32(len(refs)), w.newBig(b)}
}
