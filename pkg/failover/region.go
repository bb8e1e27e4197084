package failover

import (
	"errors"
	"net/url"
	"time"

	"connectrpc.com/connect"
	"github.com/sony/gobreaker/v2"
)

const (
	// pausedFor is how long a region is left alone before one call tries it.
	pausedFor = 2 * time.Second
	// consecutive failures pause a region,
	consecutive = 5
	// and so does half of at least this many calls within the window.
	windowCalls = 20
	window      = 10 * time.Second
)

// region is one place to call. Its breakers stop calls to a place that does not
// answer. They count unavailable, deadline_exceeded and internal only: other
// errors are answers. An outcome that is not known is not a failure of the place.
type region struct {
	url            *url.URL
	reads, changes *gobreaker.TwoStepCircuitBreaker[struct{}]
}

func newRegion(base *url.URL, o Options) *region {
	breaker := func(kind string) *gobreaker.TwoStepCircuitBreaker[struct{}] {
		return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name: kind, MaxRequests: 1, Interval: window, BucketPeriod: time.Second, Timeout: o.Pause,
			ReadyToTrip: func(c gobreaker.Counts) bool {
				return c.ConsecutiveFailures >= o.Failures || c.Requests >= windowCalls && 2*c.TotalFailures >= c.Requests
			},
			IsSuccessful: func(err error) bool { return !counts(err) },
			IsExcluded: func(err error) bool {
				return errors.Is(err, errNoVerdict) || connect.CodeOf(err) == connect.CodeCanceled
			},
			OnStateChange: func(kind string, _, to gobreaker.State) {
				o.Paused(base.String(), kind, to != gobreaker.StateClosed)
			},
		})
	}
	return &region{url: base, reads: breaker("reads"), changes: breaker("changes")}
}

// errNoVerdict is how an attempt ends of which nothing was learnt.
var errNoVerdict = errors.New("no verdict")

func counts(err error) bool {
	if err == nil {
		return false
	}
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeInternal:
		return true
	default:
		return false
	}
}

func (r *region) breaker(reads bool) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	if reads {
		return r.reads
	}
	return r.changes
}

// target is a region that lets one attempt through, and wants to know how it
// went.
type target struct {
	*region

	verdict func(error)
}
