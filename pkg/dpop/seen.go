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
// shorter, and lets nobody use a proof twice.
//
// Source: RFC 9449 section 11.1.
type Seen struct {
	size int

	mu sync.Mutex
	// seconds has the proofs by the second in which they were made.
	seconds map[int64]map[name]struct{}
	kept    int
	// floor is the second up to which no proof is taken.
	floor int64
	// swept is the second in which was last looked for proofs that are over.
	swept int64
}

// name is a proof's key and jti, hashed.
type name [16]byte

// NewSeen makes a memory of so many proofs; 0: 500,000.
func NewSeen(size int) *Seen {
	if size == 0 {
		size = defaultSeen
	}
	return &Seen{size: size, seconds: make(map[int64]map[name]struct{})}
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
// Errors: *Error with InvalidProof for one that was taken before, and one that is older
// than what could be remembered.
func (s *Seen) Take(p Proof, now time.Time) error {
	sum := sha256.Sum256([]byte(p.Thumbprint + "\x00" + p.ID))
	n := name(sum[:len(name{})])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	second := s.seconds[p.IssuedAt]
	if _, used := second[n]; used {
		return refuse("the proof was used before (jti)")
	}
	if s.kept >= s.size && p.IssuedAt > s.floor {
		s.forget(slices.Min(slices.Collect(maps.Keys(s.seconds))))
		second = s.seconds[p.IssuedAt]
	}
	if p.IssuedAt <= s.floor {
		return refuse("the proof is older than those that are remembered (iat)")
	}
	if second == nil {
		second = make(map[name]struct{})
		s.seconds[p.IssuedAt] = second
	}
	second[n] = struct{}{}
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
	s.kept -= len(s.seconds[second])
	delete(s.seconds, second)
	s.floor = max(s.floor, second)
}
