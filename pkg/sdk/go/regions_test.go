package meridian_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// region is a region that answers checks and writes as told.
type region struct {
	authzv1connect.UnimplementedCheckServiceHandler
	authzv1connect.UnimplementedRelationshipServiceHandler

	url    string
	called atomic.Int64
	// answer, if there is one, is what calls are answered with.
	answer func(context.Context) error
	// watch is what a watch sends.
	watch func(context.Context, *authzv1.WatchRequest, *connect.ServerStream[authzv1.WatchResponse]) error
}

func (r *region) respond(ctx context.Context) error {
	r.called.Add(1)
	if info, _ := connect.CallInfoForHandlerContext(ctx); info.RequestHeader().Get("Authorization") != "Bearer token" {
		return connect.NewError(connect.CodeUnauthenticated, errors.New("no token came"))
	}
	if r.answer == nil {
		return nil
	}
	return r.answer(ctx)
}

func (r *region) Check(ctx context.Context, _ *authzv1.CheckRequest) (*authzv1.CheckResponse, error) {
	return &authzv1.CheckResponse{Decision: authzv1.Decision_DECISION_DENY}, r.respond(ctx)
}

func (r *region) WriteRelationships(
	ctx context.Context, _ *authzv1.WriteRelationshipsRequest,
) (*authzv1.WriteRelationshipsResponse, error) {
	return &authzv1.WriteRelationshipsResponse{Revision: "r1"}, r.respond(ctx)
}

func (r *region) Watch(ctx context.Context, req *authzv1.WatchRequest, stream *connect.ServerStream[authzv1.WatchResponse]) error {
	return r.watch(ctx, req, stream)
}

// serving returns a region that listens.
func serving(t *testing.T) *region {
	t.Helper()
	r := new(region)
	mux := http.NewServeMux()
	mux.Handle(authzv1connect.NewCheckServiceHandler(r))
	mux.Handle(authzv1connect.NewRelationshipServiceHandler(r))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// lost returns the URL of a region where nobody listens.
func lost(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(nil)
	server.Close()
	return server.URL
}

// silent returns the URL of a region that takes connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		var kept []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				for _, c := range kept {
					_ = c.Close()
				}
				return
			}
			kept = append(kept, conn)
		}
	}()
	return "http://" + l.Addr().String()
}

func open(urls ...string) *meridian.Client {
	return meridian.Open(meridian.Config{URLs: urls, Token: "token"})
}

var question = meridian.Question{Subject: "user:anna", Permission: "can_read", Resource: "document:plan"}

func TestRegions(t *testing.T) {
	t.Parallel()
	t.Run("nearest first, and a deny is an answer", func(t *testing.T) {
		t.Parallel()
		near, next := serving(t), serving(t)
		decision, err := open(near.url, next.url).Check(t.Context(), question)
		if err != nil || decision.Allowed || near.called.Load() != 1 || next.called.Load() != 0 {
			t.Errorf("%+v, %v; %d and %d calls", decision, err, near.called.Load(), next.called.Load())
		}
	})
	t.Run("nobody listens at the nearest", func(t *testing.T) {
		t.Parallel()
		next := serving(t)
		client := open(lost(t), next.url)
		for range 100 { // more than the budget would pay for
			if _, err := client.Check(t.Context(), question); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := client.Write(t.Context(), "acme", meridian.Touch("document:plan", "reader", "user:anna")); err != nil {
			t.Error(err)
		}
	})
	t.Run("the nearest is silent", func(t *testing.T) {
		t.Parallel()
		next := serving(t)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := open(silent(t), next.url).Check(ctx, question); err != nil || next.called.Load() != 1 {
			t.Errorf("%v, %d calls", err, next.called.Load())
		}
	})
	t.Run("a hedge does not wait for it", func(t *testing.T) {
		t.Parallel()
		next := serving(t)
		client := meridian.Open(meridian.Config{URLs: []string{silent(t), next.url}, Token: "token", Hedge: time.Millisecond})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // half of it is too long for any test
		defer cancel()
		if _, err := client.Check(ctx, question); err != nil {
			t.Error(err)
		}
	})
	t.Run("no region answers", func(t *testing.T) {
		t.Parallel()
		_, err := open(lost(t), lost(t)).Check(t.Context(), question)
		if e, ok := meridian.AsError(err); !ok || e.Reason != commonv1.Reason_SERVICE_UNAVAILABLE || e.Meta["tried"] != "2" || e.Meta["regions"] != "2" {
			t.Errorf("%v", err)
		}
	})
	t.Run("no URL", func(t *testing.T) {
		t.Parallel()
		if _, err := open().Check(t.Context(), question); !meridian.Is(err, commonv1.Reason_INVALID_FIELD) {
			t.Errorf("%v", err)
		}
	})
}

func TestWritesInRegions(t *testing.T) {
	t.Parallel()
	near, next := serving(t), serving(t)
	near.answer = func(context.Context) error { panic(http.ErrAbortHandler) } // the connection is cut
	client := open(near.url, next.url)
	if revision, err := client.Write(t.Context(), "acme", meridian.Touch("document:plan", "reader", "user:anna")); err != nil || revision != "r1" {
		t.Errorf("a write with the client's key: %q, %v", revision, err)
	}
	_, err := client.Relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{Organization: "acme"})
	if !meridian.Is(err, commonv1.Reason_OUTCOME_UNKNOWN) || next.called.Load() != 1 {
		t.Errorf("a write without a key: %v, %d calls of the next region", err, next.called.Load())
	}
}

// A watch goes on in the next region from where it was, whether its region says
// that it goes away, cuts it or falls silent.
func TestWatchInRegions(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	for name, end := range map[string]func(near *region, ctx context.Context) error{
		"goes away": func(near *region, _ context.Context) error {
			return connect.NewError(connect.CodeUnavailable, errors.New("stopping"))
		},
		"cut": func(*region, context.Context) error { panic(http.ErrAbortHandler) },
		"falls silent": func(_ *region, ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, next := serving(t), serving(t)
			near.watch = func(ctx context.Context, req *authzv1.WatchRequest, stream *connect.ServerStream[authzv1.WatchResponse]) error {
				if near.called.Add(1) > 1 { // and it stays away
					return end(near, ctx)
				}
				if err := errors.Join(stream.Send(changed("r1")), stream.Send(checkpoint("r2"))); err != nil {
					return err
				}
				return end(near, ctx)
			}
			next.watch = func(_ context.Context, req *authzv1.WatchRequest, stream *connect.ServerStream[authzv1.WatchResponse]) error {
				return errors.Join(stream.Send(checkpoint(req.GetAfter())), stream.Send(changed("r3")))
			}
			client := open(near.url, next.url)
			client.OpenAgainAfter(200 * time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var heard []string
			err := client.Watch(ctx, &authzv1.WatchRequest{After: "r0"}, func(m *authzv1.WatchResponse) error {
				heard = append(heard, m.GetCheckpoint()+m.GetChanges().GetRevision())
				if m.GetChanges().GetRevision() == "r3" {
					return enough
				}
				return nil
			})
			if want := []string{"r1", "r2", "r2", "r3"}; !errors.Is(err, enough) || !slices.Equal(heard, want) {
				t.Errorf("heard %q, want %q (%v)", heard, want, err)
			}
		})
	}
}
