package meridian_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
)

// scripted answers each watch with the next of its streams.
type scripted struct {
	authzv1connect.UnimplementedRelationshipServiceHandler

	mu      sync.Mutex
	streams []script
	// asked are the revisions that watches asked for.
	asked []string
}

// script is what one stream sends, and how it ends.
type script struct {
	messages []*authzv1.WatchResponse
	err      error
}

func (s *scripted) Watch(_ context.Context, req *authzv1.WatchRequest, stream *connect.ServerStream[authzv1.WatchResponse]) error {
	s.mu.Lock()
	s.asked = append(s.asked, req.GetAfter())
	next := s.streams[0]
	s.streams = s.streams[1:]
	s.mu.Unlock()
	for _, m := range next.messages {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return next.err
}

func changed(revision string) *authzv1.WatchResponse {
	return &authzv1.WatchResponse{Kind: &authzv1.WatchResponse_Changes{Changes: &authzv1.WatchChanges{Revision: revision}}}
}

func checkpoint(revision string) *authzv1.WatchResponse {
	return &authzv1.WatchResponse{Kind: &authzv1.WatchResponse_Checkpoint{Checkpoint: revision}}
}

func TestWatch(t *testing.T) {
	away := connect.NewError(connect.CodeUnavailable, errors.New("stopping"))
	reset := &authzv1.WatchResponse{Kind: &authzv1.WatchResponse_Reset_{Reset_: &authzv1.WatchReset{Oldest: "r9"}}}
	enough := errors.New("enough")
	for name, tc := range map[string]struct {
		streams []script
		heard   int
		asked   []string
		check   func(error) bool
	}{
		"goes on from the last revision": {
			streams: []script{
				{[]*authzv1.WatchResponse{checkpoint("r1"), changed("r2")}, away},
				{nil, away},
				{[]*authzv1.WatchResponse{changed("r3"), checkpoint("r4")}, nil},
				{[]*authzv1.WatchResponse{changed("stop")}, nil},
			},
			heard: 5, asked: []string{"r0", "r2", "r2", "r4"},
			check: func(err error) bool { return errors.Is(err, enough) },
		},
		"says that it is too far behind": {
			streams: []script{{[]*authzv1.WatchResponse{changed("r1")}, away}, {[]*authzv1.WatchResponse{reset}, nil}},
			heard:   1, asked: []string{"r0", "r1"},
			check: func(err error) bool {
				var e *meridian.ResetError
				return errors.As(err, &e) && e.Oldest == "r9"
			},
		},
		"does not repeat what is refused": {
			streams: []script{{nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("revision unknown"))}},
			asked:   []string{"r0"},
			check:   func(err error) bool { return connect.CodeOf(err) == connect.CodeFailedPrecondition },
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := &scripted{streams: tc.streams}
			mux := http.NewServeMux()
			mux.Handle(authzv1connect.NewRelationshipServiceHandler(server))
			listening := httptest.NewServer(mux)
			defer listening.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			heard := 0
			err := meridian.New(listening.URL, "token").Watch(ctx, &authzv1.WatchRequest{After: "r0"}, func(m *authzv1.WatchResponse) error {
				heard++
				if m.GetChanges().GetRevision() == "stop" {
					return enough
				}
				return nil
			})
			if !tc.check(err) || heard != tc.heard || !slices.Equal(server.asked, tc.asked) {
				t.Errorf("%v after %d messages, asked for %q; want %d messages and %q", err, heard, server.asked, tc.heard, tc.asked)
			}
		})
	}
}
