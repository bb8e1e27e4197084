package principal

import (
	"context"
	"net/http"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
)

// OnBehalfOfHeader names the user for whom the owner of an API token calls.
const OnBehalfOfHeader = "Meridian-On-Behalf-Of"

// Delegation says what users and service accounts may do in organizations.
type Delegation interface {
	// Allowed says whether a user or service account, by its id, has a permission on an
	// organization. The context has the caller.
	Allowed(ctx context.Context, subject, organization, permission string) (bool, error)
}

// OnBehalf returns the caller with the user whom the request's header names, if it
// has one.
//
// Errors: INVALID_FIELD for a header that names no user, and for a caller without
// an API token, or with a user already.
func OnBehalf(caller Principal, header http.Header) (Principal, error) {
	values := header[OnBehalfOfHeader]
	switch {
	case len(values) == 0:
		return caller, nil
	case len(values) > 1 || !id.Valid(id.User, values[0]):
		return Principal{}, fault.Field(OnBehalfOfHeader, "user_id", "the header must be the id of one user")
	case caller.Kind != APIToken || caller.Via != "" || caller.ForwardedFrom != "":
		return Principal{}, fault.Field(OnBehalfOfHeader, "api_token", "only the owner of an API token calls on behalf of a user")
	}
	caller.OnBehalfOf = values[0]
	return caller, nil
}

// AuthorizeSubject says whether the subject of p, if it has one, may do what a procedure
// with this access does: the user on whose behalf it calls, or whoever has the access
// token that it calls with. It comes after Authorize, and is asked again wherever a
// service passes p on.
//
// Errors: ACCESS_DENIED, and those of d.
func AuthorizeSubject(ctx context.Context, p Principal, access *commonv1.Access, organization string, d Delegation) error {
	subject := p.Subject()
	switch {
	case subject == "":
		return nil
	case access.GetPermission() == "" || organization == "":
		return denied("nobody may call this on behalf of a user, or with an access token")
	case d == nil:
		return fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "this process cannot decide what users may do")
	}
	allowed, err := d.Allowed(ctx, subject, organization, access.GetPermission())
	if err != nil {
		return err
	}
	if !allowed {
		return denied("the subject may not do this").With("permission", access.GetPermission())
	}
	return nil
}
