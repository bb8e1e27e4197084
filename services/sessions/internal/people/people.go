// Package people asks identity who users are and what they belong to, as of now.
package people

import (
	"context"
	"fmt"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/interaction"
)

const (
	// pageSize is how many memberships one call asks for; maxPages bounds the calls.
	pageSize = 200
	maxPages = 10
)

// People asks identity.
type People struct {
	Users         identityv1connect.UserServiceClient
	Members       identityv1connect.MembershipServiceClient
	Organizations identityv1connect.OrganizationServiceClient
	Accounts      identityv1connect.ServiceAccountServiceClient
	Credentials   identityv1connect.CredentialServiceClient
	Domains       identityv1connect.DomainServiceClient
	Invitations   identityv1connect.InvitationServiceClient
}

// User returns a user who may sign in.
//
// Errors: GRANT_REJECTED for one who may not, or whom there is not; unavailable.
func (p *People) User(ctx context.Context, user string) (*identityv1.User, error) {
	answer, err := p.Users.GetUser(ctx, &identityv1.GetUserRequest{User: user})
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND), fault.Is(err, commonv1.Reason_USER_ERASED):
		return nil, rejected("the user is gone")
	case err != nil:
		return nil, fmt.Errorf("user: %w", err)
	case answer.GetUser().GetState() != identityv1.UserState_USER_STATE_ACTIVE:
		return nil, rejected("the user may not sign in")
	}
	return answer.GetUser(), nil
}

// Standing says whether a user may act, and in an organization, if one is named.
//
// Errors: GRANT_REJECTED; unavailable.
func (p *People) Standing(ctx context.Context, user, organization string) error {
	if _, err := p.User(ctx, user); err != nil || organization == "" {
		return err
	}
	if _, err := p.Organization(ctx, organization); err != nil {
		return err
	}
	answer, err := p.Members.GetMember(ctx, &identityv1.GetMemberRequest{Organization: organization, User: user})
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return rejected("the user is no member of the organization")
	case err != nil:
		return fmt.Errorf("member: %w", err)
	case answer.GetMembership().GetState() != identityv1.MembershipState_MEMBERSHIP_STATE_ACTIVE:
		return rejected("the membership is suspended")
	}
	return nil
}

// Organization returns an organization that can be used.
//
// Errors: GRANT_REJECTED; unavailable.
func (p *People) Organization(ctx context.Context, organization string) (*identityv1.Organization, error) {
	answer, err := p.Organizations.GetOrganization(ctx, &identityv1.GetOrganizationRequest{Organization: organization})
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return nil, rejected("there is no such organization")
	case err != nil:
		return nil, fmt.Errorf("organization: %w", err)
	case answer.GetOrganization().GetState() != identityv1.OrganizationState_ORGANIZATION_STATE_ACTIVE:
		return nil, rejected("the organization cannot be used")
	}
	return answer.GetOrganization(), nil
}

// Memberships are the organizations that a user is an active member of, 2,000 at most.
func (p *People) Memberships(ctx context.Context, user string) ([]interaction.Membership, error) {
	var out []interaction.Membership
	cursor := ""
	for range maxPages {
		answer, err := p.Users.ListUserMemberships(ctx, &identityv1.ListUserMembershipsRequest{User: user, PageSize: pageSize, Cursor: cursor})
		if fault.Is(err, commonv1.Reason_NOT_FOUND) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("memberships: %w", err)
		}
		for _, m := range answer.GetMemberships() {
			if m.GetState() == "active" {
				out = append(out, interaction.Membership{ID: m.GetOrganization(), Slug: m.GetSlug(), Name: m.GetName()})
			}
		}
		if cursor = answer.GetNextCursor(); cursor == "" {
			break
		}
	}
	return out, nil
}

// Account says whether a service account may act.
//
// Errors: GRANT_REJECTED; unavailable.
func (p *People) Account(ctx context.Context, organization, account string) error {
	if _, err := p.Organization(ctx, organization); err != nil {
		return err
	}
	answer, err := p.Accounts.GetServiceAccount(ctx, &identityv1.GetServiceAccountRequest{Organization: organization, ServiceAccount: account})
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return rejected("there is no such service account")
	case err != nil:
		return fmt.Errorf("service account: %w", err)
	case answer.GetServiceAccount().GetDisabled():
		return rejected("the service account is disabled")
	}
	return nil
}

func rejected(detail string) error {
	return fault.New(fault.Unauthenticated, commonv1.Reason_GRANT_REJECTED, detail)
}
