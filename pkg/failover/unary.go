package failover

import (
	"context"
	"errors"

	"connectrpc.com/connect"
)

// WrapUnary implements connect.Interceptor.
func (r *Regions) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		u := &unary{call: r.newCall(request.Spec(), request.Any()), send: next, request: request}
		t, err := u.first()
		for err == nil {
			response, failed := u.hedged(ctx, t)
			if !unanswered(failed) {
				return response, failed
			}
			t, err = u.next(ctx, failed)
		}
		return nil, err
	}
}

// unary is one unary call.
type unary struct {
	*call

	send    connect.UnaryFunc
	request connect.AnyRequest
}

// attempt sends the call to one region and says how the region did.
func (u *unary) attempt(ctx context.Context, t target, request connect.AnyRequest, leaves func()) (connect.AnyResponse, error) {
	verdict := errNoVerdict // of a panic
	defer func() { t.verdict(verdict) }()
	within, stop := limited(ctx, u.share(ctx))
	defer stop()
	response, err := u.send(way{t.url, leaves}.in(within), request)
	err = given(within, err)
	verdict = err
	return response, err
}

// given returns the error of an attempt that was given up, rather than ended by
// the caller, as that of a region that does not answer. So is a connection that
// was reset, which connect takes for a caller who went away.
func given(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if cause == nil && connect.CodeOf(err) == connect.CodeCanceled && !connect.IsWireError(err) {
		return connect.NewError(connect.CodeUnavailable, err)
	}
	if err == nil || connect.IsWireError(err) || !errors.Is(cause, errSlow) && !errors.Is(cause, errOutrun) {
		return err
	}
	return connect.NewError(connect.CodeUnavailable, cause)
}
