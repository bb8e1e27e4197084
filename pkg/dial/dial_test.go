package dial_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1/logv1connect"

	"github.com/meridian-iam/meridian/pkg/dial"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

const acme = "org_00000000000000000000000001"

// target is a server that answers every call with a function, over pipes, so
// that it can live inside a synctest bubble.
type target struct {
	identityv1connect.UnimplementedOrganizationServiceHandler
	logv1connect.UnimplementedLogServiceHandler
	calls  atomic.Int64
	answer func(ctx context.Context, call int64) error
	away   atomic.Bool
}

func (s *target) respond(ctx context.Context) error {
	call := s.calls.Add(1)
	if err := s.answer(ctx, call); err != nil {
		return faultconnect.ToConnect(faultconnect.Settle(ctx, err))
	}
	return nil
}

func (s *target) GetOrganization(ctx context.Context, _ *identityv1.GetOrganizationRequest) (*identityv1.GetOrganizationResponse, error) {
	return &identityv1.GetOrganizationResponse{}, s.respond(ctx)
}

func (s *target) CreateOrganization(ctx context.Context, _ *identityv1.CreateOrganizationRequest) (*identityv1.CreateOrganizationResponse, error) {
	return &identityv1.CreateOrganizationResponse{}, s.respond(ctx)
}

func (s *target) TailLog(ctx context.Context, _ *logv1.TailLogRequest, _ *connect.ServerStream[logv1.TailLogResponse]) error {
	return s.respond(ctx)
}

// listener hands pipes to a server.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { close(l.closed); return nil }
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (s *target) serve(t *testing.T) *http.Client {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(identityv1connect.NewOrganizationServiceHandler(s))
	mux.Handle(logv1connect.NewLogServiceHandler(s))
	l := &listener{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		if s.away.Load() {
			return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
		}
		ours, theirs := net.Pipe()
		l.conns <- theirs
		return ours, nil
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-ended
	})
	return &http.Client{Transport: transport}
}

func clients(t *testing.T, s *target) (identityv1connect.OrganizationServiceClient, logv1connect.LogServiceClient) {
	t.Helper()
	c := dial.New(dial.Options{HTTPClient: s.serve(t)})
	return identityv1connect.NewOrganizationServiceClient(c.HTTP, c.BaseURL, c.Options...),
		logv1connect.NewLogServiceClient(c.HTTP, c.BaseURL, c.Options...)
}

func get(t *testing.T, c identityv1connect.OrganizationServiceClient) *fault.Fault {
	t.Helper()
	_, err := c.GetOrganization(t.Context(), &identityv1.GetOrganizationRequest{Organization: acme})
	return typed(t, err)
}

func create(t *testing.T, c identityv1connect.OrganizationServiceClient) *fault.Fault {
	t.Helper()
	_, err := c.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{})
	return typed(t, err)
}

func typed(t *testing.T, err error) *fault.Fault {
	t.Helper()
	if err == nil {
		return nil
	}
	f, ok := fault.As(err)
	if !ok {
		t.Fatalf("%T is not a fault: %v", err, err)
	}
	return f
}

func unavailable() error {
	return fault.New(fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE, "away")
}

func TestRetries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(call int64) error
		calls  int64
		want   commonv1.Reason
	}{
		"comes back":      {func(call int64) error { return map[bool]error{true: unavailable()}[call < 3] }, 3, 0},
		"stays away":      {func(int64) error { return unavailable() }, 3, commonv1.Reason_DATABASE_UNAVAILABLE},
		"a conflict":      {func(int64) error { return fault.New(fault.Conflict, commonv1.Reason_CONFLICT, "") }, 1, commonv1.Reason_CONFLICT},
		"outcome unknown": {func(int64) error { return fault.New(fault.UnknownOutcome, commonv1.Reason_OUTCOME_UNKNOWN, "") }, 1, commonv1.Reason_OUTCOME_UNKNOWN},
		"a defect":        {func(int64) error { return io.ErrUnexpectedEOF }, 1, commonv1.Reason_DEFECT},
		"asked to wait too long": {func(int64) error {
			return fault.New(fault.Unavailable, commonv1.Reason_STOPPING, "").Retry(time.Minute)
		}, 1, commonv1.Reason_STOPPING},
		"exhausted is not repeated": {func(int64) error { return fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED, "") }, 1, commonv1.Reason_RATE_LIMITED},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &target{answer: func(_ context.Context, call int64) error { return c.answer(call) }}
				orgs, _ := clients(t, s)
				f := get(t, orgs)
				if got := s.calls.Load(); got != c.calls {
					t.Errorf("%d calls, want %d", got, c.calls)
				}
				if f == nil && c.want != 0 || f != nil && f.Reason != c.want {
					t.Errorf("%v, want %v", f, c.want)
				}
			})
		})
	}
}

