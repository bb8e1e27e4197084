package authzcore

import (
	"encoding/binary"
	"slices"
)

// keyed is the place of a name and eight bytes of it.
type keyed struct {
	key uint64
	at  uint32
}

// sorted returns the places of names in the order of their bytes. It sorts by
// the eight bytes after what all names begin with, byte by byte from the last,
// and compares only names that are alike in them: lists are long.
func sorted(names []string) []uint32 {
	prefix := commonPrefix(names)
	keys := make([]keyed, len(names), 2*len(names))
	differ := uint64(0)
	for i, name := range names {
		var head [8]byte
		copy(head[:], name[prefix:])
		keys[i] = keyed{binary.BigEndian.Uint64(head[:]), uint32(i)}
		differ |= keys[i].key ^ keys[0].key
	}
	from, to := keys, keys[len(names):2*len(names)]
	for shift := 0; shift < 64; shift += 8 {
		if differ>>shift&0xff != 0 {
			byByte(from, to, shift)
			from, to = to, from
		}
	}
	for i := 0; i < len(from); {
		j := i + 1
		for j < len(from) && from[j].key == from[i].key {
			j++
		}
		if j-i > 1 {
			slices.SortFunc(from[i:j], func(a, b keyed) int { return compare(names[a.at], names[b.at]) })
		}
		i = j
	}
	out := make([]uint32, len(from))
	for i, k := range from {
		out[i] = k.at
	}
	return out
}

func commonPrefix(names []string) int {
	if len(names) == 0 {
		return 0
	}
	first := names[0]
	n := len(first)
	for _, name := range names {
		n = min(n, len(name))
		for name[:n] != first[:n] {
			n--
		}
	}
	return n
}

// byByte sorts by one byte of the key and keeps the order of equal ones.
func byByte(from, to []keyed, shift int) {
	var count [257]int
	for _, k := range from {
		count[k.key>>shift&0xff+1]++
	}
	for i := range 256 {
		count[i+1] += count[i]
	}
	for _, k := range from {
		b := k.key >> shift & 0xff
		to[count[b]] = k
		count[b]++
	}
}
