package serve

import (
	"context"
	"time"

	"connectrpc.com/connect"
)

// deadliner bounds every call in time.
type deadliner struct {
	handlerOnly
	unary, maxUnary, stream time.Duration
}

// WrapUnary implements connect.Interceptor.
func (d *deadliner) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		most := d.unary
		if until, named := ctx.Deadline(); named {
			if most = d.maxUnary; time.Until(until) <= most {
				return next(ctx, request)
			}
		}
		ctx, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		return next(ctx, request)
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (d *deadliner) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, stream connect.StreamingHandlerConn) error {
		ctx, cancel := context.WithTimeout(ctx, d.stream)
		defer cancel()
		return next(ctx, stream)
	}
}
