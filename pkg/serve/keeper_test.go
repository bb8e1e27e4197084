package serve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1/logv1connect"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/serve"
)

// revocable knows the bearers of these tests until they are revoked, and can be
// away.
type revocable struct {
	revoked, away, suspended atomic.Bool

	expires time.Time
	asked   atomic.Int64
}

func (r *revocable) Verify(ctx context.Context, bearer secret.String) (principal.Principal, error) {
	r.asked.Add(1)
	if r.away.Load() {
		return principal.Principal{}, fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "away")
	}
	if r.revoked.Load() {
		return principal.Principal{}, fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_REJECTED, "revoked")
	}
	p, err := known.Verify(ctx, bearer)
	p.Expires = r.expires
	if r.suspended.Load() {
		p.Closed = "suspended"
	}
	return p, err
}

// importing opens an import and sends one message.
func importing(t *testing.T, s *server, token string) *connect.ClientStreamForClientSimple[authzv1.ImportRelationshipsRequest, authzv1.ImportRelationshipsResponse] {
	t.Helper()
	c := authzv1connect.NewRelationshipServiceClient(httpClient(t, token, true), s.url, connect.WithGRPC())
	stream, err := c.ImportRelationships(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send(t, stream)
	return stream
}

func send(t *testing.T, stream *connect.ClientStreamForClientSimple[authzv1.ImportRelationshipsRequest, authzv1.ImportRelationshipsResponse]) {
	t.Helper()
	err := stream.Send(&authzv1.ImportRelationshipsRequest{Organization: acme, Relationships: relationship("a")})
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

func reason(err error) commonv1.Reason {
	if f := faultconnect.FromConnect(err); f != nil {
		return f.Reason
	}
	return commonv1.Reason_REASON_UNSPECIFIED
}

// An import whose client sends nothing is ended, and says why.
func TestIdleStreamEnds(t *testing.T) {
	t.Parallel()
	s := start(t, setup{config: serve.Config{StreamIdle: 100 * time.Millisecond}})
	stream := importing(t, s, "acme-admin")
	if !waitFor(t, func() bool { return strings.Contains(s.log.String(), `"reason":"DEADLINE"`) }) {
		t.Fatal("an idle stream goes on")
	}
	if _, err := stream.CloseAndReceive(); reason(err) != commonv1.Reason_DEADLINE {
		t.Errorf("ended with %v, want DEADLINE", err)
	}
}

// A revoked or expired token ends its streams, whether messages come or not.
func TestStreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lifetime time.Duration
		change   func(v *revocable)
	}{
		"revoked": {0, func(v *revocable) { v.revoked.Store(true) }},
		"expired": {500 * time.Millisecond, func(*revocable) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := new(revocable)
			if c.lifetime > 0 {
				v.expires = time.Now().Add(c.lifetime)
			}
			s := start(t, setup{verifier: v})
			logs := logv1connect.NewLogServiceClient(httpClient(t, "platform-admin", true), s.url)
			tailing, err := logs.TailLog(t.Context(), &logv1.TailLogRequest{Log: "platform", Follow: true})
			if err != nil || !tailing.Receive() {
				t.Fatal(err, tailing.Err())
			}
			waiting := importing(t, s, "acme-admin")
			c.change(v)
			for tailing.Receive() {
			}
			if got := reason(tailing.Err()); got != commonv1.Reason_TOKEN_REJECTED {
				t.Errorf("a server stream ended with %v, want TOKEN_REJECTED", tailing.Err())
			}
			_ = tailing.Close()
			if !waitFor(t, func() bool { return strings.Count(s.log.String(), `"reason":"TOKEN_REJECTED"`) == 2 }) {
				t.Error("a stream that waits for its client goes on")
			}
			if _, err := waiting.CloseAndReceive(); reason(err) != commonv1.Reason_TOKEN_REJECTED {
				t.Errorf("a client stream ended with %v, want TOKEN_REJECTED", err)
			}
		})
	}
}

// The message after a revocation is refused, before the next regular look.
func TestRevokedTokenSendsNoMessage(t *testing.T) {
	t.Parallel()
	v := new(revocable)
	s := start(t, setup{verifier: v})
	stream := importing(t, s, "acme-admin")
	v.revoked.Store(true)
	send(t, stream)
	if _, err := stream.CloseAndReceive(); reason(err) != commonv1.Reason_TOKEN_REJECTED {
		t.Errorf("ended with %v, want TOKEN_REJECTED", err)
	}
}

// A suspension ends calls, streams and the next message of a stream.
func TestSuspendedOrganizationCallsNothing(t *testing.T) {
	t.Parallel()
	v := new(revocable)
	s := start(t, setup{verifier: v})
	sends, waits := importing(t, s, "acme-admin"), importing(t, s, "acme-admin")
	if !waitFor(t, func() bool { return v.asked.Load() >= 2 }) {
		t.Fatal("the streams did not begin")
	}
	v.suspended.Store(true)
	send(t, sends)
	if _, err := sends.CloseAndReceive(); reason(err) != commonv1.Reason_ORGANIZATION_STATE {
		t.Errorf("a stream that goes on ended with %v, want ORGANIZATION_STATE", err)
	}
	if !waitFor(t, func() bool { return running(t, s) == 0 }) {
		t.Error("a stream that waits goes on")
	}
	if _, err := waits.CloseAndReceive(); reason(err) != commonv1.Reason_ORGANIZATION_STATE {
		t.Errorf("a stream that waits ended with %v, want ORGANIZATION_STATE", err)
	}
	err := get(t.Context(), s.client(t, "acme-read"), acme)
	if f := faultconnect.FromConnect(err); f == nil || f.Reason != commonv1.Reason_ORGANIZATION_STATE || f.Kind != fault.Denied || f.Meta["state"] != "suspended" {
		t.Errorf("a call: %v, want ORGANIZATION_STATE of a suspended one", err)
	}
}

