package telemetry

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

func newLog(c Config) (*slog.Logger, error) {
	level := slog.LevelInfo
	if c.Level != "" {
		if err := level.UnmarshalText([]byte(c.Level)); err != nil {
			return nil, fmt.Errorf("level: want debug, info, warn or error, have %q", c.Level)
		}
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler
	switch c.Format {
	case "", "json":
		handler = slog.NewJSONHandler(c.output(), options)
	case "text":
		handler = slog.NewTextHandler(c.output(), options)
	default:
		return nil, fmt.Errorf("format: want json or text, have %q", c.Format)
	}
	log := slog.New(WithTrace(handler)).With(slog.String("service", c.service()))
	if c.Region != "" {
		log = log.With(slog.String("region", c.Region))
	}
	return log, nil
}

func (c Config) service() string {
	if c.Service == "" {
		return "meridian"
	}
	return c.Service
}

// WithTrace returns a handler that adds trace_id and span_id of the context to
// each record.
func WithTrace(next slog.Handler) slog.Handler { return traceHandler{next} }

type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(
			slog.String("trace_id", span.TraceID().String()),
			slog.String("span_id", span.SpanID().String()),
		)
	}
	return h.Handler.Handle(ctx, r)
}

func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}
