package identity

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
)

// RemoteVerifier verifies API tokens by asking the identity service, for
// processes that do not host it.
type RemoteVerifier struct {
	Client identityv1connect.ApiTokenServiceClient
}

// Verify implements principal.Verifier.
func (v RemoteVerifier) Verify(ctx context.Context, bearer secret.String) (principal.Principal, error) {
	answer, err := v.Client.VerifyApiToken(ctx, &identityv1.VerifyApiTokenRequest{Secret: bearer.Reveal()})
	if err != nil {
		return principal.Principal{}, err
	}
	t := answer.GetToken()
	p := principal.Principal{
		Kind: principal.APIToken, ID: t.GetId(), Organization: t.GetOrganization(), Level: t.GetLevel(),
		Scopes: t.GetScopes(), ServiceAccount: t.GetServiceAccount(),
	}
	if t.GetExpiresAt() != nil {
		p.Expires = t.GetExpiresAt().AsTime()
	}
	switch state := answer.GetOrganizationState(); state {
	case identityv1.OrganizationState_ORGANIZATION_STATE_UNSPECIFIED, identityv1.OrganizationState_ORGANIZATION_STATE_ACTIVE:
	default:
		p.Closed = organization.Status(state).String() // numbered alike
	}
	return p, nil
}
