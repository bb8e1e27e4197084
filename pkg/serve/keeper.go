package serve

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
)

// recheckEvery is how often the token of an open stream is verified again.
const recheckEvery = 2 * time.Second

// recheckHolderEvery is the same for an access token, which nobody is asked about.
const recheckHolderEvery = 250 * time.Millisecond

// keeper ends streams that nobody uses or reads, and those whose token is valid no more
// or opens nothing any more.
// A verifier that cannot answer ends none.
//
// Tokens of services are left alone: they live for the moment in which a call
// begins, and the stream of the caller behind them is kept at the edge.
type keeper struct {
	handlerOnly
	idle  time.Duration
	clock func() time.Time
}

// WrapUnary implements connect.Interceptor.
func (*keeper) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc { return next }

// WrapStreamingHandler implements connect.Interceptor.
func (k *keeper) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, stream connect.StreamingHandlerConn) error {
		v := visitOf(ctx)
		if v == nil || v.end == nil {
			return next(ctx, stream)
		}
		kept := &keptStream{StreamingHandlerConn: stream, ctx: ctx, visit: v, keeper: k}
		if v.recheck != nil {
			if caller, _ := principal.From(ctx); !caller.Expires.IsZero() {
				expiry := time.AfterFunc(caller.Expires.Sub(k.clock()), func() { v.end(tokenOver()) })
				defer expiry.Stop()
			}
			over := make(chan struct{})
			defer close(over)
			go kept.watch(over)
		}
		return next(ctx, kept)
	}
}

func tokenOver() *fault.Fault {
	return fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_REJECTED, "the token is valid no more")
}

// keptStream is one stream that is watched.
type keptStream struct {
	connect.StreamingHandlerConn
	ctx    context.Context //nolint:containedctx // the stream's own
	visit  *visit
	keeper *keeper
	// paused is until when, in Unix nanoseconds, a verifier that is away is not
	// asked for each message.
	paused atomic.Int64
}

// CutUnread cuts the stream whose context ctx is when one of its messages waits
// for longer than d for the client to read. It is called in the stream's handler
// and holds for the messages that are sent after; on a context of another kind it
// does nothing.
func CutUnread(ctx context.Context, d time.Duration) {
	if v := visitOf(ctx); v != nil && v.cut != nil {
		v.unread = d
	}
}

// Send implements connect.StreamingHandlerConn.
func (s *keptStream) Send(message any) error {
	if s.visit.unread == 0 {
		return s.StreamingHandlerConn.Send(message)
	}
	unread := time.AfterFunc(s.visit.unread, func() {
		s.visit.cut(fault.New(fault.Deadline, commonv1.Reason_DEADLINE, "the client does not read the stream"))
	})
	err := s.StreamingHandlerConn.Send(message)
	unread.Stop()
	if f, ok := fault.As(context.Cause(s.ctx)); ok && err != nil {
		return f
	}
	return err
}

// Receive implements connect.StreamingHandlerConn.
func (s *keptStream) Receive(message any) error {
	idle := time.AfterFunc(s.keeper.idle, func() {
		s.visit.end(fault.New(fault.Deadline, commonv1.Reason_DEADLINE, "the stream was idle for too long"))
	})
	err := s.StreamingHandlerConn.Receive(message)
	idle.Stop()
	if err != nil {
		if f, ok := fault.As(context.Cause(s.ctx)); ok && !errors.Is(err, io.EOF) {
			return f
		}
		return err
	}
	if s.visit.recheck == nil || s.keeper.clock().UnixNano() < s.paused.Load() {
		return nil
	}
	return s.rejection()
}

func (s *keptStream) watch(over <-chan struct{}) {
	every := recheckEvery
	if s.visit.every > 0 {
		every = s.visit.every
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return
		case <-s.ctx.Done():
			return
		case <-ticker.C:
			if err := s.rejection(); err != nil {
				s.visit.end(err)
				return
			}
		}
	}
}

// rejection verifies the token again. Only an answer about the token counts.
func (s *keptStream) rejection() error {
	err := s.visit.recheck(s.ctx)
	if f, ok := fault.As(err); ok && (f.Kind == fault.Unauthenticated || f.Kind == fault.Denied) {
		return f
	}
	if err != nil {
		s.paused.Store(s.keeper.clock().Add(recheckEvery).UnixNano())
	}
	return nil
}
