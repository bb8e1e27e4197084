package serve

import (
	"context"
	"log/slog"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/trace"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

// settler turns what handlers and inner interceptors return, and their panics,
// into the error that the client gets. Defects are logged here, once.
type settler struct {
	handlerOnly
	log *slog.Logger
}

// WrapUnary implements connect.Interceptor.
func (s *settler) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (response connect.AnyResponse, err error) {
		procedure := request.Spec().Procedure
		defer func() {
			if value := recover(); value != nil {
				response, err = nil, faultconnect.ToConnect(panicked(ctx, s.log, procedure, value))
			}
		}()
		if f := undecoded(request.Any()); f != nil {
			return nil, faultconnect.ToConnect(f)
		}
		response, err = next(ctx, request)
		if err != nil {
			return nil, s.settle(ctx, procedure, err)
		}
		return response, nil
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (s *settler) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, stream connect.StreamingHandlerConn) (err error) {
		procedure := stream.Spec().Procedure
		defer func() {
			if value := recover(); value != nil {
				err = faultconnect.ToConnect(panicked(ctx, s.log, procedure, value))
			}
		}()
		decoded := &received{stream, func(message any) error {
			if f := undecoded(message); f != nil {
				return f
			}
			return nil
		}}
		if err := next(ctx, decoded); err != nil {
			return s.settle(ctx, procedure, err)
		}
		return nil
	}
}

func (s *settler) settle(ctx context.Context, procedure string, err error) *connect.Error {
	return faultconnect.ToConnect(s.fault(ctx, procedure, err))
}

func (s *settler) fault(ctx context.Context, procedure string, err error) *fault.Fault {
	f := faultconnect.Settle(ctx, err)
	if f.Kind == fault.Internal || f.Kind == 0 {
		s.log.ErrorContext(ctx, "call failed by a defect", slog.String("procedure", procedure), slog.Any("error", err))
		f = traced(ctx, f)
	}
	return f
}

// traced adds the trace id, with which the log line is found.
func traced(ctx context.Context, f *fault.Fault) *fault.Fault {
	span := trace.SpanContextFromContext(ctx)
	if !span.HasTraceID() {
		return f
	}
	return f.With("trace", span.TraceID().String())
}
