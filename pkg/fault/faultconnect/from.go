package faultconnect

import (
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// FromConnect returns the fault that a Connect error stands for. Without
// ErrorInfo of Meridian the code alone decides. It returns nil for nil; a fault
// comes back as it is; an error that is neither is an internal fault.
func FromConnect(err error) *fault.Fault {
	if err == nil {
		return nil
	}
	var received *connect.Error
	if !errors.As(err, &received) {
		if f, ok := fault.As(err); ok {
			return f
		}
		return fault.New(fault.Internal, commonv1.Reason_DEFECT, "internal error").Because(err)
	}
	kind, reason := byCode(received.Code())
	f := fault.New(kind, reason, received.Message())
	for _, detail := range received.Details() {
		value, decodeErr := detail.Value()
		if decodeErr != nil {
			continue
		}
		switch info := value.(type) {
		case *errdetails.ErrorInfo:
			if number, known := commonv1.Reason_value[info.GetReason()]; known && info.GetDomain() == domain {
				f.Reason, f.Meta = commonv1.Reason(number), info.GetMetadata()
			}
		case *errdetails.RetryInfo:
			f.RetryAfter = info.GetRetryDelay().AsDuration()
		}
	}
	return f
}

// byCode is what a code means when no reason came with it.
func byCode(code connect.Code) (fault.Kind, commonv1.Reason) {
	switch code {
	case connect.CodeInvalidArgument, connect.CodeOutOfRange:
		return fault.Invalid, commonv1.Reason_INVALID_FIELD
	case connect.CodeUnauthenticated:
		return fault.Unauthenticated, commonv1.Reason_TOKEN_REJECTED
	case connect.CodePermissionDenied:
		return fault.Denied, commonv1.Reason_ACCESS_DENIED
	case connect.CodeNotFound:
		return fault.NotFound, commonv1.Reason_NOT_FOUND
	case connect.CodeAlreadyExists:
		return fault.Exists, commonv1.Reason_REASON_UNSPECIFIED
	case connect.CodeFailedPrecondition:
		return fault.Precondition, commonv1.Reason_PRECONDITION_FAILED
	case connect.CodeAborted:
		return fault.Conflict, commonv1.Reason_CONFLICT
	case connect.CodeResourceExhausted:
		return fault.Exhausted, commonv1.Reason_RATE_LIMITED
	case connect.CodeUnavailable:
		return fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE
	case connect.CodeDeadlineExceeded:
		return fault.Deadline, commonv1.Reason_DEADLINE
	case connect.CodeCanceled:
		return fault.Cancelled, commonv1.Reason_CANCELLED
	case connect.CodeUnknown:
		return fault.UnknownOutcome, commonv1.Reason_OUTCOME_UNKNOWN
	case connect.CodeUnimplemented:
		return fault.Unimplemented, commonv1.Reason_PROCEDURE_UNKNOWN
	default:
		return fault.Internal, commonv1.Reason_DEFECT
	}
}
