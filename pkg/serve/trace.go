package serve

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"connectrpc.com/otelconnect"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/meridian-iam/meridian/pkg/telemetry"
)

// tracer opens a span for each call. A caller's trace goes on: whether it is
// recorded is decided by its id, not by the caller.
//
// Streams are otelconnect's. Unary calls are not: it describes each call in
// full, and most spans are not recorded.
type tracer struct {
	handlerOnly
	spans      trace.Tracer
	propagator propagation.TextMapPropagator
	streams    connect.Interceptor
}

func newTracer(t *telemetry.Telemetry) (*tracer, error) {
	streams, err := otelconnect.NewInterceptor(
		otelconnect.WithTracerProvider(t.Tracer),
		otelconnect.WithPropagator(t.Propagator),
		otelconnect.WithTrustRemote(),
		otelconnect.WithoutMetrics(),
	)
	if err != nil {
		return nil, fmt.Errorf("trace interceptor: %w", err)
	}
	const name = "github.com/meridian-iam/meridian/pkg/serve"
	return &tracer{spans: t.Tracer.Tracer(name), propagator: t.Propagator, streams: streams}, nil
}

// WrapUnary implements connect.Interceptor.
func (t *tracer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		ctx, span := t.begin(ctx, request.Spec().Procedure, request.Header())
		defer span.End()
		response, err := next(ctx, request)
		describe(span, err)
		return response, err
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (t *tracer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return t.streams.WrapStreamingHandler(next)
}

var serverSpan = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}

// begin opens the span of a procedure, in the trace of the caller.
func (t *tracer) begin(ctx context.Context, procedure string, header http.Header) (context.Context, trace.Span) {
	ctx = t.propagator.Extract(ctx, propagation.HeaderCarrier(header))
	name := strings.TrimPrefix(procedure, "/")
	ctx, span := t.spans.Start(ctx, name, serverSpan...)
	if span.IsRecording() {
		service, method, _ := strings.Cut(name, "/")
		span.SetAttributes(attribute.String("rpc.system", "connect_rpc"),
			attribute.String("rpc.service", service), attribute.String("rpc.method", method))
	}
	return ctx, span
}

// describe says how a call ended. Texts of errors stay out of traces.
func describe(span trace.Span, err error) {
	if err == nil || !span.IsRecording() {
		return
	}
	code := connect.CodeOf(err).String()
	span.SetAttributes(attribute.String("rpc.connect_rpc.error_code", code))
	span.SetStatus(codes.Error, code)
}
