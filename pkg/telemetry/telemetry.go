// Package telemetry makes the logger, the metrics registry and the tracer of a
// process. It sets no global: what it makes is passed on.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Config says what to write, and where.
type Config struct {
	// Service is the name in traces and logs, such as "authz"; absent: meridian.
	Service string `yaml:"service"`
	// Region is added to every log line and trace when it is not empty.
	Region string `yaml:"region"`
	// Format of the log: "json" or "text"; absent: json.
	Format string `yaml:"format"`
	// Level of the log: debug, info, warn or error; absent: info.
	Level string `yaml:"level"`
	// TraceEndpoint is the URL of an OTLP/HTTP receiver, such as
	// http://collector:4318; absent: trace ids exist and nothing is sent.
	TraceEndpoint string `yaml:"trace_endpoint"`
	// TraceRatio is the share of traces that is sent, 0 to 1; absent: 0.01.
	// It is decided by trace id, so all services keep the same ones.
	TraceRatio *float64 `yaml:"trace_ratio"`
	// Output is where the log goes; nil means standard error.
	Output io.Writer `yaml:"-"`
}

// Telemetry is what a process observes itself with.
type Telemetry struct {
	// Log adds trace_id and span_id of the context to each line.
	Log *slog.Logger
	// Registry has the Go and process collectors.
	Registry *prometheus.Registry
	// Tracer makes spans.
	Tracer trace.TracerProvider
	// Propagator is W3C trace context. Baggage is not passed on.
	Propagator propagation.TextMapPropagator
}

// New starts telemetry. The function that it returns sends what is left and
// stops; its context bounds how long that takes.
//
// Errors name the setting.
func New(c Config) (*Telemetry, func(context.Context) error, error) {
	log, err := newLog(c)
	if err != nil {
		return nil, nil, fmt.Errorf("telemetry: %w", err)
	}
	tracer, shutdown, err := newTracer(c)
	if err != nil {
		return nil, nil, fmt.Errorf("telemetry: %w", err)
	}
	return &Telemetry{Log: log, Registry: newRegistry(), Tracer: tracer, Propagator: propagation.TraceContext{}}, shutdown, nil
}

// Discard is telemetry that keeps nothing, except metrics in its own registry.
// Trace ids exist.
func Discard() *Telemetry {
	return &Telemetry{
		Log:        slog.New(slog.DiscardHandler),
		Registry:   prometheus.NewRegistry(),
		Tracer:     unsent(),
		Propagator: propagation.TraceContext{},
	}
}

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}

func (c Config) output() io.Writer {
	if c.Output == nil {
		return os.Stderr
	}
	return c.Output
}
