package dial

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

const (
	maxAttempts  = 3
	firstBackoff = 25 * time.Millisecond
	// budgetShare is how many retries each call pays for: one in ten.
	budgetShare = 0.1
	// budgetMost is how many retries can be saved up.
	budgetMost = 10
)

// retrier repeats unary calls that were answered with unavailable, when their
// procedure says that repeating is safe.
type retrier struct {
	metrics *metrics

	mu     sync.Mutex
	budget float64
}

func newRetrier(m *metrics) *retrier { return &retrier{metrics: m, budget: budgetMost} }

// WrapUnary implements connect.Interceptor.
func (r *retrier) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		r.earn()
		for attempt := 1; ; attempt++ {
			response, err := next(ctx, request)
			if err == nil || attempt == maxAttempts || !repeatable(request.Spec(), err) {
				return response, err
			}
			if !pause(ctx, backoff(attempt, err)) || !r.spend() {
				return response, err
			}
			r.metrics.retries.Inc()
		}
	}
}

// WrapStreamingClient implements connect.Interceptor; streams are not repeated.
func (*retrier) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (*retrier) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (r *retrier) earn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.budget = min(budgetMost, r.budget+budgetShare)
}

func (r *retrier) spend() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.budget < 1 {
		return false
	}
	r.budget--
	return true
}

// repeatable says whether to repeat. A fault is the breaker's refusal: the next
// attempt would meet it again.
func repeatable(spec connect.Spec, err error) bool {
	if _, refused := fault.As(err); refused {
		return false
	}
	safe := spec.IdempotencyLevel == connect.IdempotencyNoSideEffects || spec.IdempotencyLevel == connect.IdempotencyIdempotent
	return safe && connect.CodeOf(err) == connect.CodeUnavailable
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
