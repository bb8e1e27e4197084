package serve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/telemetry"
)

// A token and a value of a request go through calls that fail in every way.
// Neither may appear in a log line, an error, a metric or a trace.
func TestCanary(t *testing.T) {
	t.Parallel()
	const token, value = "canary-token-5b1e", "canary-value-9c2d"
	log, traces := new(buffer), new(buffer)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(traces, r.Body)
	}))
	t.Cleanup(collector.Close)
	all := 1.0
	observed, shutdown, err := telemetry.New(telemetry.Config{Output: log, Level: "debug", TraceEndpoint: collector.URL, TraceRatio: &all})
	if err != nil {
		t.Fatal(err)
	}
	platform := known["platform-admin"]
	s := serve.New(serve.Options{Verifier: tokens{token: platform}, Telemetry: observed})
	failures := []func() error{
		func() error { return fault.New(fault.Conflict, commonv1.Reason_CONFLICT, "taken") },
		func() error { return fmt.Errorf("append: %w", context.DeadlineExceeded) },
		func() error { return io.ErrUnexpectedEOF },
		func() error { panic(value + token) },
	}
	next := 0
	handler := organizations{create: func(context.Context, *identityv1.CreateOrganizationRequest) error {
		next++
		return failures[next-1]()
	}}
	s.Mount(identityv1connect.NewOrganizationServiceHandler(&handler, s.HandlerOptions()...))
	address, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()

	answers := provoke(t, "http://"+address.String(), token, value, len(failures))
	_, exposed := fetch(t, "http://"+address.String()+"/metrics")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	for where, text := range map[string]string{
		"the log": log.String(), "an answer": answers, "the metrics": exposed, "the traces": traces.String(),
	} {
		if len(text) < 200 {
			t.Errorf("%s is nearly empty, so this proves nothing: %q", where, text)
		}
		for _, canary := range []string{token, value} {
			if i := strings.Index(text, canary); i >= 0 {
				t.Errorf("%s holds %s: …%s", where, canary, text[max(0, i-100):i+len(canary)])
			}
		}
	}
}

// provoke makes calls with the canaries that fail in as many ways as it can,
// and returns all that a client reads.
func provoke(t *testing.T, url, token, value string, handled int) string {
	t.Helper()
	var answers strings.Builder
	c := identityv1connect.NewOrganizationServiceClient(httpClient(t, token, true), url)
	for range handled {
		_, err := c.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: "slug", Name: value, IdempotencyKey: value})
		answers.WriteString(describe(err))
	}
	_, err := c.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: value + "!", Name: "n", IdempotencyKey: "k"})
	answers.WriteString(describe(err))
	stranger := identityv1connect.NewOrganizationServiceClient(httpClient(t, token+"-wrong", true), url)
	answers.WriteString(describe(get(t.Context(), stranger, value)))
	for _, body := range []string{`{"slug":17,"name":"` + value + `"}`, `{"` + value + `":1}`, `"` + value} {
		response, err := httpClient(t, token, false).Post(url+identityv1connect.OrganizationServiceCreateOrganizationProcedure,
			"application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		answers.Write(text)
	}
	return answers.String()
}

// describe is everything that a client can read of an error.
func describe(err error) string {
	text := fmt.Sprintf("%+v ", err)
	answer := &connect.Error{}
	if errors.As(err, &answer) {
		for _, detail := range answer.Details() {
			if value, err := detail.Value(); err == nil {
				text += protojson.Format(value)
			}
		}
		text += fmt.Sprint(answer.Meta())
	}
	return text
}
