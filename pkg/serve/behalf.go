package serve

import (
	"context"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/principal"
)

// delegate asks whether the caller's subject may make this call: the user on whose behalf
// it calls, or who has the access token that it calls with. That costs checks elsewhere, so it comes after all that refuses a
// call for less.
type delegate struct {
	handlerOnly
	methods    *methods
	delegation principal.Delegation
}

// WrapUnary implements connect.Interceptor.
func (d *delegate) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if err := d.check(ctx, d.methods.of(request.Spec()), request.Any()); err != nil {
			return nil, err
		}
		return next(ctx, request)
	}
}

// WrapStreamingHandler implements connect.Interceptor. The first message decides, as
// the authorizer lets no later one name another organization.
func (d *delegate) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, stream connect.StreamingHandlerConn) error {
		allowed := false
		return next(ctx, &received{stream, func(message any) error {
			if allowed {
				return nil
			}
			err := d.check(ctx, d.methods.of(stream.Spec()), message)
			allowed = err == nil
			return err
		}})
	}
}

func (d *delegate) check(ctx context.Context, of *method, message any) error {
	caller, _ := principal.From(ctx)
	return principal.AuthorizeSubject(ctx, caller, of.access, of.organizationOf(message), d.delegation)
}
