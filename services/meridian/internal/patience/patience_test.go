package patience_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/patience"
)

func TestCall(t *testing.T) {
	limited := fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED, "slow down")
	limited.RetryAfter = 20 * time.Second
	refused := fault.New(fault.Invalid, commonv1.Reason_INVALID_FIELD, "wrong")
	lost := fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "gone")
	for name, c := range map[string]struct {
		answers []error
		want    error
		called  int
		least   time.Duration
	}{
		"answered at once":                  {[]error{nil}, nil, 1, 0},
		"waits as long as the server asks":  {[]error{limited, limited, nil}, nil, 3, 40 * time.Second},
		"a lost server comes back":          {[]error{lost, lost, lost, nil}, nil, 4, 0},
		"what stays wrong is not repeated":  {[]error{lost, refused, nil}, refused, 2, 0},
		"a defect of ours is not repeated":  {[]error{errors.ErrUnsupported}, errors.ErrUnsupported, 1, 0},
		"it gives up on a server that left": {[]error{lost}, lost, 30, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, called := time.Now(), 0
				err := patience.Call(t.Context(), func(context.Context) error {
					called++
					return c.answers[min(called, len(c.answers))-1]
				})
				if !errors.Is(err, c.want) || called != c.called {
					t.Errorf("called %d times: %v; want %d times: %v", called, err, c.called, c.want)
				}
				if took := time.Since(began); took < c.least {
					t.Errorf("took %s, want %s at least", took, c.least)
				}
			})
		})
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		lost := fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "gone")
		err := patience.Call(ctx, func(context.Context) error { return lost })
		if !errors.Is(err, lost) || time.Since(began) > time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
