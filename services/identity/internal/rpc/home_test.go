package rpc_test

import (
	"testing"

	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/home/hometest"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

// Whoever adds a write sends it home.
func TestWritesAreSentHome(t *testing.T) {
	t.Parallel()
	hometest.Complete(t, identityv1connect.OrganizationServiceName, func(ways *home.Router) any {
		return rpc.OrganizationsAtHome(&rpc.Organizations{}, ways)
	})
	hometest.Complete(t, identityv1connect.ApiTokenServiceName, func(ways *home.Router) any {
		return rpc.APITokensAtHome(&rpc.APITokens{}, ways)
	}, "VerifyApiToken") // it only reads
	hometest.Complete(t, identityv1connect.UserServiceName, func(ways *home.Router) any {
		return rpc.UsersAtHome(&rpc.Users{}, ways)
	})
	hometest.Complete(t, identityv1connect.MembershipServiceName, func(ways *home.Router) any {
		return rpc.MembershipsAtHome(&rpc.Memberships{}, ways)
	})
	hometest.Complete(t, identityv1connect.InvitationServiceName, func(ways *home.Router) any {
		return rpc.InvitationsAtHome(&rpc.Invitations{}, ways)
	}, "AcceptInvitation", "DeclineInvitation") // its secret says where, see TestInvitationsAbroad
	hometest.Complete(t, identityv1connect.CredentialServiceName, func(ways *home.Router) any {
		return rpc.CredentialsAtHome(&rpc.Credentials{}, ways)
	})
	// Steps are taken where they are asked for: the time to another region would tell
	// that there is a user who is at home there.
	hometest.Complete(t, identityv1connect.AuthenticationServiceName, func(ways *home.Router) any {
		return rpc.AuthenticationsAtHome(&rpc.Authentications{}, ways)
	}, "StartAuthentication", "RequestChallenge", "ContinueAuthentication", "FinishAuthentication")
	hometest.Complete(t, identityv1connect.MigrationServiceName, func(ways *home.Router) any {
		return rpc.MigrationAtHome(&rpc.Migration{}, ways)
	})
}
