package authzcore

import "slices"

// tree is a sorted set of many refs in chunks of at most maxFlat, so that one
// more member does not copy the others.
type tree struct {
	chunks [][]uint32
	// first has the first ref of each chunk.
	first  []uint32
	owners []uint64
	owner  uint64
}

func newTree(refs []uint32, batch uint64) *tree {
	t := &tree{owner: batch}
	for chunk := range slices.Chunk(refs, maxFlat/2) {
		t.chunks = append(t.chunks, slices.Clone(chunk))
		t.first = append(t.first, chunk[0])
		t.owners = append(t.owners, batch)
	}
	return t
}

// at returns the index of the chunk that a ref belongs to.
func (t *tree) at(ref uint32) int {
	i := lowerBound(t.first, ref)
	if i < len(t.first) && t.first[i] == ref {
		return i
	}
	return max(i-1, 0)
}

func (t *tree) contains(ref uint32) bool {
	return has(t.chunks[t.at(ref)], ref)
}

// own returns the tree for writing in a batch.
func (t *tree) own(batch uint64) *tree {
	if t.owner == batch {
		return t
	}
	return &tree{
		chunks: slices.Clone(t.chunks), first: slices.Clone(t.first), owners: slices.Clone(t.owners), owner: batch,
	}
}

func (t *tree) ownChunk(i int, batch uint64) []uint32 {
	if t.owners[i] != batch {
		t.chunks[i] = append(make([]uint32, 0, len(t.chunks[i])+8), t.chunks[i]...)
		t.owners[i] = batch
	}
	return t.chunks[i]
}

// insert adds a ref that is absent.
func (t *tree) insert(ref uint32, batch uint64) *tree {
	t = t.own(batch)
	i := t.at(ref)
	chunk := t.ownChunk(i, batch)
	chunk = slices.Insert(chunk, lowerBound(chunk, ref), ref)
	t.chunks[i], t.first[i] = chunk, chunk[0]
	if len(chunk) <= maxFlat {
		return t
	}
	half := maxFlat / 2
	right := slices.Clone(chunk[half:])
	t.chunks[i] = slices.Clone(chunk[:half])
	t.chunks = slices.Insert(t.chunks, i+1, right)
	t.first = slices.Insert(t.first, i+1, right[0])
	t.owners = slices.Insert(t.owners, i+1, batch)
	return t
}

// remove takes out a ref that is present.
func (t *tree) remove(ref uint32, batch uint64) *tree {
	t = t.own(batch)
	i := t.at(ref)
	chunk := t.ownChunk(i, batch)
	at := lowerBound(chunk, ref)
	chunk = slices.Delete(chunk, at, at+1)
	t.chunks[i] = chunk
	if len(chunk) > 0 {
		t.first[i] = chunk[0]
		return t
	}
	t.chunks = slices.Delete(t.chunks, i, i+1)
	t.first = slices.Delete(t.first, i, i+1)
	t.owners = slices.Delete(t.owners, i, i+1)
	return t
}

func (t *tree) flat() []uint32 { return slices.Concat(t.chunks...) }

func (t *tree) bytes() uint64 {
	// 24 + 4 + 8 for each chunk beside its refs.
	n := uint64(len(t.chunks)) * 36
	return n + uint64(len(t.chunks))*maxFlat*3
}

// part returns the refs with or without setFlag.
func (t *tree) part(flagged bool) span {
	i := t.at(setFlag)
	cut := lowerBound(t.chunks[i], setFlag)
	if flagged {
		return span{refs: t.chunks[i][cut:], rest: t.chunks[i+1:]}
	}
	if i == 0 {
		return span{refs: t.chunks[0][:cut]}
	}
	// The chunk with the boundary is cut: walk the whole ones, then it.
	return span{refs: t.chunks[0], rest: t.chunks[1:i], last: t.chunks[i][:cut]}
}
