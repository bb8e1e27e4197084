package principal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// verifier is a function.
type verifier func(ctx context.Context, bearer string) (principal.Principal, error)

func (v verifier) Verify(ctx context.Context, bearer secret.String) (principal.Principal, error) {
	return v(ctx, bearer.Reveal())
}

// truth knows the tokens "good-<id>", and can be away.
type truth struct {
	asked   atomic.Int64
	away    atomic.Bool
	expires time.Time
}

func (u *truth) verify(_ context.Context, bearer string) (principal.Principal, error) {
	u.asked.Add(1)
	if u.away.Load() {
		return principal.Principal{}, fault.New(fault.UnknownOutcome, commonv1.Reason_OUTCOME_UNKNOWN, "no answer")
	}
	id, ok := strings.CutPrefix(bearer, "good-")
	if !ok {
		return principal.Principal{}, fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_REJECTED, "no")
	}
	return principal.Principal{Kind: principal.APIToken, ID: id, Expires: u.expires}, nil
}

func verify(t *testing.T, c *principal.Cache, bearer string) error {
	t.Helper()
	_, err := c.Verify(t.Context(), secret.NewString(bearer))
	return err
}

func TestCacheTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := new(truth)
		c := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify)})
		for range 3 {
			if err := verify(t, c, "good-1"); err != nil {
				t.Fatal(err)
			}
			pass(3 * time.Second)
		}
		if got := u.asked.Load(); got != 1 {
			t.Errorf("asked %d times within the TTL, want 1", got)
		}
		pass(2 * time.Second)
		if err := verify(t, c, "good-1"); err != nil || u.asked.Load() != 2 {
			t.Errorf("after the TTL: asked %d times, %v", u.asked.Load(), err)
		}
	})
}

func TestCacheRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := new(truth)
		c := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify)})
		for range 5 {
			if err := verify(t, c, "bad"); !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
				t.Fatal(err)
			}
		}
		if u.asked.Load() != 1 {
			t.Errorf("asked %d times, want 1", u.asked.Load())
		}
		pass(time.Second)
		if err := verify(t, c, "bad"); err == nil || u.asked.Load() != 2 {
			t.Errorf("a refusal is remembered for longer than a second")
		}
	})
}

func TestCacheExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := &truth{expires: time.Now().Add(4 * time.Second)}
		c := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify)})
		if err := verify(t, c, "good-1"); err != nil {
			t.Fatal(err)
		}
		pass(4 * time.Second)
		if err := verify(t, c, "good-1"); !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
			t.Errorf("expired token: %v", err)
		}
	})
}

func TestCacheOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := new(truth)
		registry := prometheus.NewRegistry()
		c := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify), Metrics: registry})
		if err := verify(t, c, "good-1"); err != nil {
			t.Fatal(err)
		}
		u.away.Store(true)
		pass(14 * time.Minute)
		for range 10 {
			if err := verify(t, c, "good-1"); err != nil {
				t.Fatal(err)
			}
		}
		if u.asked.Load() != 2 {
			t.Errorf("asked %d times in an outage within a second, want 1", u.asked.Load()-1)
		}
		stale := fmt.Sprintf("# HELP meridian_tokens_stale_total Tokens that were accepted from the cache while their verifier was unavailable.\n# TYPE meridian_tokens_stale_total counter\nmeridian_tokens_stale_total %d\n", 10)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(stale), "meridian_tokens_stale_total"); err != nil {
			t.Error(err)
		}
		if err := verify(t, c, "good-2"); !isUnavailable(err) {
			t.Errorf("a token never seen before: %v, want unavailable", err)
		}
		c.Drop("1")
		if err := verify(t, c, "good-1"); err == nil {
			t.Error("a revoked token works in an outage")
		}
	})
}

func TestCacheOutageEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := new(truth)
		c := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify)})
		if err := verify(t, c, "good-1"); err != nil {
			t.Fatal(err)
		}
		u.away.Store(true)
		pass(15*time.Minute + time.Second)
		if err := verify(t, c, "good-1"); !isUnavailable(err) {
			t.Errorf("older than the bound: %v, want unavailable", err)
		}
	})
}

