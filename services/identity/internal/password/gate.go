package password

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// busyRetry is what a caller is told to wait when too many wait already.
const busyRetry = time.Second

// gate admits computations while the memory that they take together is within a
// budget. Those that do not fit wait in order, and no more than so many of them.
type gate struct {
	budget *semaphore.Weighted
	// least is what any computation counts: one that takes little memory keeps a
	// processor busy as long as a hash of our own.
	least      int64
	waiting    atomic.Int64
	maxWaiting int64
}

func newGate(budget, least int64, waiters int) *gate {
	return &gate{budget: semaphore.NewWeighted(budget), least: least, maxWaiting: int64(max(0, waiters))}
}

// enter waits until there is room for the bytes. The caller calls leave when the
// computation is over. bytes must not be more than the budget: limits and New
// see to that.
//
// Errors: RATE_LIMITED at once when too many wait; the end of ctx.
func (g *gate) enter(ctx context.Context, bytes int64) (leave func(), err error) {
	weight := max(bytes, g.least)
	leave = func() { g.budget.Release(weight) }
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("wait to hash a password: %w", err)
	}
	if g.budget.TryAcquire(weight) {
		return leave, nil
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > g.maxWaiting {
		return nil, fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED,
			"too many passwords are being verified").Retry(busyRetry)
	}
	if err := g.budget.Acquire(ctx, weight); err != nil {
		return nil, fmt.Errorf("wait to hash a password: %w", err)
	}
	return leave, nil
}
