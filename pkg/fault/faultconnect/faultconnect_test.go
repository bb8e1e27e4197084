package faultconnect_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

func TestCode(t *testing.T) {
	t.Parallel()
	want := map[fault.Kind]connect.Code{
		fault.Invalid:         connect.CodeInvalidArgument,
		fault.Unauthenticated: connect.CodeUnauthenticated,
		fault.Denied:          connect.CodePermissionDenied,
		fault.NotFound:        connect.CodeNotFound,
		fault.Exists:          connect.CodeAlreadyExists,
		fault.Precondition:    connect.CodeFailedPrecondition,
		fault.Conflict:        connect.CodeAborted,
		fault.Exhausted:       connect.CodeResourceExhausted,
		fault.Unavailable:     connect.CodeUnavailable,
		fault.Deadline:        connect.CodeDeadlineExceeded,
		fault.Cancelled:       connect.CodeCanceled,
		fault.UnknownOutcome:  connect.CodeUnknown,
		fault.Unimplemented:   connect.CodeUnimplemented,
		fault.Internal:        connect.CodeInternal,
	}
	for kind := fault.Kind(0); kind <= fault.Internal; kind++ {
		code, listed := want[kind]
		if !listed {
			code = connect.CodeInternal
		}
		sent := faultconnect.ToConnect(fault.New(kind, commonv1.Reason_CONFLICT, "detail"))
		if sent.Code() != code {
			t.Errorf("kind %d: code %v, want %v", kind, sent.Code(), code)
		}
		if kind != 0 && faultconnect.FromConnect(connect.NewError(code, nil)).Kind != kind {
			t.Errorf("kind %d does not come back from code %v", kind, code)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	given := fault.Field("slug", "string.pattern", "does not match").Retry(1500 * time.Millisecond).
		Because(errors.New("the cause stays here"))
	sent := faultconnect.ToConnect(given)
	var violation *errdetails.BadRequest_FieldViolation
	for _, detail := range sent.Details() {
		value, err := detail.Value()
		if err != nil {
			t.Fatal(err)
		}
		if bad, ok := value.(*errdetails.BadRequest); ok {
			violation = bad.GetFieldViolations()[0]
		}
	}
	if violation.GetField() != "slug" || violation.GetReason() != "string.pattern" {
		t.Errorf("violation %v", violation)
	}
	if got := sent.Meta().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2: rounded up", got)
	}
	back := faultconnect.FromConnect(sent)
	if back.Kind != given.Kind || back.Reason != given.Reason || back.Detail != given.Detail || back.RetryAfter != given.RetryAfter {
		t.Errorf("came back as %+v", back)
	}
	if diff := cmp.Diff(given.Meta, back.Meta); diff != "" {
		t.Error(diff)
	}
	if errors.Unwrap(back) != nil {
		t.Error("a cause crossed the boundary")
	}
}

func TestInternalSaysNothing(t *testing.T) {
	t.Parallel()
	given := fault.New(fault.Internal, commonv1.Reason_DATABASE_UNAVAILABLE, "secret detail").With("trace", "abc").With("secret", "x")
	sent := faultconnect.ToConnect(given)
	back := faultconnect.FromConnect(sent)
	if sent.Message() != "internal error" || back.Reason != commonv1.Reason_DEFECT {
		t.Errorf("sent %q with reason %v", sent.Message(), back.Reason)
	}
	if diff := cmp.Diff(map[string]string{"trace": "abc"}, back.Meta); diff != "" {
		t.Error(diff)
	}
	if kept, ok := fault.As(sent); !ok || kept.Detail != "secret detail" {
		t.Error("the fault is lost for logs")
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	stopped, cancel := context.WithCancelCause(t.Context())
	cancel(fault.New(fault.Unavailable, commonv1.Reason_STOPPING, "stopping"))
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want commonv1.Reason
	}{
		"wrapped fault":              {t.Context(), fmt.Errorf("a: %w", fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "")), commonv1.Reason_NOT_FOUND},
		"deadline":                   {t.Context(), fmt.Errorf("a: %w", context.DeadlineExceeded), commonv1.Reason_DEADLINE},
		"cancelled":                  {t.Context(), fmt.Errorf("a: %w", context.Canceled), commonv1.Reason_CANCELLED},
		"cause of the context":       {stopped, context.Canceled, commonv1.Reason_STOPPING},
		"message that is no message": {t.Context(), connect.NewError(connect.CodeInvalidArgument, errors.New("quotes it")), commonv1.Reason_INVALID_FIELD},
		"message too large":          {t.Context(), connect.NewError(connect.CodeResourceExhausted, nil), commonv1.Reason_BATCH_TOO_LARGE},
		"not implemented":            {t.Context(), connect.NewError(connect.CodeUnimplemented, nil), commonv1.Reason_PROCEDURE_UNKNOWN},
		"sent by another server":     {t.Context(), connect.NewWireError(connect.CodeUnavailable, nil), commonv1.Reason_SERVICE_UNAVAILABLE},
		"anything else":              {t.Context(), errors.New("boom"), commonv1.Reason_DEFECT},
	} {
		if got := faultconnect.Settle(c.ctx, c.err).Reason; got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
