package serve_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1/logv1connect"

	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/serve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A call that runs when the server stops finishes, with the calls that it makes
// inside the process; a new call is refused.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	var inside identityv1connect.OrganizationServiceClient
	s := start(t, setup{handler: organizations{get: func(ctx context.Context, organization string) error {
		if organization == other {
			return nil
		}
		close(entered)
		<-leave
		return get(ctx, inside, other)
	}}})
	inside = identityv1connect.NewOrganizationServiceClient(&http.Client{Transport: bearing{"other-admin", pipeTransport{s.Client()}}}, "http://in-process")
	c := s.client(t, "acme-read")
	done := make(chan error, 1)
	go func() { done <- get(t.Context(), c, acme) }()
	<-entered
	s.stop()
	if !waitFor(t, func() bool {
		return connect.CodeOf(get(t.Context(), s.client(t, "other-admin"), other)) == connect.CodeUnavailable
	}) {
		t.Error("a new call is taken")
	}
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("the call that was running: %v", err)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(leave) })
	s := start(t, setup{
		config: serve.Config{StopTimeout: 100 * time.Millisecond},
		handler: organizations{get: func(context.Context, string) error {
			close(entered)
			<-leave
			return nil
		}},
	})
	done := make(chan error, 1)
	go func() { done <- get(t.Context(), s.client(t, "acme-read"), acme) }()
	<-entered
	begun := time.Now()
	s.stop()
	if err := <-s.ended; err != nil || time.Since(begun) > 3*time.Second {
		t.Errorf("Run: %v after %v", err, time.Since(begun))
	}
	if err := <-done; err == nil {
		t.Error("a call that was cut off succeeded")
	}
}

func TestStopEndsStreams(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	c := logv1connect.NewLogServiceClient(httpClient(t, "platform-admin", true), s.url)
	stream, err := c.TailLog(t.Context(), &logv1.TailLogRequest{Log: "platform", Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	if !stream.Receive() {
		t.Fatal(stream.Err())
	}
	begun := time.Now()
	s.stop()
	for stream.Receive() {
	}
	if f := faultconnect.FromConnect(stream.Err()); f == nil || f.Reason != commonv1.Reason_STOPPING {
		t.Errorf("the stream ended with %v, want STOPPING", stream.Err())
	}
	_ = stream.Close()
	if err := <-s.ended; err != nil || time.Since(begun) > 3*time.Second {
		t.Errorf("Run: %v after %v", err, time.Since(begun))
	}
}

func TestRunRefusesBadConfiguration(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]serve.Config{
		"access log":         {AccessLog: "some"},
		"negative":           {Deadline: -1},
		"certificate absent": {TLS: serve.TLS{CertFile: "/nowhere/cert", KeyFile: "/nowhere/key"}},
		"key forgotten":      {TLS: serve.TLS{CertFile: "/nowhere/cert"}},
		"address":            {Listen: "nonsense"},
	} {
		s := serve.New(serve.Options{Config: config})
		s.HandlerOptions()
		if err := s.Run(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A handler that waits for a client's next message is woken.
func TestStopWakesReceivers(t *testing.T) {
	t.Parallel()
	s := start(t, setup{})
	for name, http2 := range map[string]bool{"h2c": true, "HTTP/1.1": false} {
		c := authzv1connect.NewRelationshipServiceClient(httpClient(t, "acme-admin", http2), s.url)
		stream, err := c.ImportRelationships(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&authzv1.ImportRelationshipsRequest{Organization: acme, Relationships: relationship("a")}); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_, err := stream.CloseAndReceive()
			if f := faultconnect.FromConnect(err); f == nil || f.Kind == 0 {
				t.Errorf("%s: an import that was cut short succeeded", name)
			}
		}()
	}
	if !waitFor(t, func() bool {
		_, body := fetch(t, s.url+"/metrics")
		return strings.Contains(body, "meridian_rpc_running 2")
	}) {
		t.Fatal("the imports do not run")
	}
	begun := time.Now()
	s.stop()
	if err := <-s.ended; err != nil || time.Since(begun) > 3*time.Second {
		t.Errorf("Run: %v after %v", err, time.Since(begun))
	}
	if got := strings.Count(s.log.String(), `"reason":"STOPPING"`); got != 2 {
		t.Errorf("%d imports ended with STOPPING, want 2:\n%s", got, s.log)
	}
}
