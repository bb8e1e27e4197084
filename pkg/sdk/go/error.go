package meridian

import (
	"errors"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Error is what went wrong, as Meridian says it.
type Error struct {
	// Reason is what to switch on. It is REASON_UNSPECIFIED when the error did
	// not come from Meridian, as when it cannot be reached.
	Reason commonv1.Reason
	// Meta has more, as "field" and "rule" for INVALID_FIELD.
	Meta map[string]string
	// Err is the error of the call.
	Err *connect.Error
}

// Error is for logs.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the error of the call.
func (e *Error) Unwrap() error { return e.Err }

// AsError reads the reason of a failed call, or of one answer of a batch.
func AsError(err error) (*Error, bool) {
	if known, ok := errors.AsType[*Error](err); ok {
		return known, true
	}
	var failed *connect.Error
	if !errors.As(err, &failed) {
		return nil, false
	}
	out := &Error{Err: failed}
	for _, detail := range failed.Details() {
		message, err := detail.Value()
		if err != nil {
			continue
		}
		if info, ok := message.(*errdetails.ErrorInfo); ok && info.GetDomain() == "meridian" {
			out.Reason = commonv1.Reason(commonv1.Reason_value[info.GetReason()])
			out.Meta = info.GetMetadata()
		}
	}
	return out, true
}

// Is says whether a call failed for the reason.
func Is(err error, reason commonv1.Reason) bool {
	e, ok := AsError(err)
	return ok && e.Reason == reason
}
