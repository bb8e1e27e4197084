package principal

import (
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// Authorize says whether p may call a procedure with this access, on this
// organization ("" means that the request names none: the platform).
//
// Errors: ACCESS_DENIED; TOKEN_MISSING for nobody; ORGANIZATION_STATE for a token
// whose organization may not be used; and for another organization's token
// NOT_FOUND, as if the organization did not exist.
func Authorize(p Principal, access *commonv1.Access, organization string) error {
	if p.Kind == 0 {
		return fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_MISSING, "a bearer token is needed")
	}
	if err := p.Usable(); err != nil {
		return err
	}
	if access.GetLevel() == commonv1.Level_LEVEL_UNSPECIFIED {
		return denied("the procedure declares no access")
	}
	switch access.GetScope() {
	case commonv1.Scope_SCOPE_SERVICE:
		if p.Kind != Service && p.Via == "" {
			return denied("only services may call this")
		}
		return nil
	case commonv1.Scope_SCOPE_PLATFORM:
		if p.Organization != "" {
			return denied("only platform tokens may call this")
		}
	case commonv1.Scope_SCOPE_ORGANIZATION:
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

// OrganizationNotFound is the answer for an organization that is absent and for
// one that is not the caller's: nobody can tell which.
func OrganizationNotFound() *fault.Fault {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such organization")
}

func denied(detail string) *fault.Fault {
	return fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, detail)
}
