package pinned_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/services/authz/internal/pinned"
)

// result is a list of about n bytes.
func result(n int) *pinned.Result {
	return &pinned.Result{Found: []authzcore.Found{{Name: strings.Repeat("x", n)}}}
}

func key(organization, query string) pinned.Key {
	return pinned.Key{Organization: organization, Query: query, Sequence: 1, At: 1}
}

func TestStore(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	open := func() *pinned.Store {
		return pinned.New(pinned.Config{Life: time.Minute, MostLife: time.Hour, MaxResults: 8, MaxBytes: 80_000, Clock: func() time.Time { return now }})
	}
	kept := func(t *testing.T, s *pinned.Store, k pinned.Key, want bool) {
		t.Helper()
		if _, ok := s.Get(k); ok != want {
			t.Errorf("%v is kept: %v, want %v", k, ok, want)
		}
	}
	t.Run("what was put is found by all of its key", func(t *testing.T) {
		s := open()
		s.Put(key("a", "q"), result(1))
		kept(t, s, key("a", "q"), true)
		for _, other := range []pinned.Key{key("b", "q"), key("a", "r"), {Organization: "a", Query: "q", Sequence: 2, At: 1}, {Organization: "a", Query: "q", Sequence: 1, At: 2}} {
			kept(t, s, other, false)
		}
	})
	t.Run("an organization has a quarter, and loses its own first", func(t *testing.T) {
		s := open()
		s.Put(key("b", "0"), result(1))
		s.Put(key("a", "1"), result(1))
		s.Put(key("a", "2"), result(1))
		s.Put(key("a", "3"), result(1))
		kept(t, s, key("b", "0"), true)
		kept(t, s, key("a", "1"), false)
		kept(t, s, key("a", "2"), true)
		s.Put(key("a", "4"), result(19_000)) // of 20,000
		kept(t, s, key("a", "2"), false)
		kept(t, s, key("a", "3"), false)
		s.Put(key("a", "5"), result(21_000))
		kept(t, s, key("a", "5"), false)
		kept(t, s, key("a", "4"), true)
	})
	t.Run("all together are bounded", func(t *testing.T) {
		s := open()
		for organization := range strings.SplitSeq("abcde", "") {
			s.Put(key(organization, "1"), result(18_000))
		}
		kept(t, s, key("a", "1"), false)
		kept(t, s, key("e", "1"), true)
		if s.Bytes() > 80_000 {
			t.Errorf("%d bytes are kept", s.Bytes())
		}
		for organization := range strings.SplitSeq("fghijklmn", "") {
			s.Put(key(organization, "1"), result(1))
		}
		kept(t, s, key("f", "1"), false)
		kept(t, s, key("n", "1"), true)
	})
	t.Run("again under the same key", func(t *testing.T) {
		s := open()
		s.Put(key("a", "1"), result(1000))
		before := s.Bytes()
		s.Put(key("a", "1"), result(1000))
		if s.Bytes() != before {
			t.Errorf("%d bytes, before %d", s.Bytes(), before)
		}
	})
}

// A result that is used again and again goes all the same in the end.
func TestMostLife(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := pinned.New(pinned.Config{
		Life: time.Minute, MostLife: 5 * time.Minute, MaxResults: 8, MaxBytes: 80_000, Clock: func() time.Time { return now },
	})
	s.Put(key("a", "q"), result(1))
	for range 10 {
		now = now.Add(30 * time.Second)
		if _, ok := s.Get(key("a", "q")); !ok {
			t.Fatalf("it is gone while it is used")
		}
	}
	now = now.Add(time.Second)
	if _, ok := s.Get(key("a", "q")); ok || s.Bytes() != 0 {
		t.Errorf("it is kept longer than its life in all: %v, %d bytes", ok, s.Bytes())
	}
}

// What was used goes a life later, though nobody calls again.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pinned.New(pinned.Config{Life: time.Minute, MostLife: time.Hour, MaxResults: 8, MaxBytes: 80_000, Clock: time.Now})
		for range 2 { // it begins again after it was empty
			s.Put(key("a", "q"), result(1))
			time.Sleep(50 * time.Second)
			if _, ok := s.Get(key("a", "q")); !ok {
				t.Fatal("it is gone while it is used")
			}
			time.Sleep(50 * time.Second)
			if s.Bytes() == 0 {
				t.Fatal("it is gone before its time")
			}
			time.Sleep(2 * time.Minute)
			if s.Bytes() != 0 {
				t.Errorf("%d bytes are kept", s.Bytes())
			}
		}
	})
}
