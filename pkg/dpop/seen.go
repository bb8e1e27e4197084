package dpop

import (
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"time"
)

// defaultSeen is how many proofs are remembered at once: some 20 MB of them.
const defaultSeen = 500_000

// Seen remembers the proofs that were used, so that this process takes none twice. It
// knows nothing of other processes: whoever has several takes a proof once in each.
// Its methods may be called from many goroutines.
//
// It is bounded. Where there is no room it forgets the proofs that were made first, and
// takes none any more that was made in their second or before: a flood makes the window
// shorter, and lets nobody use a proof twice. So that few do not take everybody's room, a
// key has a quarter of it, and a proof may be ahead of the clock by five seconds.
//
// Source: RFC 9449 section 11.1.
type Seen struct {
	size int

	mu sync.Mutex
	// seconds has the proofs by the second in which they were made, each with its key's
	// thumbprint, and keys how many there are of a key.
	seconds map[int64]map[name]string
	keys    map[string]int
	kept    int
	// floor is the second up to which no proof is taken.
	floor int64
	// swept is the second in which was last looked for proofs that are over.
	swept int64
}

const (
	// ofKey is which part of the room one key may have.
	ofKey = 4
	// ahead is how far ahead of the clock a proof may be that is remembered.
	ahead = 5 * time.Second
)

// name is a proof's key and jti, hashed.
type name [16]byte

// NewSeen makes a memory of so many proofs; 0: 500,000.
func NewSeen(size int) *Seen {
	if size == 0 {
		size = defaultSeen
	}
	return &Seen{size: size, seconds: make(map[int64]map[name]string), keys: make(map[string]int)}
}

// Check is the function Check for a proof that is used the first time.
//
// Errors: those of Check and Take.
func (s *Seen) Check(u Use, now time.Time) error {
	p, err := Check(u, now)
	if err != nil || p == (Proof{}) {
		return err
	}
	return s.Take(p, now)
}

// Take takes a proof that Read or Check returned at this time, once.
//
// Errors: *Error with InvalidProof for one that was taken before, one that is older than
// what could be remembered, one that is too far ahead, and one of a key that has too many.
func (s *Seen) Take(p Proof, now time.Time) error {
	sum := sha256.Sum256([]byte(p.Thumbprint + "\x00" + p.ID))
	n := name(sum[:len(name{})])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	second := s.seconds[p.IssuedAt]
	_, used := second[n]
	switch {
	case used:
		return refuse("the proof was used before (jti)")
	case time.Unix(p.IssuedAt, 0).Sub(now) > ahead:
		return refuse("the proof is of the future (iat)")
	case s.keys[p.Thumbprint] >= max(1, s.size/ofKey):
		return refuse("the key has proved too much in the last minute")
	}
	if s.kept >= s.size && p.IssuedAt > s.floor {
		s.forget(slices.Min(slices.Collect(maps.Keys(s.seconds))))
		second = s.seconds[p.IssuedAt]
	}
	if p.IssuedAt <= s.floor {
		return refuse("the proof is older than those that are remembered (iat)")
	}
	if second == nil {
		second = make(map[name]string)
		s.seconds[p.IssuedAt] = second
	}
	second[n] = p.Thumbprint
	s.keys[p.Thumbprint]++
	s.kept++
	return nil
}

// sweep forgets proofs that are over, once a second. They are below the floor after that:
// somebody may hold one that was good a moment ago.
func (s *Seen) sweep(now time.Time) {
	if now.Unix() == s.swept {
		return
	}
	s.swept = now.Unix()
	for second := range s.seconds {
		if now.Sub(time.Unix(second, 0)) > Window {
			s.forget(second)
		}
	}
}

func (s *Seen) forget(second int64) {
	for _, key := range s.seconds[second] {
		if s.keys[key]--; s.keys[key] == 0 {
			delete(s.keys, key)
		}
	}
	s.kept -= len(s.seconds[second])
	delete(s.seconds, second)
	s.floor = max(s.floor, second)
}
