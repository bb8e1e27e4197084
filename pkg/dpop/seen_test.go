package dpop_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/dpop"
)

// proof is one that Check returned.
func proof(thumbprint, id string, made time.Time) dpop.Proof {
	return dpop.Proof{Thumbprint: thumbprint, ID: id, IssuedAt: made.Unix()}
}

// O15: no proof is taken twice.
func TestSeen(t *testing.T) {
	t.Parallel()
	s := dpop.NewSeen(0)
	for name, tc := range map[string]struct {
		proof dpop.Proof
		again bool
	}{
		"first":             {proof("k1", "a", now), true},
		"another id":        {proof("k1", "b", now), true},
		"another key":       {proof("k2", "a", now), true},
		"the same together": {proof("k", "1a", now), true},
		"of the past":       {proof("k1", "c", now.Add(-dpop.Window)), true},
		"of the future":     {proof("k1", "d", now.Add(5*time.Second)), true},
	} {
		if err := s.Take(tc.proof, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Take(tc.proof, now); code(t, err) != dpop.InvalidProof {
			t.Errorf("%s, again: %v", name, err)
		}
	}
}

// What is over is forgotten, and whoever still holds it uses it no more.
func TestSeenForgets(t *testing.T) {
	t.Parallel()
	s := dpop.NewSeen(2)
	for i := range 10 {
		at := now.Add(time.Duration(i) * (dpop.Window + time.Second))
		for _, id := range []string{"a", "b"} {
			if err := s.Take(proof(id, id, at), at); err != nil {
				t.Fatalf("%s in round %d: %v", id, i, err)
			}
		}
	}
	later := now.Add(10 * (dpop.Window + time.Second))
	if err := s.Take(proof("c", "c", later), later); err != nil {
		t.Fatal(err)
	}
	last := now.Add(9 * (dpop.Window + time.Second))
	if err := s.Take(proof("a", "a", last), last); code(t, err) != dpop.InvalidProof {
		t.Errorf("one that was forgotten, by who looked at the clock before: %v", err)
	}
}

// A flood makes the window shorter: no proof is taken twice, and new ones are.
func TestSeenFull(t *testing.T) {
	t.Parallel()
	s := dpop.NewSeen(3)
	first, second, third := now, now.Add(time.Second), now.Add(2*time.Second)
	for _, p := range []dpop.Proof{proof("a", "a", first), proof("b", "b", second), proof("c", "c", first)} {
		if err := s.Take(p, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Take(proof("d", "d", third), now); err != nil {
		t.Errorf("a new one when it is full: %v", err)
	}
	for _, p := range []dpop.Proof{proof("a", "a", first), proof("c", "c", first), proof("b", "b", second), proof("e", "e", first)} {
		if err := s.Take(p, now); code(t, err) != dpop.InvalidProof {
			t.Errorf("%s: %v", p.ID, err)
		}
	}
	if err := s.Take(proof("f", "f", second), now); err != nil {
		t.Errorf("one of a second that is remembered: %v", err)
	}
	for _, p := range []dpop.Proof{proof("g", "g", second), proof("b", "b", second)} {
		if err := s.Take(p, now); code(t, err) != dpop.InvalidProof {
			t.Errorf("%s of the first second that is known, when it is full: %v", p.ID, err)
		}
	}
}

// Whoever has one key shuts out that key, and no proof is so far ahead that those of now
// are the old ones.
func TestSeenFlood(t *testing.T) {
	t.Parallel()
	const size = 400
	s := dpop.NewSeen(size)
	if err := s.Take(proof("flood", "ahead", now.Add(6*time.Second)), now); code(t, err) != dpop.InvalidProof {
		t.Errorf("six seconds ahead: %v", err)
	}
	for i := range size {
		err := s.Take(proof("flood", strconv.Itoa(i), now.Add(5*time.Second)), now)
		if (err == nil) != (i < size/4) {
			t.Fatalf("proof %d of a key: %v", i, err)
		}
	}
	for second := range 60 {
		at := now.Add(time.Duration(second) * time.Second)
		if err := s.Take(proof("k", strconv.Itoa(second), at), at); err != nil {
			t.Errorf("another's %d s later: %v", second, err)
		}
	}
	over := now.Add(dpop.Window + 7*time.Second)
	if err := s.Take(proof("flood", "later", over), over); err != nil {
		t.Errorf("the key when its proofs are over: %v", err)
	}
}

func TestSeenAtOnce(t *testing.T) {
	t.Parallel()
	s := dpop.NewSeen(0)
	var taken atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 100 {
				if s.Take(proof("k", strconv.Itoa(i), now), now) == nil {
					taken.Add(1)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() != 100 {
		t.Errorf("%d of 100 proofs were taken", taken.Load())
	}
}

func TestSeenCheck(t *testing.T) {
	t.Parallel()
	own, s := newES256(t), dpop.NewSeen(0)
	u := dpop.Use{
		Request: dpop.Request{Proofs: []string{own.sign(t, claims(nil), nil)}, Method: method, URI: called},
		Scheme:  "DPoP", Token: token, Thumbprint: own.thumbprint,
	}
	wrong := u
	wrong.URI = "https://other.example.com/"
	if err := s.Check(wrong, now); code(t, err) != dpop.InvalidProof {
		t.Errorf("another URI: %v", err)
	}
	if err := s.Check(u, now); err != nil {
		t.Errorf("one that was refused elsewhere before: %v", err)
	}
	if err := s.Check(u, now); code(t, err) != dpop.InvalidProof {
		t.Errorf("again: %v", err)
	}
	for range 2 {
		if err := s.Check(dpop.Use{Scheme: "Bearer", Token: token}, now); err != nil {
			t.Errorf("unbound: %v", err)
		}
	}
}

func BenchmarkSeen(b *testing.B) {
	s := dpop.NewSeen(0)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_ = s.Take(proof(strconv.Itoa(i%16), strconv.Itoa(i), now.Add(-time.Duration(i%50)*time.Second)), now)
	}
}
