package serve

import (
	"context"
	"net/http"
	"time"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
)

// visit is what is known of one request from its admission to its end.
type visit struct {
	crowd *crowd
	// inside marks requests over the in-memory pipe.
	inside, stream bool
	// request is as it came. Its body is another's to read.
	request *http.Request
	// proved says that the request may use its token, which is bound.
	proved bool
	// end ends a stream with a cause, and cut does for one whose client does not
	// read; nil for unary calls.
	end, cut func(cause error)
	// unread is how long one message waits for the client to read; 0: as long as
	// the stream lives.
	unread time.Duration
	// recheck asks again whether the caller's token is valid; nil when it is one
	// that needs no asking.
	recheck func(ctx context.Context) error
	// every is how often that is; 0: recheckEvery.
	every time.Duration

	entered bool
	caller  principal.Principal
}

type visitKey struct{}

// visitOf returns the request's visit, or nil: a handler may be called without
// admission.
func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

// from returns the remote address as limits count it, or "" where there is none
// to limit.
func (v *visit) from() string {
	if v == nil || v.inside {
		return ""
	}
	return addressOf(v.request.RemoteAddr)
}

// at is the host that the request names, or "".
func (v *visit) at() string {
	if v == nil {
		return ""
	}
	return v.request.Host
}

// enter counts the request for its caller. Services are not counted: the callers
// for whom they call were, at the edge.
func (v *visit) enter(caller principal.Principal) error {
	if v == nil || v.entered || v.inside || caller.Counted() {
		return nil
	}
	if !v.crowd.enter(caller, v.stream) {
		v.crowd.metrics.shed.Inc()
		return fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED, "too many calls of this caller are running").Retry(shedRetry)
	}
	v.entered, v.caller = true, caller
	return nil
}

func (v *visit) leave() {
	if v.entered {
		v.crowd.leave(v.caller, v.stream)
	}
}
