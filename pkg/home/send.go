package home

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// The part of the time left that the home region has to answer in: a third, and
// within these bounds. The rest is for a commit from here.
const (
	portion    = 3
	leastShare = 500 * time.Millisecond
	mostShare  = 2 * time.Second
)

func share(ctx context.Context) time.Duration {
	end, named := ctx.Deadline()
	if !named {
		return mostShare
	}
	return min(max(time.Until(end)/portion, leastShare), mostShare)
}

// Write is a request that changes something.
type Write interface{ GetIdempotencyKey() string }

// Send executes a write on a log: there, by the client of the log's home region,
// or here. here is what a service without other regions does.
//
// The caller in ctx, whom the first region has let in, is sent along as it is, and
// so is the idempotency key: the home region lets the caller in again, and the
// same key means the same commit on both ways. What home answers is returned
// unchanged, errors too. here is called instead when
//
//   - the log is at home here, or nobody knows where, or the call was sent on to
//     this region already;
//   - the home region was not reached, or could not do it, or does not know this
//     region's tokens: nothing was written there;
//   - it did not answer in time, or does not know whether it committed, and the
//     request has an idempotency key.
//
// Errors: OUTCOME_UNKNOWN in the last case without a key, or when here fails
// without an answer as well; those of there and here.
func Send[C any, Req Write, Res any](
	ctx context.Context, peers *Peers[C], log string, req Req,
	there func(C, context.Context, Req) (*Res, error), here func(context.Context, Req) (*Res, error),
) (*Res, error) {
	if !peers.forwards(ctx) {
		return here(ctx, req)
	}
	return forward(ctx, peers, peers.logs.of(ctx, log), req, there, here)
}

// SendTo is Send for a log that does not exist yet, and will be at home in a
// region.
func SendTo[C any, Req Write, Res any](
	ctx context.Context, peers *Peers[C], region string, req Req,
	there func(C, context.Context, Req) (*Res, error), here func(context.Context, Req) (*Res, error),
) (*Res, error) {
	if !peers.forwards(ctx) {
		return here(ctx, req)
	}
	return forward(ctx, peers, region, req, there, here)
}

// forwards says whether a call may be sent on: it came straight from a caller.
func (p *Peers[C]) forwards(ctx context.Context) bool {
	if p == nil {
		return false
	}
	caller, known := principal.From(ctx)
	if caller.ForwardedFrom != "" {
		p.count(received)
		return false
	}
	return known
}

func forward[C any, Req Write, Res any](
	ctx context.Context, peers *Peers[C], region string, req Req,
	there func(C, context.Context, Req) (*Res, error), here func(context.Context, Req) (*Res, error),
) (*Res, error) {
	client, elsewhere := peers.clients[region]
	if !elsewhere {
		return here(ctx, req)
	}
	keyed := req.GetIdempotencyKey() != ""
	bounded, cancel := ctx, func() {}
	if keyed { // without a key there is no other way once the request has left
		bounded, cancel = context.WithTimeout(ctx, share(ctx))
	}
	res, err := there(client, bounded, req)
	cancel()
	result := judge(err)
	peers.count(result)
	switch {
	case result == answered, result == unanswered && !keyed, ctx.Err() != nil:
		return res, err
	case result == unreachable:
		peers.explain(ctx, region, err)
		return here(ctx, req)
	}
	res, failed := here(ctx, req)
	return res, settle(err, failed)
}

// judge says what the error of a call to the home region means. Dialled calls
// have faults only.
func judge(err error) outcome {
	f, ok := fault.As(err)
	if err == nil || !ok {
		return answered
	}
	switch f.Kind {
	case fault.Unavailable:
		if f.Reason == commonv1.Reason_RATE_LIMITED {
			return answered
		}
		return unreachable
	case fault.Deadline, fault.Unauthenticated, fault.Unimplemented:
		return unreachable
	case fault.UnknownOutcome, fault.Cancelled: // not by this caller, who waits
		return unanswered
	default:
		return answered
	}
}

// settle returns the error of a commit from here, after the home region gave no
// answer: where there is none here either, home may have written all the same.
func settle(unknown, failed error) error {
	if f, ok := fault.As(unknown); ok && failed != nil && silent(failed) {
		return f.Because(errors.Join(unknown, failed))
	}
	return failed
}

// silent says whether an error is none of the command's: nothing was found out.
func silent(err error) bool {
	f, ok := fault.As(err)
	if !ok {
		return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	}
	return f.Kind == fault.Unavailable || f.Kind == fault.Deadline || f.Kind == fault.Cancelled
}

// explain logs what an operator has to mend. That a region is away is in metrics.
func (r *Router) explain(ctx context.Context, region string, err error) {
	if f, _ := fault.As(err); f.Kind == fault.Unauthenticated || f.Kind == fault.Unimplemented {
		r.telemetry.Log.WarnContext(ctx, "another region does not take calls from here: compare `peers` and the service keys",
			slog.String("peer", region), slog.Any("error", err))
	}
}
