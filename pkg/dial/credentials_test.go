package dial_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/trace"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"

	"github.com/meridian-iam/meridian/pkg/dial"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/telemetry"
)

// seen is who and which trace a handler saw.
type seen struct {
	identityv1connect.UnimplementedOrganizationServiceHandler
	caller principal.Principal
	trace  trace.TraceID
}

func (s *seen) GetOrganization(ctx context.Context, _ *identityv1.GetOrganizationRequest) (*identityv1.GetOrganizationResponse, error) {
	s.caller, _ = principal.From(ctx)
	s.trace = trace.SpanContextFromContext(ctx).TraceID()
	return &identityv1.GetOrganizationResponse{}, nil
}

func TestCallerAndTraceArePassedOn(t *testing.T) {
	t.Parallel()
	key, err := principal.GenerateServiceKey()
	if err != nil {
		t.Fatal(err)
	}
	handler := new(seen)
	s := serve.New(serve.Options{ServiceKey: key})
	s.Mount(identityv1connect.NewOrganizationServiceHandler(handler, s.HandlerOptions()...))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	observed := telemetry.Discard()
	c := dial.New(dial.Options{HTTPClient: s.Client(), Service: "authz", Key: key, Telemetry: observed})
	orgs := identityv1connect.NewOrganizationServiceClient(c.HTTP, c.BaseURL, c.Options...)
	caller := principal.Principal{Kind: principal.APIToken, ID: "tok_1", Organization: acme, Level: commonv1.Level_LEVEL_READ}
	passed := caller
	passed.Via = "authz"
	other := caller
	other.Organization = "org_00000000000000000000000002"
	own := principal.Principal{Kind: principal.Service, ID: "authz", Level: commonv1.Level_LEVEL_ADMIN}
	for name, c := range map[string]struct {
		ctx  context.Context
		want principal.Principal
		ok   bool
	}{
		"own account":               {t.Context(), own, true},
		"for a caller":              {principal.With(t.Context(), caller), passed, true},
		"for a caller out of reach": {principal.With(t.Context(), other), principal.Principal{}, false},
	} {
		handler.caller = principal.Principal{}
		traced, span := observed.Tracer.Tracer("test").Start(c.ctx, "outer")
		_, err := orgs.GetOrganization(traced, &identityv1.GetOrganizationRequest{Organization: acme})
		span.End()
		if c.ok != (err == nil) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, handler.caller, cmpopts.IgnoreFields(principal.Principal{}, "Expires")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if c.ok && handler.trace != span.SpanContext().TraceID() {
			t.Errorf("%s: trace %s, want %s", name, handler.trace, span.SpanContext().TraceID())
		}
	}
}
