package serve

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
)

// budget is the class of a procedure. Each class has budgets of its own.
type budget uint8

const (
	read budget = iota
	write
	manage
	signIn
	budgetCount
)

func budgetOf(idempotency connect.IdempotencyLevel, access *commonv1.Access) budget {
	level := access.GetLevel()
	switch {
	case access.GetSignIn():
		return signIn
	case idempotency == connect.IdempotencyNoSideEffects || level == commonv1.Level_LEVEL_READ:
		return read
	case level == commonv1.Level_LEVEL_WRITE:
		return write
	default:
		return manage
	}
}

// limiter keeps every principal and every organization within its budgets.
// Services are not limited: the callers for whom they call were, at the edge.
type limiter struct {
	handlerOnly
	methods       *methods
	principals    [budgetCount]*buckets
	organizations [budgetCount]*buckets
}

func newLimiter(methods *methods, limits Limits, clock func() time.Time) *limiter {
	l := &limiter{methods: methods}
	for of, rate := range [budgetCount]Rate{
		read: limits.Read, write: limits.Write, manage: limits.Manage, signIn: limits.SignIn,
	} {
		l.principals[of] = newBuckets(rate, clock)
		l.organizations[of] = newBuckets(rate, clock)
	}
	return l
}

// WrapUnary implements connect.Interceptor.
func (l *limiter) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		of := l.methods.of(request.Spec())
		header := func() http.Header {
			info, _ := connect.CallInfoForHandlerContext(ctx)
			return info.ResponseHeader()
		}
		if err := l.take(ctx, of, of.organizationOf(request.Any()), header); err != nil {
			return nil, err
		}
		return next(ctx, request)
	}
}

// WrapStreamingHandler implements connect.Interceptor. Each message counts; the
// headers tell of the first, since the answer may be on its way after that.
func (l *limiter) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, stream connect.StreamingHandlerConn) error {
		of := l.methods.of(stream.Spec())
		header := stream.ResponseHeader
		return next(ctx, &received{stream, func(message any) error {
			err := l.take(ctx, of, of.organizationOf(message), header)
			header = func() http.Header { return http.Header{} }
			return err
		}})
	}
}

// take counts a call on the organization that it names, or else the caller's.
func (l *limiter) take(ctx context.Context, of *method, organization string, header func() http.Header) error {
	caller, _ := principal.From(ctx)
	if caller.Counted() {
		return nil
	}
	rate := l.principals[of.budget].rate
	said := l.principals[of.budget].take(caller.ID)
	if said.ok {
		if organization == "" {
			organization = caller.Organization
		}
		if organization != "" {
			theirs := l.organizations[of.budget].take(organization)
			if !theirs.ok || theirs.remaining < said.remaining {
				said = theirs
			}
		}
	}
	// Headers cost every call; reads say them only when it becomes tight.
	if of.budget != read || !said.ok || said.remaining < rate.Burst/10 {
		tell(header(), rate, said)
	}
	if !said.ok {
		return fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED, "too many calls").Retry(max(said.wait, time.Millisecond))
	}
	return nil
}

// tell sets the RateLimit headers (draft-ietf-httpapi-ratelimit-headers-06):
// the burst, what is left of it, and the seconds until it is full again.
func tell(header http.Header, rate Rate, said verdict) {
	if rate.PerSecond <= 0 {
		return
	}
	full := float64(rate.Burst-said.remaining) / rate.PerSecond
	header.Set("RateLimit-Limit", strconv.Itoa(rate.Burst))
	header.Set("RateLimit-Remaining", strconv.Itoa(said.remaining))
	header.Set("RateLimit-Reset", strconv.Itoa(int(full)+1))
}
