package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const defaultTraceRatio = 0.01

// unsent makes spans with ids that nobody records.
func unsent() *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
}

func newTracer(c Config) (trace.TracerProvider, func(context.Context) error, error) {
	ratio := defaultTraceRatio
	if c.TraceRatio != nil {
		ratio = *c.TraceRatio
	}
	if !(ratio >= 0 && ratio <= 1) {
		return nil, nil, errors.New("trace_ratio: want 0 to 1")
	}
	if c.TraceEndpoint == "" {
		provider := unsent()
		return provider, provider.Shutdown, nil
	}
	endpoint, err := url.Parse(c.TraceEndpoint)
	if err != nil || endpoint.Host == "" || (endpoint.Scheme != "http" && endpoint.Scheme != "https") {
		return nil, nil, errors.New("trace_endpoint: want an http or https URL")
	}
	options := []otlptracehttp.Option{otlptracehttp.WithEndpoint(endpoint.Host)}
	if endpoint.Scheme == "http" {
		options = append(options, otlptracehttp.WithInsecure())
	}
	if endpoint.Path != "" && endpoint.Path != "/" {
		options = append(options, otlptracehttp.WithURLPath(endpoint.Path))
	}
	exporter, err := otlptracehttp.New(context.Background(), options...)
	if err != nil {
		return nil, nil, fmt.Errorf("trace_endpoint: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.TraceIDRatioBased(ratio)),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", c.service()),
			attribute.String("cloud.region", c.Region),
		)),
	)
	return provider, provider.Shutdown, nil
}
