package failover_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/failover"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

// A region that takes a connection and says nothing costs half of the time.
func TestSilentRegions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hanging  int
		deadline time.Duration
		change   bool
		key      string
		took     time.Duration
		code     connect.Code
	}{
		"one of three":               {hanging: 1, deadline: time.Second, took: time.Second / 2},
		"two of three":               {hanging: 2, deadline: time.Second, took: time.Second * 3 / 4},
		"all":                        {hanging: 3, deadline: time.Second, took: time.Second, code: connect.CodeDeadlineExceeded},
		"no deadline":                {hanging: 1, took: 3 * time.Second},
		"little time":                {hanging: 1, deadline: 8 * time.Millisecond, took: 5 * time.Millisecond},
		"a change with a key":        {hanging: 1, deadline: time.Second, change: true, key: "key", took: time.Second / 2},
		"a change that stays, whole": {hanging: 1, deadline: time.Second, change: true, took: time.Second, code: connect.CodeDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				regions := []*place{{}, {}, {}}
				for _, p := range regions[:c.hanging] {
					p.hangs.Store(true)
				}
				client := connected(t, failover.Options{}, regions...)
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if c.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
				}
				defer cancel()
				begun := time.Now()
				var err error
				if c.change {
					err = client.change(ctx, c.key)
				} else {
					err = client.read(ctx)
				}
				if took := time.Since(begun); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if c.code == 0 && err != nil || c.code != 0 && connect.CodeOf(err) != c.code {
					t.Errorf("%v, want %v", err, c.code)
				}
			})
		})
	}
}

// The server is told of the caller's deadline: what it waits for may come in the
// second half.
func TestServerSeesTheWholeDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen time.Duration
		near := &place{answer: func(ctx context.Context) error {
			end, _ := ctx.Deadline()
			seen = time.Until(end)
			return nil
		}}
		c := connected(t, failover.Options{}, near, &place{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.read(ctx); err != nil || seen != time.Second {
			t.Errorf("the server had %v, want 1s (%v)", seen, err)
		}
	})
}

func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, next := &place{}, &place{}
		near.answer = func(ctx context.Context) error {
			if near.called.Load()%3 == 0 { // too seldom for a pause
				return unavailable(ctx)
			}
			return nil
		}
		c := connected(t, failover.Options{}, near, next)
		const made = 300
		failed := 0
		for range made {
			err := c.read(t.Context())
			if err == nil {
				continue
			}
			failed++
			f := faultconnect.FromConnect(err)
			if f.Kind != fault.Unavailable || f.Reason != commonv1.Reason_DATABASE_UNAVAILABLE || f.Meta["tried"] != "1" ||
				f.RetryAfter < 2*time.Second || !strings.Contains(f.Detail, "call less often, or try again") {
				t.Fatalf("%v %v", f, f.Meta)
			}
		}
		// The saved 10, and one in ten of the calls.
		const paid = 10 + made/10
		if got := next.called.Load(); got < paid-2 || got > paid || int(got)+failed != made/3 {
			t.Errorf("%d of %d failures went on, want %d; %d were told", got, made/3, paid, failed)
		}
		// What calls seldom is always repeated: a second pays for one.
		next.called.Store(0)
		near.answer = func(ctx context.Context) error {
			if near.called.Load()%2 == 0 {
				return unavailable(ctx)
			}
			return nil
		}
		for range 30 {
			<-time.After(time.Second)
			if err := c.read(t.Context()); err != nil {
				t.Errorf("a call after a second: %v", err)
			}
		}
		if next.called.Load() != 15 {
			t.Errorf("%d calls went on, want 15", next.called.Load())
		}
	})
}
