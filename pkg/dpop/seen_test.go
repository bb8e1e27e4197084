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
		"of the future":     {proof("k1", "d", now.Add(dpop.Window)), true},
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
			if err := s.Take(proof("k", id, at), at); err != nil {
				t.Fatalf("%s in round %d: %v", id, i, err)
			}
		}
	}
	later := now.Add(10 * (dpop.Window + time.Second))
	if err := s.Take(proof("k", "c", later), later); err != nil {
		t.Fatal(err)
	}
	last := now.Add(9 * (dpop.Window + time.Second))
	if err := s.Take(proof("k", "a", last), last); code(t, err) != dpop.InvalidProof {
		t.Errorf("one that was forgotten, by who looked at the clock before: %v", err)
	}
}

// A flood makes the window shorter: no proof is taken twice, and new ones are.
func TestSeenFull(t *testing.T) {
	t.Parallel()
	s := dpop.NewSeen(3)
	first, second, third := now, now.Add(time.Second), now.Add(2*time.Second)
	for _, p := range []dpop.Proof{proof("k", "a", first), proof("k", "b", second), proof("k", "c", first)} {
		if err := s.Take(p, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Take(proof("k", "d", third), now); err != nil {
		t.Errorf("a new one when it is full: %v", err)
	}
	for _, p := range []dpop.Proof{proof("k", "a", first), proof("k", "c", first), proof("k", "b", second), proof("k", "e", first)} {
		if err := s.Take(p, now); code(t, err) != dpop.InvalidProof {
			t.Errorf("%s: %v", p.ID, err)
		}
	}
	if err := s.Take(proof("k", "f", second), now); err != nil {
		t.Errorf("one of a second that is remembered: %v", err)
	}
	for _, p := range []dpop.Proof{proof("k", "g", second), proof("k", "b", second)} {
		if err := s.Take(p, now); code(t, err) != dpop.InvalidProof {
			t.Errorf("%s of the first second that is known, when it is full: %v", p.ID, err)
		}
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
		_ = s.Take(proof("k", strconv.Itoa(i), now.Add(time.Duration(i%100)*time.Second)), now)
	}
}
