package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/telemetry"
)

func TestLogHasTraceIDs(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	observed, shutdown, err := telemetry.New(telemetry.Config{Service: "authz", Region: "eu", Output: &out})
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := observed.Tracer.Tracer("test").Start(t.Context(), "work")
	observed.Log.With(slog.Int("n", 1)).InfoContext(ctx, "hello", slog.Any("token", secret.NewString("canary")))
	observed.Log.DebugContext(ctx, "not at this level")
	span.End()
	if err := shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("want one line of JSON: %v in %s", err, out.String())
	}
	for key, want := range map[string]any{
		"msg": "hello", "service": "authz", "region": "eu", "n": 1.0, "token": "REDACTED",
		"trace_id": span.SpanContext().TraceID().String(), "span_id": span.SpanContext().SpanID().String(),
	} {
		if line[key] != want {
			t.Errorf("%s: %v, want %v", key, line[key], want)
		}
	}
}

func TestTracesAreSentWhenConfigured(t *testing.T) {
	t.Parallel()
	var received atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			received.Add(1)
		}
	}))
	t.Cleanup(collector.Close)
	for ratio, want := range map[float64]int64{0: 0, 1: 1} {
		received.Store(0)
		observed, shutdown, err := telemetry.New(telemetry.Config{TraceEndpoint: collector.URL, TraceRatio: &ratio, Output: new(bytes.Buffer)})
		if err != nil {
			t.Fatal(err)
		}
		_, span := observed.Tracer.Tracer("test").Start(t.Context(), "work")
		if !span.SpanContext().IsValid() {
			t.Errorf("ratio %v: no trace id", ratio)
		}
		span.End()
		if err := shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := received.Load(); got != want {
			t.Errorf("ratio %v: %d deliveries, want %d", ratio, got, want)
		}
	}
}

func TestNoGlobals(t *testing.T) {
	t.Parallel()
	before := slog.Default()
	if _, _, err := telemetry.New(telemetry.Config{Output: new(bytes.Buffer)}); err != nil {
		t.Fatal(err)
	}
	_, span := otel.Tracer("test").Start(context.Background(), "work")
	if trace.SpanContextFromContext(context.Background()).IsValid() || span.SpanContext().IsValid() || slog.Default() != before {
		t.Error("a global was set")
	}
}

func TestBadConfig(t *testing.T) {
	t.Parallel()
	two := 2.0
	for name, c := range map[string]telemetry.Config{
		"level":          {Level: "loud"},
		"format":         {Format: "xml"},
		"trace_ratio":    {TraceRatio: &two},
		"trace_endpoint": {TraceEndpoint: "collector:4318"},
	} {
		if _, _, err := telemetry.New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRegistries(t *testing.T) {
	t.Parallel()
	observed, _, err := telemetry.New(telemetry.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(observed.Registry, "go_goroutines"); err != nil || n != 1 {
		t.Errorf("go_goroutines: %d, %v", n, err)
	}
	first, second := telemetry.Discard(), telemetry.Discard()
	if first.Registry == second.Registry {
		t.Error("registries are shared")
	}
}
