package serve

import (
	"context"
	"errors"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Ended says why the stream whose context ctx is must end, or nil: the server stops, the
// token is valid no more, the time is over or the caller went away.
func Ended(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if f, ok := fault.As(context.Cause(ctx)); ok {
		return f
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.Deadline, commonv1.Reason_DEADLINE, "the stream's time is over").Because(err)
	}
	return fault.New(fault.Cancelled, commonv1.Reason_CANCELLED, "the caller went away").Because(err)
}
