package failover_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/failover"
	"github.com/meridian-iam/meridian/pkg/fault"
)

// within answers after a time, unless the caller leaves before.
func within(d time.Duration, then func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return then(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func well(context.Context) error { return nil }

func TestHedge(t *testing.T) {
	t.Parallel()
	const hedge = 50 * time.Millisecond
	denied := saying(fault.Denied, commonv1.Reason_ACCESS_DENIED)
	for name, c := range map[string]struct {
		hedge      time.Duration
		change     bool
		near, next func(context.Context) error
		took       time.Duration
		calls      [2]int64
		code       connect.Code
	}{
		"off":                    {0, false, within(time.Second, well), well, time.Second, [2]int64{1, 0}, 0},
		"fast enough":            {hedge, false, within(hedge/2, well), well, hedge / 2, [2]int64{1, 0}, 0},
		"slow":                   {hedge, false, within(time.Second, well), well, hedge, [2]int64{1, 1}, 0},
		"slow, a change":         {hedge, true, within(time.Second, well), well, time.Second, [2]int64{1, 0}, 0},
		"first in the end":       {hedge, false, within(hedge*2, well), within(time.Second, well), hedge * 2, [2]int64{1, 1}, 0},
		"an error is an answer":  {hedge, false, within(time.Second, well), denied, hedge, [2]int64{1, 1}, connect.CodePermissionDenied},
		"the next one is away":   {hedge, false, within(time.Second, well), unavailable, time.Second, [2]int64{1, 1}, 0},
		"the first one is away":  {hedge, false, unavailable, well, 0, [2]int64{1, 1}, 0},
		"the first one goes":     {hedge, false, within(hedge*2, unavailable), within(hedge*2, well), hedge * 3, [2]int64{1, 1}, 0},
		"the first one is wrong": {hedge, false, within(hedge*2, denied), within(time.Second, well), hedge * 2, [2]int64{1, 1}, connect.CodePermissionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				left := make(chan struct{}, 2)
				watched := func(answer func(context.Context) error) func(context.Context) error {
					return func(ctx context.Context) error {
						context.AfterFunc(ctx, func() { left <- struct{}{} })
						return answer(ctx)
					}
				}
				near, next := &place{answer: watched(c.near)}, &place{answer: watched(c.next)}
				client := connected(t, failover.Options{Hedge: c.hedge}, near, next)
				begun := time.Now()
				var err error
				if c.change {
					err = client.change(t.Context(), "key")
				} else {
					err = client.read(t.Context())
				}
				if took := time.Since(begun); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if c.code == 0 && err != nil || c.code != 0 && connect.CodeOf(err) != c.code {
					t.Errorf("%v, want code %v", err, c.code)
				}
				wantCalls(t, []*place{near, next}, c.calls[0], c.calls[1])
				// Nobody works on for an answer that nobody wants.
				for range c.calls[0] + c.calls[1] {
					<-left
				}
				if took := time.Since(begun); took != c.took {
					t.Errorf("a region worked on for %v", took-c.took)
				}
			})
		})
	}
}

// Hedges are paid from the budget.
func TestBudgetOfHedges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, next := &place{}, &place{}
		near.answer = func(ctx context.Context) error {
			if near.called.Load()%3 == 0 { // too seldom for a pause
				return within(2*time.Microsecond, well)(ctx)
			}
			return nil
		}
		c := connected(t, failover.Options{Hedge: time.Microsecond}, near, next)
		for range 300 {
			if err := c.read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := next.called.Load(); got < 38 || got > 40 {
			t.Errorf("%d hedges of 100 slow calls, want the saved 10 and one in ten of 300 calls", got)
		}
	})
}

// A region that is outrun again and again is paused.
func TestHedgesOfALostRegion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, next := &place{answer: stuck}, &place{}
		c := connected(t, failover.Options{Hedge: time.Millisecond}, near, next)
		for range 100 {
			if err := c.read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		wantCalls(t, []*place{near, next}, 5, 100)
		if c.repeats.Load() != 5 {
			t.Errorf("%d hedges, want 5", c.repeats.Load())
		}
	})
}

// What a caller asks of a call that was hedged is safe to read (with -race).
func TestHedgeAndCallInfo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := connected(t, failover.Options{Hedge: time.Millisecond}, &place{answer: within(2*time.Millisecond, well)}, &place{})
		ctx, info := connect.NewClientContext(t.Context())
		if err := c.read(ctx); err != nil || info.HTTPMethod() != "POST" {
			t.Errorf("%v %v", info.HTTPMethod(), err)
		}
	})
}
