// Package faultconnect turns faults into Connect errors and back.
package faultconnect

import (
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// domain of every google.rpc.ErrorInfo that Meridian sends.
const domain = "meridian"

// Code returns the Connect code of a kind.
func Code(kind fault.Kind) connect.Code {
	switch kind {
	case fault.Invalid:
		return connect.CodeInvalidArgument
	case fault.Unauthenticated:
		return connect.CodeUnauthenticated
	case fault.Denied:
		return connect.CodePermissionDenied
	case fault.NotFound:
		return connect.CodeNotFound
	case fault.Exists:
		return connect.CodeAlreadyExists
	case fault.Precondition:
		return connect.CodeFailedPrecondition
	case fault.Conflict:
		return connect.CodeAborted
	case fault.Exhausted:
		return connect.CodeResourceExhausted
	case fault.Unavailable:
		return connect.CodeUnavailable
	case fault.Deadline:
		return connect.CodeDeadlineExceeded
	case fault.Cancelled:
		return connect.CodeCanceled
	case fault.UnknownOutcome:
		return connect.CodeUnknown
	case fault.Unimplemented:
		return connect.CodeUnimplemented
	default:
		return connect.CodeInternal
	}
}

// sent is what a client reads. The fault stays reachable for logs.
type sent struct {
	text  string
	fault *fault.Fault
}

func (s *sent) Error() string { return s.text }
func (s *sent) Unwrap() error { return s.fault }

// ToConnect returns the error that a client gets: the code of the kind, the
// detail, google.rpc.ErrorInfo, RetryInfo when there is a time to retry, and
// BadRequest when metadata has "field".
//
// An internal fault keeps its metadata "trace" only. The fault's cause is never
// part of what is sent; fault.As finds it.
func ToConnect(f *fault.Fault) *connect.Error {
	code := Code(f.Kind)
	text, reason, meta := f.Detail, f.Reason, f.Meta
	if code == connect.CodeInternal {
		text, reason, meta = "internal error", commonv1.Reason_DEFECT, traceOnly(f.Meta)
	}
	err := connect.NewError(code, &sent{text, f})
	attach(err, &errdetails.ErrorInfo{Reason: reason.String(), Domain: domain, Metadata: meta})
	if f.RetryAfter > 0 {
		attach(err, &errdetails.RetryInfo{RetryDelay: durationpb.New(f.RetryAfter)})
		err.Meta().Set("Retry-After", seconds(f.RetryAfter))
	}
	if field, ok := meta["field"]; ok {
		attach(err, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: field, Reason: meta["rule"], Description: text},
		}})
	}
	return err
}

func traceOnly(meta map[string]string) map[string]string {
	trace, ok := meta["trace"]
	if !ok {
		return nil
	}
	return map[string]string{"trace": trace}
}

func attach(err *connect.Error, detail proto.Message) {
	// Marshalling these messages fails only on invalid UTF-8; the code and the
	// text are then all that can be sent.
	if d, marshalErr := connect.NewErrorDetail(detail); marshalErr == nil {
		err.AddDetail(d)
	}
}

// seconds rounds up: Retry-After has whole seconds.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
