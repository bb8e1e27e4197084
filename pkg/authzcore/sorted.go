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

// sorter sorts names, and keeps its memory for the next list.
type sorter struct {
	keys, other []keyed
}

// sort returns the names' places in the order of their bytes, until the next
// call. It sorts by the eight bytes after what all names begin with, byte by
// byte from the last, and compares only names that are alike in them: lists are
// long.
func (s *sorter) sort(names []string) []keyed {
	s.keys = slices.Grow(s.keys[:0], len(names))[:len(names)]
	s.other = slices.Grow(s.other[:0], len(names))[:len(names)]
	from, to := s.keys, s.other
	prefix := commonPrefix(names)
	differ := uint64(0)
	for i, name := range names {
		from[i] = keyed{head(name[prefix:]), uint32(i)}
		differ |= from[i].key ^ from[0].key
	}
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
	return from
}

// head is the first eight bytes, with zeros for what is absent.
func head(text string) uint64 {
	if len(text) >= 8 {
		return binary.BigEndian.Uint64([]byte(text[:8]))
	}
	key := uint64(0)
	for i := range len(text) {
		key |= uint64(text[i]) << (56 - 8*i)
	}
	return key
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
