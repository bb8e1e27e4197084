package failover

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"time"

	"connectrpc.com/connect"
)

type firstWithinKey struct{}

// FirstWithin returns a context for server streams that send something within d:
// a region where one does not is taken for one that does not answer. Without it
// a stream may be silent for as long as its context lives.
func FirstWithin(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, firstWithinKey{}, d)
}

// WrapStreamingClient implements connect.Interceptor. The first message of a
// stream, or its error, says how the region did. Until then a server stream goes
// on to other regions as a call does; after that its end is the caller's to
// handle.
func (r *Regions) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		c := r.newCall(spec, nil)
		t, err := c.first()
		if err != nil {
			return Refused(spec, err)
		}
		first := c.open(ctx, t, next, spec)
		if spec.StreamType != connect.StreamTypeServer {
			return first
		}
		s := &stream{place: first, peer: first.Peer()}
		s.next = func(err error) (*place, error) {
			t, err := c.next(ctx, err)
			if err != nil {
				return nil, err
			}
			return c.open(ctx, t, next, spec), nil
		}
		return s
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (*Regions) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// stream is a server stream on its way to a region that answers.
type stream struct {
	*place

	// peer stays, because it may be asked for at any time.
	peer connect.Peer
	// next opens the stream in the next region after an error.
	next func(error) (*place, error)
	// message and header are what was sent.
	message any
	header  http.Header
	// settled: the stream stays where it is.
	settled bool
}

// Peer implements connect.StreamingClientConn: the nearest region.
func (s *stream) Peer() connect.Peer { return s.peer }

// Send implements connect.StreamingClientConn. It waits for the first answer.
func (s *stream) Send(message any) error {
	s.message, s.header = message, s.RequestHeader().Clone()
	err := s.place.Send(message)
	for s.leaves(err) {
		err = s.again(err)
	}
	return err
}

// Receive implements connect.StreamingClientConn.
func (s *stream) Receive(message any) error {
	err := s.place.Receive(message)
	for s.leaves(err) {
		if err = s.again(err); err == nil || errors.Is(err, io.EOF) {
			err = s.place.Receive(message)
		}
	}
	s.settled = true
	return err
}

// leaves says whether a stream that brought nothing but err may be elsewhere.
func (s *stream) leaves(err error) bool { return !s.settled && unanswered(err) }

// again opens the stream in the next region and sends what was sent.
func (s *stream) again(err error) error {
	next, err := s.next(err)
	if err != nil {
		s.settled = true
		return err
	}
	s.place.leave()
	s.place = next
	header := next.RequestHeader()
	maps.DeleteFunc(s.header, func(name string, _ []string) bool { return header[name] != nil })
	maps.Copy(header, s.header)
	if err := next.Send(s.message); err != nil {
		return err
	}
	return next.CloseRequest()
}
