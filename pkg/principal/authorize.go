package principal

import (
	"strings"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// Authorize says whether p may call a procedure, as
// /meridian.authz.v1.CheckService/Check, with this access, on this organization (""
// means that the request names none: the platform).
//
// A service that calls for p is not held to p's scopes: p called a procedure of that
// service, and how it is done is the service's to say.
//
// Who calls with an access token has no level. It may call what says which permission
// on the organization is needed, and AuthorizeSubject, which comes after, asks for that.
//
// Errors: ACCESS_DENIED; TOKEN_MISSING for nobody; ORGANIZATION_STATE for a token
// whose organization may not be used; and for another organization's token
// NOT_FOUND, as if the organization did not exist.
func Authorize(p Principal, procedure string, access *commonv1.Access, organization string) error {
	if p.Kind == 0 {
		return fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_MISSING, "a bearer token is needed")
	}
	if err := p.Usable(); err != nil {
		return err
	}
	if access.GetLevel() == commonv1.Level_LEVEL_UNSPECIFIED {
		return denied("the procedure declares no access")
	}
	if p.Via == "" && !p.scoped(procedure) {
		return denied("the token's scopes do not have this procedure")
	}
	switch access.GetScope() {
	case commonv1.Scope_SCOPE_SERVICE:
		if p.Kind != Service && p.Via == "" {
			return denied("only services may call this")
		}
		return nil
	case commonv1.Scope_SCOPE_PLATFORM:
		if p.Organization != "" || p.subjected() {
			return denied("only platform tokens may call this")
		}
	case commonv1.Scope_SCOPE_ORGANIZATION:
		if p.subjected() {
			return reachOwn(p, access, organization)
		}
		if err := reach(p, organization); err != nil {
			return err
		}
	default:
		return denied("the procedure declares no access")
	}
	if p.Level < access.GetLevel() {
		return denied("the token's level is too low")
	}
	return nil
}

// Usable says whether the principal may call anything.
//
// Errors: ORGANIZATION_STATE (metadata "state").
func (p Principal) Usable() error {
	if p.Closed == "" {
		return nil
	}
	return fault.New(fault.Denied, commonv1.Reason_ORGANIZATION_STATE, "the token's organization is "+p.Closed).With("state", p.Closed)
}

// scoped says whether p's scopes have a procedure.
func (p Principal) scoped(procedure string) bool {
	if p.subjected() {
		if len(p.Scopes) == 1 && p.Scopes[0] == AllScopes {
			return true
		}
	} else if len(p.Scopes) == 0 {
		return true
	}
	name := strings.TrimPrefix(procedure, "/")
	for _, scope := range p.Scopes {
		if rest, ok := strings.CutPrefix(name, scope); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

func reach(p Principal, organization string) error {
	switch {
	case p.Organization == "" || p.Organization == organization:
		return nil
	case organization == "":
		return denied("only platform tokens may call this without an organization")
	default:
		return OrganizationNotFound()
	}
}

// reachOwn is reach for an access token, which reaches one organization or none.
func reachOwn(p Principal, access *commonv1.Access, organization string) error {
	switch {
	case organization == "":
		return denied("only platform tokens may call this without an organization")
	case p.Organization != organization:
		return OrganizationNotFound()
	case access.GetPermission() == "":
		return denied("nobody may call this with an access token")
	}
	return nil
}

// OrganizationNotFound is the answer for an organization that is absent and for
// one that is not the caller's: nobody can tell which.
func OrganizationNotFound() *fault.Fault {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such organization")
}

func denied(detail string) *fault.Fault {
	return fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, detail)
}
