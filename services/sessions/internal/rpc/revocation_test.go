package rpc_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/rpc"
)

// told is a deny map whose revocations are served, complete up to behind ago.
type told struct {
	deny    *accesstoken.Deny
	behind  atomic.Int64
	unknown atomic.Bool
	client  sessionsv1connect.RevocationServiceClient
}

func newTold(t *testing.T) *told {
	t.Helper()
	s := &told{deny: accesstoken.NewDeny(nil)}
	mux := http.NewServeMux()
	mux.Handle(sessionsv1connect.NewRevocationServiceHandler(mapped{&rpc.Revocations{
		Deny: s.deny, MaxAge: 5 * time.Second, Clock: time.Now,
		Complete: func() (time.Time, bool) {
			return time.Now().Add(-time.Duration(s.behind.Load())), !s.unknown.Load()
		},
	}}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.client = sessionsv1connect.NewRevocationServiceClient(server.Client(), server.URL)
	return s
}

// mapped answers with errors as the server does.
type mapped struct{ *rpc.Revocations }

func (m mapped) WatchRevocations(
	ctx context.Context, req *sessionsv1.WatchRevocationsRequest, stream *connect.ServerStream[sessionsv1.WatchRevocationsResponse],
) error {
	if err := m.Revocations.WatchRevocations(ctx, req, stream); err != nil {
		return faultconnect.ToConnect(faultconnect.Settle(ctx, err))
	}
	return nil
}

// watch opens a watch that ends with the test, after at most 20 s.
func (s *told) watch(t *testing.T, after *timestamppb.Timestamp) *connect.ServerStreamForClient[sessionsv1.WatchRevocationsResponse] {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	stream, err := s.client.WatchRevocations(ctx, &sessionsv1.WatchRevocationsRequest{After: after})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = stream.Close() })
	return stream
}

// until reads a watch until it has everything, and returns that and the last message.
func until(t *testing.T, stream *connect.ServerStreamForClient[sessionsv1.WatchRevocationsResponse]) (all []*sessionsv1.Revocation, last *sessionsv1.WatchRevocationsResponse) {
	t.Helper()
	for stream.Receive() {
		last = stream.Msg()
		if len(last.GetRevocations()) > 1000 {
			t.Errorf("a message has %d revocations", len(last.GetRevocations()))
		}
		all = append(all, last.GetRevocations()...)
		if last.GetCompleteUntil() != nil {
			return all, last
		}
	}
	t.Fatal(stream.Err())
	return nil, nil
}

func TestWatchRevocations(t *testing.T) {
	t.Parallel()
	s := newTold(t)
	s.behind.Store(int64(time.Second))
	at := time.Now().Add(-3 * time.Minute)
	for i := range 2500 {
		s.deny.Add(accesstoken.Entry{Kind: accesstoken.Session, ID: fmt.Sprint("ses_", i), NotBefore: at})
	}
	stream := s.watch(t, nil)
	all, last := until(t, stream)
	if len(all) != 2500 || all[7].GetKind() != sessionsv1.RevocationKind_REVOCATION_KIND_SESSION || all[7].GetId() != "ses_7" ||
		all[7].GetRevokedAt().AsTime().Unix() != at.Unix() {
		t.Fatalf("%d revocations, the eighth %v", len(all), all[7])
	}
	if behind := last.GetSentAt().AsTime().Sub(last.GetCompleteUntil().AsTime()); behind < time.Second || behind > 2*time.Second {
		t.Errorf("what is sent is everything until %v before", behind)
	}
	// What happens while it is open, of every kind.
	kinds := map[accesstoken.Kind]sessionsv1.RevocationKind{
		accesstoken.Token: 1, accesstoken.Session: 2, accesstoken.Grant: 3, accesstoken.Subject: 4, accesstoken.Client: 5,
		accesstoken.Organization: 6, accesstoken.Member: 7, accesstoken.Key: 8, accesstoken.ClientFor: 9,
	}
	for kind, want := range kinds {
		s.deny.Add(accesstoken.Entry{Kind: kind, ID: fmt.Sprint("id ", kind), Organization: "org_1", NotBefore: at})
		var got *sessionsv1.Revocation
		for got == nil {
			if more, _ := until(t, stream); len(more) > 0 {
				got = more[0]
			}
		}
		if got.GetKind() != want || got.GetId() != fmt.Sprint("id ", kind) || (got.GetOrganization() == "") != (kind == accesstoken.Key) {
			t.Errorf("kind %d is told as %v", kind, got)
		}
	}
	s.deny.DenyUntil(at)
	for {
		if _, message := until(t, stream); message.GetAllRevokedAt() != nil {
			break
		}
	}
	// Another, from where a third was a minute and more later: all that is left is the key.
	all, _ = until(t, s.watch(t, timestamppb.New(at.Add(2*time.Minute))))
	if len(all) != 1 || all[0].GetKind() != sessionsv1.RevocationKind_REVOCATION_KIND_KEY {
		t.Errorf("%d revocations after a time when all was known", len(all))
	}
	// The region falls behind.
	s.behind.Store(int64(6 * time.Second))
	for stream.Receive() {
	}
	if connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
		t.Errorf("a region that is behind: %v", stream.Err())
	}
	s.behind.Store(int64(-6 * time.Second))
	another := s.watch(t, nil)
	if another.Receive() || connect.CodeOf(another.Err()) != connect.CodeUnavailable {
		t.Errorf("a region whose clock is behind: %v", another.Err())
	}
	s.unknown.Store(true)
	another = s.watch(t, nil)
	if another.Receive() || connect.CodeOf(another.Err()) != connect.CodeUnavailable {
		t.Errorf("a region that does not know: %v", another.Err())
	}
}

// Watchers cost their place in the map: what they do not read yet is nowhere else.
func TestWatchersTogether(t *testing.T) {
	t.Parallel()
	s := newTold(t)
	const watchers, each = 8, 3000
	done := make(chan int, watchers)
	for range watchers {
		stream := s.watch(t, nil)
		go func() {
			seen := map[string]bool{}
			for len(seen) < each && stream.Receive() {
				for _, r := range stream.Msg().GetRevocations() {
					seen[r.GetId()] = true
				}
			}
			done <- len(seen)
		}()
	}
	for i := range each {
		s.deny.Add(accesstoken.Entry{Kind: accesstoken.Grant, ID: fmt.Sprint("gnt_", i), NotBefore: time.Now()})
	}
	for range watchers {
		if seen := <-done; seen != each {
			t.Errorf("a watcher saw %d of %d", seen, each)
		}
	}
}
