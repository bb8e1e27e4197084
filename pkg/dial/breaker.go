package dial

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/sony/gobreaker/v2"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
)

const (
	// openFor is how long an open breaker refuses before it lets one call try.
	openFor = 2 * time.Second
	// consecutive failures open the breaker,
	consecutive = 5
	// and so does half of at least this many calls within the window.
	windowCalls = 20
	window      = 10 * time.Second
)

// breaker stops calls to a target that does not answer. It counts unavailable,
// deadline_exceeded and internal only: other errors are answers. An outcome that
// is not known is not a failure of the target.
type breaker struct {
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]
}

func newBreaker(target string, m *metrics) *breaker {
	return &breaker{gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: target, MaxRequests: 1, Interval: window, BucketPeriod: time.Second, Timeout: openFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= consecutive || c.Requests >= windowCalls && 2*c.TotalFailures >= c.Requests
		},
		IsSuccessful: func(err error) bool { return !counts(err) },
		IsExcluded: func(err error) bool {
			return errors.Is(err, errNoVerdict) || connect.CodeOf(err) == connect.CodeCanceled
		},
		OnStateChange: func(_ string, _, to gobreaker.State) {
			m.open.Set(map[bool]float64{true: 1}[to != gobreaker.StateClosed])
		},
	})}
}

// errNoVerdict ends a stream of which nothing was learnt.
var errNoVerdict = errors.New("no verdict")

func counts(err error) bool {
	if err == nil {
		return false
	}
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeInternal:
		return true
	default:
		return false
	}
}

func (b *breaker) allow() (func(error), error) {
	done, err := b.circuit.Allow()
	if err != nil {
		return nil, fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE,
			"the service does not answer; calls to it are paused").Retry(openFor).Because(err)
	}
	return done, nil
}

// WrapUnary implements connect.Interceptor.
func (b *breaker) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (_ connect.AnyResponse, err error) {
		done, err := b.allow()
		if err != nil {
			return nil, err
		}
		verdict := errNoVerdict // of a panic
		defer func() { done(verdict) }()
		response, err := next(ctx, request)
		verdict = err
		return response, err
	}
}

// WrapStreamingClient implements connect.Interceptor. A stream's first message,
// or its error, is the verdict.
func (b *breaker) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		done, err := b.allow()
		if err != nil {
			return &refused{spec: spec, err: err, header: make(http.Header)}
		}
		watched := &watched{StreamingClientConn: next(ctx, spec), done: done}
		watched.unwatch = context.AfterFunc(ctx, func() { watched.verdict(errNoVerdict) })
		return watched
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (*breaker) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// watched tells the breaker how a stream went, once.
type watched struct {
	connect.StreamingClientConn
	once    sync.Once
	done    func(error)
	unwatch func() bool
}

func (w *watched) verdict(err error) {
	w.once.Do(func() { w.done(err) })
}

// Receive implements connect.StreamingClientConn.
func (w *watched) Receive(message any) error {
	err := w.StreamingClientConn.Receive(message)
	if errors.Is(err, io.EOF) {
		w.verdict(nil)
	} else {
		w.verdict(err)
	}
	return err
}

// CloseResponse implements connect.StreamingClientConn.
func (w *watched) CloseResponse() error {
	w.unwatch()
	w.verdict(errNoVerdict)
	if err := w.StreamingClientConn.CloseResponse(); err != nil {
		return err //nolint:wrapcheck // an interceptor passes on what it wraps
	}
	return nil
}

// refused is a stream that never was.
type refused struct {
	spec   connect.Spec
	err    error
	header http.Header
}

// Spec implements connect.StreamingClientConn.
func (r *refused) Spec() connect.Spec { return r.spec }

// Peer implements connect.StreamingClientConn.
func (*refused) Peer() connect.Peer { return connect.Peer{} }

// Send implements connect.StreamingClientConn.
func (r *refused) Send(any) error { return r.err }

// RequestHeader implements connect.StreamingClientConn.
func (r *refused) RequestHeader() http.Header { return r.header }

// CloseRequest implements connect.StreamingClientConn.
func (*refused) CloseRequest() error { return nil }

// Receive implements connect.StreamingClientConn.
func (r *refused) Receive(any) error { return r.err }

// ResponseHeader implements connect.StreamingClientConn.
func (r *refused) ResponseHeader() http.Header { return r.header }

// ResponseTrailer implements connect.StreamingClientConn.
func (r *refused) ResponseTrailer() http.Header { return r.header }

// CloseResponse implements connect.StreamingClientConn.
func (*refused) CloseResponse() error { return nil }
