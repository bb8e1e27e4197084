package dial

import (
	"context"
	"time"

	"connectrpc.com/connect"
)

// deadliner gives unary calls a deadline. Streams live as long as their context.
type deadliner struct{ preset time.Duration }

// WrapUnary implements connect.Interceptor.
func (d deadliner) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if _, named := ctx.Deadline(); named {
			return next(ctx, request)
		}
		ctx, cancel := context.WithTimeout(ctx, d.preset)
		defer cancel()
		return next(ctx, request)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (deadliner) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (deadliner) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
