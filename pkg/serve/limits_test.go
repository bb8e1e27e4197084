package serve_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"

	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/serve"
)

func TestRateLimit(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	s := start(t, setup{
		clock: func() time.Time { return time.Unix(1_800_000_000, now.Load()) },
		config: serve.Config{Limits: serve.Limits{
			Read: serve.Rate{PerSecond: 10, Burst: 5}, Manage: serve.Rate{PerSecond: 1, Burst: 1},
		}},
	})
	reader, admin := s.client(t, "acme-read"), s.client(t, "platform-admin")
	for i := range 5 {
		if err := get(t.Context(), reader, acme); err != nil {
			t.Fatalf("call %d within the burst: %v", i, err)
		}
	}
	refused := get(t.Context(), reader, acme)
	f := faultconnect.FromConnect(refused)
	if f == nil || f.Reason != commonv1.Reason_RATE_LIMITED || f.RetryAfter <= 0 || f.RetryAfter > 100*time.Millisecond {
		t.Fatalf("beyond the burst: %+v", f)
	}
	var answer *connect.Error
	if !errors.As(refused, &answer) {
		t.Fatal(refused)
	}
	for header, want := range map[string]string{"RateLimit-Limit": "5", "RateLimit-Remaining": "0", "RateLimit-Reset": "1", "Retry-After": "1"} {
		if got := answer.Meta().Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	// The organization's budget is used up too: another of its tokens waits.
	if f := faultconnect.FromConnect(get(t.Context(), s.client(t, "acme-admin"), acme)); f == nil || f.Reason != commonv1.Reason_RATE_LIMITED {
		t.Errorf("another token of the organization: %v", f)
	}
	if err := get(t.Context(), s.client(t, "other-admin"), other); err != nil {
		t.Errorf("another organization: %v", err)
	}
	create := &identityv1.CreateOrganizationRequest{Slug: "slug", Name: "n", IdempotencyKey: "k"}
	if _, err := admin.CreateOrganization(t.Context(), create); err != nil {
		t.Errorf("management has a budget of its own: %v", err)
	}
	if _, err := admin.CreateOrganization(t.Context(), create); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("management beyond its budget: %v", err)
	}
	if err := get(t.Context(), admin, other); err != nil {
		t.Errorf("reads after management used up its budget: %v", err)
	}
	now.Store(int64(time.Second))
	if err := get(t.Context(), reader, acme); err != nil {
		t.Errorf("after the bucket filled again: %v", err)
	}
}

