package serve

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

// recoverer is the last net: it catches panics of the chain itself. Those of
// handlers end in settler, where the trace is known.
type recoverer struct {
	handlerOnly
	log *slog.Logger
}

// WrapUnary implements connect.Interceptor.
func (r *recoverer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (_ connect.AnyResponse, err error) {
		defer func() {
			if value := recover(); value != nil {
				err = faultconnect.ToConnect(panicked(ctx, r.log, request.Spec().Procedure, value))
			}
		}()
		return next(ctx, request)
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (r *recoverer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, stream connect.StreamingHandlerConn) (err error) {
		defer func() {
			if value := recover(); value != nil {
				err = faultconnect.ToConnect(panicked(ctx, r.log, stream.Spec().Procedure, value))
			}
		}()
		return next(ctx, stream)
	}
}

// panicked logs a panic and returns its fault. The value is logged only when
// the runtime made it: others may hold what the request held.
func panicked(ctx context.Context, log *slog.Logger, procedure string, value any) *fault.Fault {
	if err, ok := value.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(value)
	}
	text := "a value that is not logged"
	if err, ok := value.(runtime.Error); ok {
		text = err.Error()
	}
	log.ErrorContext(ctx, "handler panicked",
		slog.String("procedure", procedure), slog.String("panic", text), slog.String("stack", string(debug.Stack())))
	return traced(ctx, fault.New(fault.Internal, commonv1.Reason_DEFECT, "internal error"))
}
