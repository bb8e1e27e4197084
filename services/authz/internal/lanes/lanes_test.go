package lanes_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/lanes"
)

func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lanes.New(lanes.Config{Running: 2, RunningEach: 1, Present: 4, PresentEach: 2})
		enter := func(organization string) func() {
			t.Helper()
			leave, err := l.Enter(t.Context(), organization)
			if err != nil {
				t.Fatalf("%s: %v", organization, err)
			}
			return leave
		}
		refused := func(what, organization string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := l.Enter(ctx, organization)
			if f, ok := fault.As(err); !ok || f.Reason != commonv1.Reason_RATE_LIMITED || f.RetryAfter == 0 {
				t.Errorf("%s: %v, want RATE_LIMITED", what, err)
			}
		}
		first := enter("a")
		entered := make(chan func())
		go func() { entered <- enter("a") }()
		synctest.Wait()
		began := time.Now()
		refused("a third of one organization", "a")
		if time.Since(began) != 0 {
			t.Error("one too many waited")
		}
		second := enter("b") // another organization does not wait
		refused("a third of all, when its time is over", "c")
		first()
		third := <-entered
		refused("still two of all", "c")
		second()
		fourth := enter("c")
		third()
		fourth()
		for range 3 { // nobody left a place behind
			leave := enter("a")
			leave()
		}
	})
}