// Idle streams, and those who need no token, take no place of a call.
func TestIdleStreamsDoNotShutOutCalls(t *testing.T) {
	t.Parallel()
	s := start(t, setup{config: serve.Config{MaxConcurrent: 64, MaxStreams: 8}})
	imports := authzv1connect.NewRelationshipServiceClient(httpClient(t, "acme-admin", true), s.url)
	for range 2 {
		stream, err := imports.ImportRelationships(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&authzv1.ImportRelationshipsRequest{Organization: acme, Relationships: relationship("a")}); err != nil {
			t.Fatal(err)
		}
	}
	runs := func(n int) func() bool {
		return func() bool {
			_, body := fetch(t, s.url+"/metrics")
			return strings.Contains(body, fmt.Sprintf("meridian_rpc_running %d", n))
		}
	}
	if !waitFor(t, runs(2)) {
		t.Fatal("the imports do not run")
	}
	third, err := imports.ImportRelationships(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = third.CloseAndReceive()
	if f := faultconnect.FromConnect(err); f == nil || f.Reason != commonv1.Reason_RATE_LIMITED {
		t.Errorf("a third stream: %+v", f)
	}
	// Nobody asks for a token here; nothing is ever asked either.
	reflection := connect.NewClient[healthv1.HealthCheckRequest, healthv1.HealthCheckResponse](
		httpClient(t, "", true), s.url+"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", connect.WithGRPC())
	for range 100 {
		_ = reflection.CallBidiStream(t.Context()).Send(nil) // the headers; many are refused
	}
	if !waitFor(t, runs(2+32)) {
		t.Fatal("the strangers do not run")
	}
	if err := get(t.Context(), s.client(t, "acme-read"), acme); err != nil {
		t.Errorf("a call beside idle streams: %v", err)
	}
}

func TestLoadShedding(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	s := start(t, setup{
		config: serve.Config{MaxConcurrent: 2},
		handler: organizations{get: func(context.Context, string) error {
			entered <- struct{}{}
			<-leave
			return nil
		}},
	})
	c := s.client(t, "platform-admin")
	done := make(chan error, 2)
	for _, token := range []string{"acme-read", "acme-admin"} {
		go func() { done <- get(t.Context(), s.client(t, token), acme) }()
	}
	<-entered
	<-entered
	f := faultconnect.FromConnect(get(t.Context(), c, acme))
	if f == nil || f.Reason != commonv1.Reason_RATE_LIMITED || f.RetryAfter <= 0 {
		t.Errorf("a third call: %+v", f)
	}
	if status, _ := fetch(t, s.url+"/livez"); status != http.StatusOK {
		t.Errorf("/livez under load: %d", status)
	}
	close(leave)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := get(t.Context(), c, acme); err != nil {
		t.Errorf("after the load: %v", err)
	}
}

func TestOversizeMessages(t *testing.T) {
	t.Parallel()
	s := start(t, setup{config: serve.Config{MaxMessageBytes: 10_000}})
	create := &identityv1.CreateOrganizationRequest{Slug: "slug", Name: strings.Repeat("x", 20_000), IdempotencyKey: "k"}
	for name, c := range map[string]identityv1connect.OrganizationServiceClient{
		"plain":           s.client(t, "platform-admin"),
		"gRPC":            s.client(t, "platform-admin", connect.WithGRPC()),
		"compressed bomb": s.client(t, "platform-admin", connect.WithSendGzip()),
	} {
		if _, err := c.CreateOrganization(t.Context(), create); connect.CodeOf(err) != connect.CodeResourceExhausted {
			t.Errorf("%s: %v, want resource_exhausted", name, err)
		}
	}
	stream := authzv1connect.NewRelationshipServiceClient(httpClient(t, "acme-admin", true), s.url)
	importing, err := stream.ImportRelationships(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	long := relationship(strings.Repeat("x", 20_000))
	if err := importing.Send(&authzv1.ImportRelationshipsRequest{Organization: acme, Relationships: long}); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	_, err = importing.CloseAndReceive()
	if f := faultconnect.FromConnect(err); f == nil || f.Reason != commonv1.Reason_BATCH_TOO_LARGE {
		t.Errorf("a stream's message: %v", err)
	}
}

func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := start(t, setup{config: serve.Config{HeaderTimeout: 100 * time.Millisecond, BodyTimeout: 100 * time.Millisecond}})
	head := "POST " + identityv1connect.OrganizationServiceGetOrganizationProcedure + " HTTP/1.1\r\nHost: x\r\n"
	for name, sent := range map[string]string{
		"headers without end": head,
		"body without end":    head + "Authorization: Bearer acme-read\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, bufio.NewReader(conn)); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Errorf("%s: the server still waits", name)
		}
		_ = conn.Close()
	}
	// Control: a handler that takes longer than a body may take is left alone.
	slow := start(t, setup{
		config:  serve.Config{BodyTimeout: 50 * time.Millisecond},
		handler: organizations{get: func(ctx context.Context, _ string) error { return after(ctx, 200*time.Millisecond) }},
	})
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "h2c": true} {
		c := identityv1connect.NewOrganizationServiceClient(httpClient(t, "acme-read", http2), slow.url)
		if err := get(t.Context(), c, acme); err != nil {
			t.Errorf("slow handler over %s: %v", name, err)
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// after waits, unless ctx ends first.
func after(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func fetch(t testing.TB, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
