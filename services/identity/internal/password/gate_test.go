package password //nolint:testpackage // the gate is the point

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func enter(t *testing.T, g *gate, bytes int64) func() {
	t.Helper()
	leave, err := g.enter(t.Context(), bytes)
	if err != nil {
		t.Fatal(err)
	}
	return leave
}

func TestGateBoundsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget, least = 1000, 10
		g := newGate(budget, least, 1000)
		var inside, most atomic.Int64
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				bytes := rand.New(rand.NewPCG(1, uint64(i))).Int64N(budget + 1)
				leave := enter(t, g, bytes)
				now := inside.Add(max(bytes, least))
				most.Store(max(now, most.Load()))
				if now > budget {
					t.Errorf("%d bytes inside", now)
				}
				<-time.After(time.Millisecond)
				inside.Add(-max(bytes, least))
				leave()
			})
		}
		all.Wait()
		if inside.Load() != 0 || g.waiting.Load() != 0 || !g.budget.TryAcquire(budget) {
			t.Error("something stayed inside")
		}
		if most.Load() < budget/2 {
			t.Errorf("at most %d bytes were inside: the budget was not used", most.Load())
		}
	})
}

func TestGateRefusesWhenTooManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(100, 1, 2)
		leave := enter(t, g, 100)
		var done atomic.Int64
		for range 2 {
			go func() {
				enter(t, g, 60)()
				done.Add(1)
			}()
		}
		synctest.Wait()
		_, err := g.enter(t.Context(), 1)
		if f, ok := fault.As(err); !ok || f.Kind != fault.Exhausted || f.Reason != commonv1.Reason_RATE_LIMITED || f.RetryAfter == 0 {
			t.Errorf("the third to wait: %v, want RATE_LIMITED", err)
		}
		leave()
		synctest.Wait()
		if done.Load() != 2 {
			t.Errorf("%d of 2 who waited got in", done.Load())
		}
		enter(t, g, 100)()
	})
}

func TestGateLetsGoOfWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(100, 1, 1)
		leave := enter(t, g, 100)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.enter(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("enter = %v, want the end of the context", err)
		}
		if g.waiting.Load() != 0 {
			t.Error("who gave up still waits")
		}
		leave()
		enter(t, g, 100)()
	})
}

func TestNoWaiters(t *testing.T) {
	g := newGate(100, 1, -1)
	leave := enter(t, g, 100)
	if _, err := g.enter(t.Context(), 1); !fault.Is(err, commonv1.Reason_RATE_LIMITED) {
		t.Errorf("enter = %v, want RATE_LIMITED", err)
	}
	leave()
	enter(t, g, 1)()
}

// What takes no memory takes a processor: it counts as one hash of our own.
func TestEveryKindOfHashGoesThroughTheGate(t *testing.T) {
	h, err := New(Config{Params: Params{Memory: 64 << 10, Passes: 1}, Limits: Limits{Memory: 64 << 20}, Budget: 64 << 20, Waiters: -1})
	if err != nil {
		t.Fatal(err)
	}
	for name, encoded := range map[string]string{
		"argon2": "$argon2id$v=19$m=16,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAA",
		"bcrypt": "$2b$04$abcdefghijklmnopqrstuu5Lo0g67CiD3M4RpN1BmBb4Crp5w7dbK",
		"scrypt": "$scrypt$ln=4,r=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAA",
		"pbkdf2": "$pbkdf2-sha256$i=1$MDEyMzQ1Njc4OWFiY2RlZg$AAAAAAAAAAAAAAAAAAAAAA",
	} {
		t.Run(name, func(t *testing.T) {
			stored, err := parse(encoded, h.limits)
			if err != nil {
				t.Fatal(err)
			}
			c := candidate{typed: "a", normal: "a"}
			leave := enter(t, h.gate, 1)
			if _, err := h.compare(t.Context(), stored, c); !fault.Is(err, commonv1.Reason_RATE_LIMITED) {
				t.Errorf("beside another: %v, want RATE_LIMITED", err)
			}
			leave()
			if match, err := h.compare(t.Context(), stored, c); match || err != nil {
				t.Errorf("alone: %t, %v", match, err)
			}
		})
	}
}
