package peoplefile

import "crypto/sha256"

// seenAtLeast is how many ids are remembered at least, and half of how many at
// most.
const seenAtLeast = 250_000

// seen remembers in which line an id stood, of the last seenAtLeast at least. An
// id that comes again later than that goes to the server, which leaves a user who
// was imported as is.
type seen struct {
	young, old map[[16]byte]int64
	// least is seenAtLeast, or less in tests.
	least int
}

// before returns the line in which an id stood already; else it remembers this
// one.
func (s *seen) before(id string, line int64) (at int64, twice bool) {
	sum := sha256.Sum256([]byte(id))
	key := [16]byte(sum[:16])
	if at, twice = s.young[key]; twice {
		return at, true
	}
	if at, twice = s.old[key]; twice {
		return at, true
	}
	if s.least == 0 {
		s.least = seenAtLeast
	}
	if s.young == nil || len(s.young) >= s.least {
		s.old, s.young = s.young, make(map[[16]byte]int64)
	}
	s.young[key] = line
	return 0, false
}
