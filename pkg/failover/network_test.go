package failover_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1/logv1connect"

	"github.com/meridian-iam/meridian/pkg/failover"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
)

// place is a region's server. It answers every call with a function.
type place struct {
	identityv1connect.UnimplementedOrganizationServiceHandler
	logv1connect.UnimplementedLogServiceHandler

	// refuses: no connection comes about. timesOut: none does in time. hangs: one
	// does, and then nothing.
	refuses, timesOut, hangs atomic.Bool
	// dialled and called count connections and calls.
	dialled, called atomic.Int64
	// answer is what a call is answered with; nil: nothing is wrong.
	answer func(ctx context.Context) error
	// tail sends the messages of a stream; nil: none.
	tail func(ctx context.Context, request *logv1.TailLogRequest, stream *connect.ServerStream[logv1.TailLogResponse]) error
}

func (p *place) respond(ctx context.Context) error {
	p.called.Add(1)
	if p.answer == nil {
		return nil
	}
	err := p.answer(ctx)
	if f, ok := fault.As(err); ok {
		return faultconnect.ToConnect(f)
	}
	return err
}

func (p *place) GetOrganization(ctx context.Context, _ *identityv1.GetOrganizationRequest) (*identityv1.GetOrganizationResponse, error) {
	return &identityv1.GetOrganizationResponse{}, p.respond(ctx)
}

func (p *place) CreateOrganization(ctx context.Context, _ *identityv1.CreateOrganizationRequest) (*identityv1.CreateOrganizationResponse, error) {
	return &identityv1.CreateOrganizationResponse{}, p.respond(ctx)
}

func (p *place) TailLog(ctx context.Context, request *logv1.TailLogRequest, stream *connect.ServerStream[logv1.TailLogResponse]) error {
	if err := p.respond(ctx); err != nil || p.tail == nil {
		return err
	}
	return p.tail(ctx, request, stream)
}

// cut ends the connection of a call without an answer.
func cut(context.Context) error { panic(http.ErrAbortHandler) }

// stuck answers when the caller went away.
func stuck(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// saying answers with a fault.
func saying(kind fault.Kind, reason commonv1.Reason) func(context.Context) error {
	return func(context.Context) error { return fault.New(kind, reason, "said so") }
}

var unavailable = saying(fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE)

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

// serve runs a region's server on pipes.
func (p *place) serve(t *testing.T) *listener {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(identityv1connect.NewOrganizationServiceHandler(p))
	mux.Handle(logv1connect.NewLogServiceHandler(p))
	l := &listener{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Hour}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return l
}

// client calls regions.
type client struct {
	orgs    identityv1connect.OrganizationServiceClient
	logs    logv1connect.LogServiceClient
	repeats atomic.Int64
}

// connected returns a client of places, nearest first, over pipes, so that all of
// it can live in a synctest bubble.
func connected(t *testing.T, o failover.Options, places ...*place) *client {
	t.Helper()
	listeners := make(map[string]*listener)
	byHost := make(map[string]*place)
	for i, p := range places {
		host := string(rune('a'+i)) + ".region:80"
		listeners[host], byHost[host] = p.serve(t), p
		o.URLs = append(o.URLs, "http://"+host)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, host string) (net.Conn, error) {
		p := byHost[host]
		p.dialled.Add(1)
		if p.refuses.Load() {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}
		if p.timesOut.Load() {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
		}
		ours, theirs := net.Pipe()
		if p.hangs.Load() {
			t.Cleanup(func() { _ = theirs.Close() })
			return ours, nil
		}
		select {
		case listeners[host].conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
	t.Cleanup(transport.CloseIdleConnections)
	c := new(client)
	o.Repeated = func() { c.repeats.Add(1) }
	regions := failover.New(o)
	through, options := regions.HTTPClient(&http.Client{Transport: transport}), connect.WithInterceptors(regions)
	c.orgs = identityv1connect.NewOrganizationServiceClient(through, regions.URL(), options)
	c.logs = logv1connect.NewLogServiceClient(through, regions.URL(), options)
	return c
}

// read makes a call that changes nothing.
func (c *client) read(ctx context.Context) error {
	_, err := c.orgs.GetOrganization(ctx, &identityv1.GetOrganizationRequest{})
	return err
}

// change makes a call that changes something.
func (c *client) change(ctx context.Context, key string) error {
	_, err := c.orgs.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{IdempotencyKey: key})
	return err
}

// tail reads a stream to its end.
func (c *client) tail(ctx context.Context) (heard []string, err error) {
	stream, err := c.logs.TailLog(ctx, &logv1.TailLogRequest{Log: "log"})
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	for stream.Receive() {
		heard = append(heard, stream.Msg().GetJson())
	}
	return heard, stream.Err()
}
