// Package patience repeats calls that a server cannot take at the moment.
package patience

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

const (
	// attempts of a call: with the pauses between them, some two minutes.
	attempts = 30
	// callTime is how long one attempt takes at most.
	callTime = time.Minute

	firstPause = 50 * time.Millisecond
	mostPause  = 5 * time.Second
)

// Call makes a call until it is answered, and waits as long as the server asks
// when there are too many. do must be safe to repeat: a read, or a change under
// one idempotency key.
//
// Errors: what do returned last; one that is no better later ends it at once.
func Call(ctx context.Context, do func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		bounded, cancel := context.WithTimeout(ctx, callTime)
		err := do(bounded)
		cancel()
		if err == nil || ctx.Err() != nil || attempt == attempts || !passes(err) {
			return err
		}
		if !pause(ctx, attempt, err) {
			return err
		}
	}
}

// passes says whether an error may be gone later.
func passes(err error) bool {
	switch faultconnect.FromConnect(err).Kind {
	case fault.Exhausted, fault.Unavailable, fault.Conflict, fault.Deadline, fault.UnknownOutcome:
		return true
	default:
		return false
	}
}

// pause waits before the next attempt, and says false when ctx ended.
func pause(ctx context.Context, attempt int, err error) bool {
	most := min(mostPause, firstPause<<min(attempt, 10))
	timer := time.NewTimer(max(faultconnect.FromConnect(err).RetryAfter, most/2+rand.N(most/2)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
