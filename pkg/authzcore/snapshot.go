package authzcore

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// A snapshot is: magic and version, then frames, then an end frame. A frame is
// its length and its CRC-32C (4 bytes each, big endian) and at most 1 MiB of
// bytes. The bytes of all frames together are one stream of varints and texts:
//
//	header: sequence, model id, organization, 32 bytes of hash
//	names: count, then types; count, then relations; count, then conditions
//	objects: count, then for each: type, id
//	sets: count, then for each: object, relation, count of members, members
//	terms: count, then for each: set, member, condition (0 for none), context,
//	expiry in Unix seconds
//
// Objects and sets are numbered from 0 in the order they are written; members
// increase, and each is written as the distance from the one before; a userset
// is the number of its set with the highest of 32 bits set. The end frame is
// empty and carries the CRC-32C of all bytes before it.
const (
	snapshotMagic   = "MRDGRAPH"
	snapshotVersion = 2
	maxFrame        = 1 << 20
	headerBytes     = len(snapshotMagic) + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header describes a snapshot.
type Header struct {
	// Organization and Hash are the caller's: which log, and the hash of the
	// event at Sequence.
	Organization string
	Hash         [32]byte
	// Sequence and Model are the view's. WriteSnapshot sets them.
	Sequence uint64
	Model    string
}

// frames cuts a stream of bytes into checked frames.
type frames struct {
	w     io.Writer
	buf   []byte
	total uint32
	err   error
}

func newFrames(w io.Writer) *frames {
	f := &frames{w: w, buf: make([]byte, 0, 64<<10)}
	head := binary.BigEndian.AppendUint32([]byte(snapshotMagic), snapshotVersion)
	f.write(head)
	return f
}

func (f *frames) write(b []byte) {
	if f.err == nil {
		_, f.err = f.w.Write(b)
	}
}

func (f *frames) uint(n uint64) {
	f.flushAt(binary.MaxVarintLen64)
	f.buf = binary.AppendUvarint(f.buf, n)
}

func (f *frames) text(s []byte) {
	f.uint(uint64(len(s)))
	f.flushAt(len(s))
	f.buf = append(f.buf, s...)
}

// flushAt writes a frame unless n more bytes fit.
func (f *frames) flushAt(n int) {
	if len(f.buf)+n > cap(f.buf) {
		f.flush()
	}
}

func (f *frames) flush() {
	if len(f.buf) == 0 {
		return
	}
	sum := crc32.Checksum(f.buf, castagnoli)
	f.total = crc32.Update(f.total, castagnoli, f.buf)
	f.write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(len(f.buf))), sum))
	f.write(f.buf)
	f.buf = f.buf[:0]
}

func (f *frames) end() error {
	f.flush()
	f.write(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 0), f.total))
	return f.err
}

// WriteSnapshot writes the view and the caller's part of the header. Objects
// and sets that no relationship names any more are left out.
//
// Errors: those of w.
func (v *View) WriteSnapshot(w io.Writer, h Header) error {
	f := newFrames(w)
	f.uint(v.sequence)
	id := ""
	if v.model != nil {
		id = v.model.id
	}
	f.text([]byte(id))
	f.text([]byte(h.Organization))
	f.text(h.Hash[:])
	n := v.renumber()
	n.writeNames(f)
	n.writeObjects(f)
	n.writeSets(f)
	n.writeTerms(f)
	return f.end()
}

// numbering gives the live objects, sets and names of a view new numbers; 0 is
// not used.
type numbering struct {
	view              *View
	objects, sets     []uint32
	objectN, setN     uint32
	types, relations  []uint32
	typeList, relList []uint16
	conditions        []uint32
	conditionList     []uint16
	// guards are those that have terms.
	guards []uint32
}

func (v *View) renumber() *numbering {
	n := &numbering{
		view: v, objects: make([]uint32, v.nodes.n), sets: make([]uint32, v.sets.n),
		types: make([]uint32, maxNames+1), relations: make([]uint32, maxNames+1), conditions: make([]uint32, maxNames+1),
	}
	for i := range v.guards.n {
		t := v.guards.at(i).terms
		if t == nil {
			continue
		}
		n.guards = append(n.guards, i)
		if t.condition != 0 {
			number(n.conditions, &n.conditionList, t.condition)
		}
	}
	for i := range v.sets.n {
		s := v.sets.at(i)
		if s.members.n == 0 && s.heldBy.n() == 0 {
			continue
		}
		n.setN++
		n.sets[i] = n.setN
		n.objects[s.object] = 1
		number(n.relations, &n.relList, s.relation)
	}
	for i := range v.nodes.n {
		o := v.nodes.at(i)
		if n.objects[i] == 0 && o.heldBy.n() == 0 {
			continue
		}
		n.objectN++
		n.objects[i] = n.objectN
		number(n.types, &n.typeList, o.typ)
	}
	return n
}

func number(numbers []uint32, order *[]uint16, id uint16) {
	if numbers[id] == 0 {
		*order = append(*order, id)
		numbers[id] = uint32(len(*order))
	}
}

func (n *numbering) writeNames(f *frames) {
	t := n.view.texts()
	f.uint(uint64(len(n.typeList)))
	for _, id := range n.typeList {
		f.text([]byte(t.types[id-1]))
	}
	f.uint(uint64(len(n.relList)))
	for _, id := range n.relList {
		f.text([]byte(t.relations[id-1]))
	}
	conditions := n.view.graph.names.conditions.all()
	f.uint(uint64(len(n.conditionList)))
	for _, id := range n.conditionList {
		f.text([]byte(conditions[id-1]))
	}
}

func (n *numbering) writeTerms(f *frames) {
	f.uint(uint64(len(n.guards)))
	for _, i := range n.guards {
		g := n.view.guards.at(i)
		f.uint(uint64(n.sets[g.set] - 1))
		f.uint(uint64(n.ref(g.ref)))
		f.uint(uint64(n.conditions[g.terms.condition]))
		f.text([]byte(g.terms.Context))
		f.uint(uint64(g.terms.Expires))
	}
}

// ref is the new number of a ref.
func (n *numbering) ref(ref uint32) uint32 {
	if ref&setFlag != 0 {
		return n.sets[ref&^setFlag] - 1 | setFlag
	}
	return n.objects[ref] - 1
}

func (n *numbering) writeObjects(f *frames) {
	v := n.view
	f.uint(uint64(n.objectN))
	for i := range v.nodes.n {
		if n.objects[i] == 0 {
			continue
		}
		o := v.nodes.at(i)
		f.uint(uint64(n.types[o.typ] - 1))
		f.text(v.idBytes(o))
	}
}

func (n *numbering) writeSets(f *frames) {
	v := n.view
	f.uint(uint64(n.setN))
	for i := range v.sets.n {
		if n.sets[i] == 0 {
			continue
		}
		s := v.sets.at(i)
		f.uint(uint64(n.objects[s.object] - 1))
		f.uint(uint64(n.relations[s.relation] - 1))
		f.uint(uint64(s.members.n))
		last := uint32(0)
		v.each(s.members, func(ref uint32) bool {
			// New numbers keep the order of the old ones.
			m := n.ref(ref)
			f.uint(uint64(m - last))
			last = m
			return f.err == nil
		})
	}
}