// A verifier that cannot answer ends no stream.
func TestStreamsSurviveTheirVerifier(t *testing.T) {
	t.Parallel()
	v := new(revocable)
	s := start(t, setup{verifier: v})
	stream := importing(t, s, "acme-admin")
	if !waitFor(t, func() bool { return v.asked.Load() >= 2 }) {
		t.Fatal("the stream did not begin")
	}
	v.away.Store(true)
	before := v.asked.Load()
	if !waitFor(t, func() bool { return v.asked.Load() > before }) {
		t.Fatal("the open stream's token is not verified again")
	}
	send(t, stream)
	answer, err := stream.CloseAndReceive()
	if err != nil || answer.GetCreated() != 2 {
		t.Errorf("%v, %v", answer, err)
	}
}

// One caller does not have all the places.
func TestPlacesPerCaller(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}, 8), make(chan struct{})
	s := start(t, setup{
		config: serve.Config{MaxConcurrent: 4, MaxStreams: 8},
		handler: organizations{get: func(context.Context, string) error {
			entered <- struct{}{}
			<-leave
			return nil
		}},
	})
	done := make(chan error, 3)
	for range 2 {
		go func() { done <- get(t.Context(), s.client(t, "acme-read"), acme) }()
		<-entered
	}
	if err := get(t.Context(), s.client(t, "acme-read"), acme); reason(err) != commonv1.Reason_RATE_LIMITED {
		t.Errorf("more than half of the calls: %v", err)
	}
	go func() { done <- get(t.Context(), s.client(t, "other-admin"), other) }()
	<-entered
	close(leave)
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for i := range 2 {
		importing(t, s, "acme-admin")
		if !waitFor(t, func() bool { return running(t, s) == i+1 }) {
			t.Fatal("the imports do not run")
		}
	}
	third := importing(t, s, "acme-admin")
	if _, err := third.CloseAndReceive(); reason(err) != commonv1.Reason_RATE_LIMITED {
		t.Errorf("more than a quarter of the streams: %v", err)
	}
	if err := get(t.Context(), s.client(t, "acme-read"), acme); err != nil {
		t.Errorf("places are not given back: %v", err)
	}
}

func running(t *testing.T, s *server) int {
	t.Helper()
	_, body := fetch(t, s.url+"/metrics")
	_, rest, _ := strings.Cut(body, "\nmeridian_rpc_running ")
	var n int
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// memory is a verifier that remembers one token.
type memory struct{ revocable }

func (*memory) Remembers(bearer secret.String) bool { return bearer.Reveal() == "acme-read" }

// A flood of made-up tokens reaches the verifier so many times and no more, and
// is no flood of the log. A token that is known goes on from the same address.
func TestGuessesAreLimited(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	v := new(memory)
	s := start(t, setup{
		verifier: v, clock: func() time.Time { return time.Unix(1_800_000_000, now.Load()) },
		config: serve.Config{Limits: serve.Limits{Guess: serve.Rate{PerSecond: 1, Burst: 10}}},
	})
	c := s.client(t, "made-up")
	for i := range 30 {
		want := commonv1.Reason_TOKEN_REJECTED
		if i >= 10 {
			want = commonv1.Reason_RATE_LIMITED
		}
		if err := get(t.Context(), c, acme); reason(err) != want {
			t.Fatalf("guess %d: %v, want %s", i, err, want)
		}
	}
	if got := v.asked.Load(); got != 10 {
		t.Errorf("the verifier was asked %d times, want 10", got)
	}
	if got := strings.Count(s.log.String(), `"msg":"call"`); got != 1 {
		t.Errorf("%d lines for 30 refusals in one second, want 1", got)
	}
	if err := get(t.Context(), s.client(t, "acme-read"), acme); err != nil {
		t.Errorf("a token that is known: %v", err)
	}
	now.Store(int64(time.Second))
	if err := get(t.Context(), c, acme); reason(err) != commonv1.Reason_TOKEN_REJECTED {
		t.Errorf("after the bucket filled again: %v", err)
	}
	if !waitFor(t, func() bool { return strings.Contains(s.log.String(), `"omitted":29`) }) {
		t.Errorf("the log does not say how many lines it omitted: %s", s.log)
	}
}

// A body that says that it is too long is refused with a reason and the limit.
func TestOverlongBodyIsTyped(t *testing.T) {
	t.Parallel()
	s := start(t, setup{config: serve.Config{MaxMessageBytes: 10_000}})
	err := get(t.Context(), s.client(t, "acme-read"), strings.Repeat("x", 20_000))
	f := faultconnect.FromConnect(err)
	if f == nil || f.Reason != commonv1.Reason_BATCH_TOO_LARGE || f.Meta["field"] != "body" || f.Meta["limit"] != "10000" {
		t.Errorf("%+v", f)
	}
}

// Reflection is there unless it is turned off.
func TestNoReflection(t *testing.T) {
	t.Parallel()
	for off, want := range map[bool]connect.Code{false: 0, true: connect.CodeUnimplemented} {
		s := start(t, setup{config: serve.Config{NoReflection: off}})
		c := connect.NewClient[emptypb.Empty, emptypb.Empty](httpClient(t, "", true),
			s.url+"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", connect.WithGRPC())
		stream := c.CallBidiStream(t.Context())
		_ = stream.CloseRequest()
		if _, err := stream.Receive(); want == 0 && !errors.Is(err, io.EOF) || want != 0 && connect.CodeOf(err) != want {
			t.Errorf("off %t: %v", off, err)
		}
		_ = stream.CloseResponse()
	}
}