func TestCacheDropIsForGood(t *testing.T) {
	t.Parallel()
	u := new(truth)
	c := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify)})
	c.Drop("1") // the upstream is behind and still says yes
	if err := verify(t, c, "good-1"); !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
		t.Errorf("dropped token: %v", err)
	}
}

func TestCacheDropDuringFlight(t *testing.T) {
	t.Parallel()
	begun, proceed := make(chan struct{}), make(chan struct{})
	u := new(truth)
	c := principal.NewCache(principal.CacheConfig{Upstream: verifier(func(ctx context.Context, bearer string) (principal.Principal, error) {
		close(begun)
		<-proceed
		return u.verify(ctx, bearer)
	})})
	answer := make(chan error)
	go func() { answer <- verify(t, c, "good-1") }()
	<-begun
	c.Drop("1")
	close(proceed)
	if err := <-answer; !fault.Is(err, commonv1.Reason_TOKEN_REJECTED) {
		t.Errorf("revoked while it was verified: %v", err)
	}
}

func TestCacheOneFlightPerToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := new(truth)
		c := principal.NewCache(principal.CacheConfig{Upstream: verifier(func(ctx context.Context, bearer string) (principal.Principal, error) {
			pass(time.Second)
			return u.verify(ctx, bearer)
		})})
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				if err := verify(t, c, "good-1"); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if u.asked.Load() != 1 {
			t.Errorf("asked %d times, want 1", u.asked.Load())
		}
	})
}

func TestCacheDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := principal.NewCache(principal.CacheConfig{Upstream: verifier(func(ctx context.Context, _ string) (principal.Principal, error) {
			<-ctx.Done()
			return principal.Principal{}, ctx.Err()
		})})
		begun := time.Now()
		impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := c.Verify(impatient, secret.NewString("good-1")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient caller: %v", err)
		}
		if err := verify(t, c, "good-1"); !isUnavailable(err) {
			t.Errorf("hanging upstream: %v", err)
		}
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("took %v, want the flight's own 2 s", took)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	u := new(truth)
	c := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify), Size: 2})
	for _, bearer := range []string{"good-1", "good-2", "good-1", "good-3", "good-1"} {
		if err := verify(t, c, bearer); err != nil {
			t.Fatal(err)
		}
	}
	if u.asked.Load() != 3 {
		t.Errorf("asked %d times, want 3: the token used last stays", u.asked.Load())
	}
	if err := verify(t, c, "good-2"); err != nil || u.asked.Load() != 4 {
		t.Error("the token used longest ago was not forgotten")
	}
}

func isUnavailable(err error) bool {
	f, ok := fault.As(err)
	return ok && f.Kind == fault.Unavailable
}

// pass lets the bubble's clock run.
func pass(d time.Duration) { <-time.After(d) }

// Known asks nobody: it has what was confirmed within the TTL and is still valid.
func TestKnown(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	u := &truth{expires: now.Add(5 * time.Second)}
	cache := principal.NewCache(principal.CacheConfig{Upstream: verifier(u.verify), Clock: func() time.Time { return now }})
	bearer := secret.NewString("good-tok_a")
	if p, ok := cache.Known(bearer); ok {
		t.Errorf("a token that nobody asked about is known: %v", p)
	}
	if _, err := cache.Verify(t.Context(), bearer); err != nil {
		t.Fatal(err)
	}
	if p, ok := cache.Known(bearer); !ok || p.ID != "tok_a" {
		t.Errorf("a confirmed token: %v, %v", p, ok)
	}
	now = now.Add(6 * time.Second)
	if p, ok := cache.Known(bearer); ok {
		t.Errorf("a token that has expired is known: %v", p)
	}
	now = now.Add(-6 * time.Second)
	cache.Drop("tok_a")
	if p, ok := cache.Known(bearer); ok || u.asked.Load() != 1 {
		t.Errorf("a revoked token is known: %v, or was asked about %d times", p, u.asked.Load())
	}
}