// logv1's procedures declare no idempotency: a call of theirs is never repeated.
func TestOnlyIdempotentCallsAreRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &target{answer: func(context.Context, int64) error { return unavailable() }}
		client := s.serve(t)
		c := dial.New(dial.Options{HTTPClient: client})
		for level, want := range map[connect.IdempotencyLevel]int64{
			connect.IdempotencyUnknown: 1, connect.IdempotencyIdempotent: 3, connect.IdempotencyNoSideEffects: 3,
		} {
			s.calls.Store(0)
			options := slices.Concat(c.Options, []connect.ClientOption{connect.WithIdempotency(level)})
			one := connect.NewClient[identityv1.GetOrganizationRequest, identityv1.GetOrganizationResponse](
				client, c.BaseURL+identityv1connect.OrganizationServiceGetOrganizationProcedure, options...)
			_, err := one.CallUnary(t.Context(), connect.NewRequest(&identityv1.GetOrganizationRequest{}))
			if f := typed(t, err); f == nil || s.calls.Load() != want {
				t.Errorf("%v: %d calls, want %d (%v)", level, s.calls.Load(), want, f)
			}
			<-time.After(time.Minute) // the breaker forgets
		}
	})
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		s := &target{answer: func(context.Context, int64) error {
			if broken.Load() {
				return io.ErrUnexpectedEOF // a defect: not repeated
			}
			return nil
		}}
		orgs, logs := clients(t, s)
		for range 5 {
			get(t, orgs)
		}
		if f := get(t, orgs); f == nil || f.Reason != commonv1.Reason_SERVICE_UNAVAILABLE || f.RetryAfter == 0 || s.calls.Load() != 5 {
			t.Errorf("after 5 failures: %v, %d calls", f, s.calls.Load())
		}
		stream, err := logs.TailLog(t.Context(), &logv1.TailLogRequest{})
		if err == nil {
			for stream.Receive() {
			}
			err = stream.Err()
		}
		if f := typed(t, err); f == nil || f.Reason != commonv1.Reason_SERVICE_UNAVAILABLE || s.calls.Load() != 5 {
			t.Errorf("a stream through the open breaker: %v", f)
		}
		<-time.After(2*time.Second + time.Millisecond)
		if f := get(t, orgs); f == nil || s.calls.Load() != 6 {
			t.Errorf("half open: want one try, had %d calls", s.calls.Load()-5)
		}
		if get(t, orgs); s.calls.Load() != 6 {
			t.Error("a failed try did not open the breaker again")
		}
		broken.Store(false)
		<-time.After(2*time.Second + time.Millisecond)
		for range 3 {
			if f := get(t, orgs); f != nil {
				t.Errorf("closed again: %v", f)
			}
		}
	})
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// The caller's deadline reaches the server too: only one that stays silent
		// beyond it gives no answer.
		ended := make(chan struct{})
		defer close(ended)
		s := &target{answer: func(context.Context, int64) error {
			<-ended
			return io.ErrUnexpectedEOF
		}}
		orgs, _ := clients(t, s)
		begun := time.Now()
		if f := get(t, orgs); f == nil || f.Kind != fault.Deadline {
			t.Errorf("a read without an answer: %v", f)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("took %v, want the default of 3 s", took)
		}
		if f := create(t, orgs); f == nil || f.Reason != commonv1.Reason_OUTCOME_UNKNOWN {
			t.Errorf("a change without an answer: %v", f)
		}
		s.away.Store(true)
		other, _ := clients(t, s)
		if f := create(t, other); f == nil || f.Reason != commonv1.Reason_SERVICE_UNAVAILABLE || f.Kind != fault.Unavailable {
			t.Errorf("a change that was never sent: %v", f)
		}
	})
}
