package meridian

import (
	"context"
	"net/http"
)

// onBehalfOfHeader names the user for whom a call is made.
const onBehalfOfHeader = "Meridian-On-Behalf-Of"

type behalfKey struct{}

// OnBehalfOf returns a context for calls on behalf of a user, a valid id: what the
// user may not do in the organization, the call may not do either (ACCESS_DENIED),
// and the log has the user as the one who acts. Management of an organization's
// members, groups, service accounts, domains, settings and roles can be called so;
// everything else is refused.
func OnBehalfOf(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, behalfKey{}, user)
}

// behalf puts the user of the context into a request's header.
func behalf(ctx context.Context, header http.Header) {
	if user, ok := ctx.Value(behalfKey{}).(string); ok {
		header.Set(onBehalfOfHeader, user)
	}
}
