package failover

import (
	"context"
	"math/rand/v2"
	"time"

	"connectrpc.com/connect"
	"github.com/sony/gobreaker/v2"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

const (
	// attempts is how often a call is sent at most; all regions are tried.
	attempts = 3
	// firstBackoff is the pause before a call goes to a region again.
	firstBackoff = 25 * time.Millisecond
	// patience is how long an attempt of a call without a deadline takes at most
	// while there is another region: the server gives such a call as long.
	patience = 3 * time.Second
	// leastShare is how long an attempt gets however little time is left.
	leastShare = 5 * time.Millisecond
)

// call is one call on its way from region to region.
type call struct {
	regions *Regions
	// reads: the call changes nothing. safe: it may be repeated although the
	// server may have done what it asks.
	reads, safe bool
	// sent counts attempts. A lap goes through the regions once; laps has the last
	// one that each region was tried in, 0 for never.
	sent, lap int
	laps      []int
	// failed is the error to give when no region answers.
	failed error
}

func (r *Regions) newCall(spec connect.Spec, message any) *call {
	reads := spec.IdempotencyLevel == connect.IdempotencyNoSideEffects || spec.StreamType == connect.StreamTypeServer
	safe := reads || spec.IdempotencyLevel == connect.IdempotencyIdempotent && !keyless(message)
	return &call{regions: r, reads: reads, safe: safe, laps: make([]int, len(r.regions))}
}

// keyless says whether a message has a field for an idempotency key and no key.
func keyless(message any) bool {
	m, ok := message.(proto.Message)
	if !ok {
		return false
	}
	field := m.ProtoReflect().Descriptor().Fields().ByName("idempotency_key")
	return field != nil && !m.ProtoReflect().Has(field)
}

// take returns the nearest region that was not tried in this lap and is not
// paused.
func (c *call) take() (target, bool) {
	for i, r := range c.regions.regions {
		if c.laps[i] == c.lap {
			continue
		}
		if verdict, err := r.breaker(c.reads).Allow(); err == nil {
			return c.to(i, verdict), true
		}
	}
	return target{}, false
}

func (c *call) to(i int, verdict func(error)) target {
	c.sent, c.laps[i] = c.sent+1, c.lap
	return target{c.regions.regions[i], verdict}
}

// begin returns the first region of a new lap.
func (c *call) begin() (target, error) {
	c.lap++
	if t, ok := c.take(); ok {
		return t, nil
	}
	if !c.regions.options.LastResort {
		return target{}, c.failure("all are paused")
	}
	return c.to(0, func(error) {}), nil
}

// first returns the region to go to first.
func (c *call) first() (target, error) {
	if c.regions.broken != nil {
		return target{}, c.regions.broken
	}
	c.regions.budget.call()
	return c.begin()
}

// next returns the region to go on to after an attempt failed with err, and
// waits where that is one that was tried before; or the error to give up with.
func (c *call) next(ctx context.Context, err error) (target, error) {
	if c.failed == nil || !open(c.failed) && open(err) {
		c.failed = err
	}
	switch {
	case !c.safe && !NeverSent(err):
		return target{}, c.failure("a change goes to another only with an idempotency key")
	case c.last():
		return target{}, c.failure("none answered")
	case c.regions.budget.empty():
		return target{}, c.failure(poor)
	}
	t, ok := c.take()
	if !ok {
		if !pause(ctx, backoff(c.sent, err)) {
			return target{}, c.failure("there was no time left")
		}
		if t, err = c.begin(); err != nil {
			return target{}, err
		}
	}
	if !c.regions.budget.spend() {
		t.verdict(errNoVerdict)
		return target{}, c.failure(poor)
	}
	c.regions.options.Repeated()
	return t, nil
}

// last says whether this attempt is the last.
func (c *call) last() bool { return c.regions.options.Once || c.sent >= max(attempts, len(c.laps)) }

// poor tells what to do when the budget is empty.
const poor = "too many calls were sent again of late, so this one was not: call less often, or try again in some seconds"

// another says whether there is a region that was not tried and is not paused,
// for a call that may go there.
func (c *call) another() bool {
	if !c.safe || c.last() || c.regions.budget.empty() {
		return false
	}
	for i, r := range c.regions.regions {
		if c.laps[i] != c.lap && r.breaker(c.reads).State() != gobreaker.StateOpen {
			return true
		}
	}
	return false
}

// share returns how long an attempt may take, 0 for as long as the call: half of
// what is left while there is another region.
func (c *call) share(ctx context.Context) time.Duration {
	if !c.another() {
		return 0
	}
	end, named := ctx.Deadline()
	if !named {
		return patience
	}
	return max(leastShare, time.Until(end)/2)
}

// limited returns a context that ends with errSlow after limit; 0 is no limit.
// The server is told of ctx's deadline, not of this.
func limited(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(errSlow) })
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// backoff doubles, has full jitter, and is never less than what the server asked.
func backoff(attempt int, err error) time.Duration {
	most := firstBackoff << attempt
	return max(faultconnect.FromConnect(err).RetryAfter, time.Duration(rand.Int64N(int64(most)))+time.Millisecond)
}

// pause waits, and says false at once when the deadline would come first.
func pause(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
