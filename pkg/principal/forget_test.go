package principal_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// closing knows every bearer as a token of acme, and says whether acme is closed.
type closing struct {
	asked  atomic.Int64
	closed atomic.Bool
	// during runs while a question is asked, after its answer was found.
	during func(asked int64)
}

func (u *closing) verify(_ context.Context, bearer string) (principal.Principal, error) {
	p := principal.Principal{Kind: principal.APIToken, ID: bearer, Organization: acme, ServiceAccount: "svc_" + bearer}
	if u.closed.Load() {
		p.Closed = "suspended"
	}
	asked := u.asked.Add(1)
	if u.during != nil {
		u.during(asked)
	}
	return p, nil
}

func closedOf(t *testing.T, c *principal.Cache, bearer string) string {
	t.Helper()
	p, err := c.Verify(t.Context(), secret.NewString(bearer))
	if err != nil {
		t.Fatal(err)
	}
	return p.Closed
}

func TestForgetOrganization(t *testing.T) {
	t.Parallel()
	u := new(closing)
	c := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify)})
	for _, state := range []string{"", "suspended", ""} {
		u.closed.Store(state != "")
		c.Forget(acme)
		for range 2 {
			for _, bearer := range []string{"1", "2"} {
				if got := closedOf(t, c, bearer); got != state {
					t.Errorf("token %s: %q, want %q", bearer, got, state)
				}
			}
		}
		if p, known := c.Known(secret.NewString("1")); !known || p.Closed != state {
			t.Errorf("known %v, %+v; want state %q", known, p, state)
		}
	}
	if u.asked.Load() != 6 {
		t.Errorf("asked %d times, want twice for each state", u.asked.Load())
	}
	c.Forget(other)
	c.Forget("svc_1")
	closedOf(t, c, "1")
	closedOf(t, c, "2")
	if u.asked.Load() != 7 {
		t.Errorf("asked %d times, want once more: about the token that was forgotten", u.asked.Load())
	}
}

// What is forgotten while it is asked about is asked about again.
func TestForgetDuringFlight(t *testing.T) {
	t.Parallel()
	u := new(closing)
	c := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify)})
	u.during = func(asked int64) {
		if asked == 1 {
			u.closed.Store(true)
			c.Forget(acme)
		}
	}
	for range 2 {
		if got := closedOf(t, c, "1"); got != "suspended" {
			t.Errorf("state %q, want that of after the suspension", got)
		}
	}
	if u.asked.Load() != 2 {
		t.Errorf("asked %d times, want 2", u.asked.Load())
	}
}

// A stream of events holds up no answer for ever, and the last answer is not kept.
func TestForgetWithoutEnd(t *testing.T) {
	t.Parallel()
	u := new(closing)
	c := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify)})
	u.during = func(int64) { c.Forget(other) }
	closedOf(t, c, "1")
	if u.asked.Load() != 3 {
		t.Errorf("asked %d times, want 3", u.asked.Load())
	}
	u.during = nil
	closedOf(t, c, "1")
	closedOf(t, c, "1")
	if u.asked.Load() != 4 {
		t.Errorf("asked %d times, want 4: what was overtaken is not kept", u.asked.Load())
	}
}

// In an outage a token that was forgotten is not taken for what it was.
func TestForgetInAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := new(truth)
		c := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify)})
		if err := verify(t, c, "good-1"); err != nil {
			t.Fatal(err)
		}
		u.away.Store(true)
		c.Forget("1")
		if err := verify(t, c, "good-1"); !isUnavailable(err) {
			t.Errorf("forgotten: %v, want unavailable", err)
		}
		u.away.Store(false)
		if err := verify(t, c, "good-1"); err != nil {
			t.Errorf("forgotten is not dropped: %v", err)
		}
	})
}

func TestForgetAtOnce(t *testing.T) {
	t.Parallel()
	u := new(closing)
	c := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify), Size: 4})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 200 {
				if _, err := c.Verify(t.Context(), secret.NewString(string(rune('a'+i)))); err != nil {
					if f, ok := fault.As(err); !ok || f.Kind != fault.Unavailable {
						t.Error(err)
					}
				}
				c.Forget(acme)
			}
		})
	}
	group.Wait()
	u.closed.Store(true)
	c.Forget(acme)
	if got := closedOf(t, c, "a"); got != "suspended" {
		t.Errorf("state %q", got)
	}
}
