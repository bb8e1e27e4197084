package authzcore

// stamps is a hash table that is emptied by counting up: an entry is live while
// its generation is not below base.
type stamps struct {
	slots []stamp
	used  int
	base  uint32
}

type stamp struct {
	key   uint64
	gen   uint32
	value uint32
}

// home is where a key of a generation belongs.
func (t *stamps) home(key uint64, gen uint32) uint64 {
	return (key + uint64(gen)*0xd6e8feb86659fd93) * 0x9e3779b97f4a7c15 >> 32 & uint64(len(t.slots)-1)
}

// slot returns where a key of a generation is or belongs.
func (t *stamps) slot(key uint64, gen, base uint32) *stamp {
	mask := uint64(len(t.slots) - 1)
	for i := t.home(key, gen); ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.gen < base || s.gen == gen && s.key == key {
			return s
		}
	}
}

// room makes room for one more entry.
func (t *stamps) room(base uint32) {
	if t.base != base {
		t.base, t.used = base, 0
	}
	if 2*(t.used+1) <= len(t.slots) {
		return
	}
	old := t.slots
	t.slots = make([]stamp, max(64, 2*len(old)))
	for _, s := range old {
		if s.gen >= base {
			*t.slot(s.key, s.gen, base) = s
		}
	}
}

// add enters a key and says whether it is new.
func (t *stamps) add(key uint64, gen, base uint32) bool {
	t.room(base)
	s := t.slot(key, gen, base)
	if s.gen >= base {
		return false
	}
	*s = stamp{key: key, gen: gen}
	t.used++
	return true
}

// put sets the value of a key.
func (t *stamps) put(key uint64, gen, base, value uint32) {
	t.room(base)
	s := t.slot(key, gen, base)
	if s.gen < base {
		t.used++
	}
	*s = stamp{key: key, gen: gen, value: value}
}

// get returns the value of a key put in generation base, or 0.
func (t *stamps) get(key uint64, base uint32) uint32 {
	if t.base != base || len(t.slots) == 0 {
		return 0
	}
	if s := t.slot(key, base, base); s.gen >= base {
		return s.value
	}
	return 0
}

// live says whether a key was added in generation base.
func (t *stamps) live(key uint64, base uint32) bool {
	if t.base != base || len(t.slots) == 0 {
		return false
	}
	return t.slot(key, base, base).gen >= base
}
