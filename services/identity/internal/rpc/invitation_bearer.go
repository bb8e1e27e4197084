package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/invitation"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// LookUpInvitation implements InvitationService.
func (s *Invitations) LookUpInvitation(
	ctx context.Context, req *identityv1.LookUpInvitationRequest,
) (*identityv1.LookUpInvitationResponse, error) {
	row, err := s.bySecret(ctx, s.DB.Pool(), req.GetSecret())
	if err != nil {
		return nil, err
	}
	if !row.Waits(s.Clock()) {
		return nil, invitation.Rejected()
	}
	organization, err := store.FindOrganization(ctx, s.DB.Pool(), row.Organization)
	if err != nil {
		return nil, err
	}
	out := &identityv1.LookUpInvitationResponse{Invitation: invitationMessage(row, s.Clock()), OrganizationName: organization.Name}
	if req.GetUser() != "" {
		out.Addressed, err = s.addressed(ctx, row, req.GetUser())
	}
	return out, err
}

// addressed says whether an invitation is for a user's own address.
func (s *Invitations) addressed(ctx context.Context, row store.Invitation, userID string) (bool, error) {
	found, err := store.FindUser(ctx, s.DB.Pool(), userID)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return false, nil
	}
	if err != nil || !found.EmailVerified || found.Email == "" {
		return false, err
	}
	invited, err := address.Parse(row.Email)
	if err != nil {
		return false, err
	}
	own, err := address.Parse(found.Email)
	return err == nil && own.Canonical == invited.Canonical, err
}

// DeclineInvitation implements InvitationService.
func (s *Invitations) DeclineInvitation(
	ctx context.Context, req *identityv1.DeclineInvitationRequest,
) (*identityv1.DeclineInvitationResponse, error) {
	found, err := s.bySecret(ctx, s.DB.Pool(), req.GetSecret())
	if err != nil {
		return nil, err
	}
	out := &identityv1.DeclineInvitationResponse{}
	_, err = commit.Once(ctx, s.Log, found.Organization, identityv1connect.InvitationServiceDeclineInvitationProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			head, err := lockOwner(ctx, tx, s.Log, found.Organization)
			if err != nil {
				return err
			}
			row, err := s.bySecret(ctx, tx, req.GetSecret())
			if err != nil {
				return err
			}
			if !row.Waits(s.Clock()) {
				return invitation.Rejected()
			}
			events, err := invitation.Revoke{}.Decide(row.State)
			if err != nil {
				return err
			}
			if err := s.finish(ctx, tx, &row, events); err != nil {
				return err
			}
			out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeclineInvitation implements InvitationService, as AcceptInvitation.
func (s *invitationsAtHome) DeclineInvitation(ctx context.Context, req *identityv1.DeclineInvitationRequest) (*identityv1.DeclineInvitationResponse, error) {
	if s.peers == nil {
		return s.Invitations.DeclineInvitation(ctx, req)
	}
	found, err := s.bySecret(ctx, s.DB.Pool(), req.GetSecret())
	if err != nil {
		return nil, err
	}
	return home.Send(ctx, s.peers, found.Organization, req, identityv1connect.InvitationServiceClient.DeclineInvitation, s.Invitations.DeclineInvitation)
}
