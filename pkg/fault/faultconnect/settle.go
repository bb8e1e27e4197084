package faultconnect

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// Settle returns the fault that a handler's error is. A fault comes back as it
// is, and so does one that another server sent. The end of ctx is DEADLINE or CANCELLED, or the fault that is its cause.
// Errors that connect makes while it reads a message keep their code and lose
// their text, which may quote the message. Everything else is DEFECT.
func Settle(ctx context.Context, err error) *fault.Fault {
	if err == nil {
		return nil
	}
	if f, ok := fault.As(err); ok {
		return f
	}
	if ended := contextFault(ctx, err); ended != nil {
		return ended
	}
	if connect.IsWireError(err) {
		return FromConnect(err)
	}
	if made, ok := errors.AsType[*connect.Error](err); ok {
		return local(made)
	}
	return fault.New(fault.Internal, commonv1.Reason_DEFECT, "internal error").Because(err)
}

func contextFault(ctx context.Context, err error) *fault.Fault {
	var made *connect.Error
	coded := errors.As(err, &made)
	deadline := errors.Is(err, context.DeadlineExceeded) || coded && made.Code() == connect.CodeDeadlineExceeded
	cancelled := errors.Is(err, context.Canceled) || coded && made.Code() == connect.CodeCanceled
	if !deadline && !cancelled {
		return nil
	}
	if ctx.Err() != nil {
		if f, ok := fault.As(context.Cause(ctx)); ok {
			return f
		}
	}
	if deadline {
		return fault.New(fault.Deadline, commonv1.Reason_DEADLINE, "the deadline passed").Because(err)
	}
	return fault.New(fault.Cancelled, commonv1.Reason_CANCELLED, "the caller went away").Because(err)
}

// local is the fault of an error that connect made in this process.
func local(err *connect.Error) *fault.Fault {
	switch err.Code() {
	case connect.CodeInvalidArgument:
		return fault.Field("body", "decode", "not a message of this procedure").Because(err)
	case connect.CodeResourceExhausted:
		return fault.New(fault.Exhausted, commonv1.Reason_BATCH_TOO_LARGE, "the message is larger than the limit").Because(err)
	case connect.CodeUnimplemented:
		return fault.New(fault.Unimplemented, commonv1.Reason_PROCEDURE_UNKNOWN, "there is no such procedure").Because(err)
	default:
		return fault.New(fault.Internal, commonv1.Reason_DEFECT, "internal error").Because(err)
	}
}
