package dial

import (
	"context"
	"errors"
	"io"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/failover"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

// translator makes every error a fault.
type translator struct{}

// WrapUnary implements connect.Interceptor.
func (translator) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		response, err := next(ctx, request)
		if err != nil {
			return nil, translate(request.Spec(), err)
		}
		return response, nil
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (translator) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		return &translated{next(ctx, spec), spec}
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (translator) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

type translated struct {
	connect.StreamingClientConn
	spec connect.Spec
}

// Send implements connect.StreamingClientConn. io.EOF stays: it tells the sender
// to read the error.
func (t *translated) Send(message any) error {
	return translateStream(t.spec, t.StreamingClientConn.Send(message))
}

// Receive implements connect.StreamingClientConn.
func (t *translated) Receive(message any) error {
	return translateStream(t.spec, t.StreamingClientConn.Receive(message))
}

func translateStream(spec connect.Spec, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return translate(spec, err)
}

// translate returns the fault of an error. What the server said is taken as it
// is. What this side made up (no answer came) leaves open whether a change was
// made, unless the call never left.
func translate(spec connect.Spec, err error) error {
	if f, ok := fault.As(err); ok {
		return f
	}
	f := faultconnect.FromConnect(err)
	if connect.IsWireError(err) {
		return f
	}
	changes := spec.IdempotencyLevel != connect.IdempotencyNoSideEffects
	open := f.Kind == fault.Unavailable || f.Kind == fault.Deadline || f.Kind == fault.UnknownOutcome
	switch {
	case changes && open && !failover.NeverSent(err):
		f.Kind, f.Reason = fault.UnknownOutcome, commonv1.Reason_OUTCOME_UNKNOWN
		f.Detail = "no answer came: the change may or may not be made"
	case f.Kind == fault.UnknownOutcome:
		f.Kind, f.Reason, f.Detail = fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "the service gave no answer"
	case f.Kind == fault.Unavailable:
		f.Detail = "the service cannot be reached"
	case f.Kind == fault.Deadline:
		f.Detail = "the deadline passed"
	case f.Kind == fault.Cancelled:
		f.Detail = "the caller went away"
	}
	return f.Because(err)
}
