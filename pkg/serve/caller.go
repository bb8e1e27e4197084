package serve

import (
	"context"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
)

// authorizer asks whether the caller, whom the gate knows, may make this call on
// the organization that the request names.
type authorizer struct {
	handlerOnly
	methods *methods
	gate    *gate
}

// WrapUnary implements connect.Interceptor.
func (a *authorizer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		of := a.methods.of(request.Spec())
		caller, _ := principal.From(ctx)
		organization := of.organizationOf(request.Any())
		if err := principal.Authorize(caller, of.procedure, of.access, organization); err != nil {
			return nil, err
		}
		return next(ctx, request)
	}
}

// WrapStreamingHandler implements connect.Interceptor. The first message
// decides; later ones may not name another organization.
func (a *authorizer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, stream connect.StreamingHandlerConn) error {
		caller, _ := principal.From(ctx)
		of := a.methods.of(stream.Spec())
		guard := &streamGuard{of: of, caller: caller, again: func() error {
			again, err := a.gate.authenticate(ctx, stream.RequestHeader(), of.service)
			if err != nil {
				return err
			}
			return again.Usable()
		}}
		return next(ctx, &received{stream, guard.check})
	}
}

// streamGuard is the state of one stream.
type streamGuard struct {
	of     *method
	caller principal.Principal
	// again authenticates the caller once more: a stream outlives tokens.
	again        func() error
	started      bool
	organization string
}

func (g *streamGuard) check(message any) error {
	named := g.of.organizationOf(message)
	if g.started {
		// A service's own token lives for a minute, and its call for longer.
		err := g.again()
		if f, ok := fault.As(err); ok && g.caller.Kind != principal.Service && (f.Kind == fault.Unauthenticated || f.Kind == fault.Denied) {
			return err
		}
		if named != "" && named != g.organization {
			return fault.Field("organization", "same", "must be that of the stream's first message, or empty")
		}
		return nil
	}
	if g.of.clientStream && g.of.organization != nil && named == "" {
		return fault.Field("organization", "required", "is required in a stream's first message")
	}
	if err := principal.Authorize(g.caller, g.of.procedure, g.of.access, named); err != nil {
		return err
	}
	g.started, g.organization = true, named
	return nil
}
