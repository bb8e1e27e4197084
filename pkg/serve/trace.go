package serve

import (
	"fmt"

	"connectrpc.com/connect"
	"connectrpc.com/otelconnect"

	"github.com/meridian-iam/meridian/pkg/telemetry"
)

// newTracer makes the interceptor that opens a span for each call. A caller's
// trace goes on: whether it is recorded is decided by its id, not by the caller.
func newTracer(t *telemetry.Telemetry) (connect.Interceptor, error) {
	interceptor, err := otelconnect.NewInterceptor(
		otelconnect.WithTracerProvider(t.Tracer),
		otelconnect.WithPropagator(t.Propagator),
		otelconnect.WithTrustRemote(),
		otelconnect.WithoutMetrics(),
	)
	if err != nil {
		return nil, fmt.Errorf("trace interceptor: %w", err)
	}
	return interceptor, nil
}
