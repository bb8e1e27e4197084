package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/invitation"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// ResendInvitation implements InvitationService.
func (s *Invitations) ResendInvitation(
	ctx context.Context, req *identityv1.ResendInvitationRequest,
) (*identityv1.ResendInvitationResponse, error) {
	if err := s.maySend(ctx, req.GetWithoutLetter()); err != nil {
		return nil, err
	}
	out := &identityv1.ResendInvitationResponse{}
	var made madeInvitation
	replayed, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.InvitationServiceResendInvitationProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			made, out.Revision, err = s.resend(ctx, tx, req, caller)
			if err != nil || req.GetWithoutLetter() {
				return err
			}
			return s.admit(ctx, tx, made.row)
		})
	if err != nil {
		return nil, err
	}
	if !replayed {
		out.Secret = s.deliver(ctx, req.GetWithoutLetter(), made)
	}
	out.Invitation, err = s.read(ctx, req.GetOrganization(), req.GetInvitation())
	return out, err
}

func (s *Invitations) resend(
	ctx context.Context, tx pgx.Tx, req *identityv1.ResendInvitationRequest, caller principal.Principal,
) (made madeInvitation, token string, err error) {
	head, row, err := s.find(ctx, tx, req, lockOpenOwner)
	if err != nil {
		return made, "", err
	}
	if err := mayInvite(ctx, tx, caller, row.Organization, row.Role, row.Groups); err != nil {
		return made, "", err
	}
	organization, err := store.FindOrganization(ctx, tx, row.Organization)
	if err != nil {
		return made, "", err
	}
	events, err := invitation.Resend{At: s.Clock(), LastLetter: row.LastLetter}.Decide(row.State)
	if err != nil {
		return made, "", err
	}
	for _, e := range events {
		row.Apply(e)
	}
	made = madeInvitation{organization: organization.Name}
	made.secret = newLetter(&row, s.Clock())
	made.row = row
	if err := store.RenewInvitation(ctx, tx, row); err != nil {
		return made, "", err
	}
	token, err = commit.Append(ctx, tx, s.Log, head, caller, events)
	return made, token, err
}

// RevokeInvitation implements InvitationService.
func (s *Invitations) RevokeInvitation(
	ctx context.Context, req *identityv1.RevokeInvitationRequest,
) (*identityv1.RevokeInvitationResponse, error) {
	out := &identityv1.RevokeInvitationResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.InvitationServiceRevokeInvitationProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			head, row, err := s.find(ctx, tx, req, lockOwner)
			if err != nil {
				return err
			}
			events, err := invitation.Revoke{}.Decide(row.State)
			if err != nil {
				return err
			}
			if err := s.finish(ctx, tx, &row, events); err != nil {
				return err
			}
			out.Invitation = invitationMessage(row, s.Clock())
			out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// finish writes the rows of events that end an invitation, if there are any.
func (s *Invitations) finish(ctx context.Context, tx pgx.Tx, row *store.Invitation, events []proto.Message) error {
	if len(events) == 0 {
		return nil
	}
	if err := s.finishUncounted(ctx, tx, row, events); err != nil {
		return err
	}
	return count(ctx, tx, row.Organization, row.HomeRegion, store.Invitations, -1)
}

// finishUncounted is finish without one invitation less in the organization's count.
func (s *Invitations) finishUncounted(ctx context.Context, tx pgx.Tx, row *store.Invitation, events []proto.Message) error {
	for _, e := range events {
		row.Apply(e)
	}
	row.Email, row.Blind, row.Hash = "", nil, nil
	return s.end(ctx, tx, row.State)
}

// ofInvitation is a request about one invitation.
type ofInvitation interface {
	GetOrganization() string
	GetInvitation() string
}

// find locks the organization's log and reads an invitation of it.
//
// Errors: NOT_FOUND, those of lock.
func (s *Invitations) find(
	ctx context.Context, tx pgx.Tx, req ofInvitation, lock locking,
) (eventlog.Head, store.Invitation, error) {
	head, err := lock(ctx, tx, s.Log, req.GetOrganization())
	if err != nil {
		return head, store.Invitation{}, err
	}
	row, err := store.FindInvitationOf(ctx, tx, req.GetOrganization(), req.GetInvitation())
	return head, row, err
}

// ListInvitations implements InvitationService.
func (s *Invitations) ListInvitations(
	ctx context.Context, req *identityv1.ListInvitationsRequest,
) (*identityv1.ListInvitationsResponse, error) {
	query := "invitations of " + req.GetOrganization() + " " + req.GetState().String()
	before, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	if _, err := store.FindOrganization(ctx, s.DB.Pool(), req.GetOrganization()); err != nil {
		return nil, err
	}
	at := s.Clock()
	var filter store.InvitationFilter
	switch req.GetState() {
	case identityv1.InvitationState_INVITATION_STATE_UNSPECIFIED:
	case identityv1.InvitationState_INVITATION_STATE_ACCEPTED:
		filter.Status = invitation.Accepted
	case identityv1.InvitationState_INVITATION_STATE_REVOKED:
		filter.Status = invitation.Revoked
	case identityv1.InvitationState_INVITATION_STATE_PENDING, identityv1.InvitationState_INVITATION_STATE_EXPIRED:
		filter.Status, filter.At = invitation.Pending, at
		filter.Expired = req.GetState() == identityv1.InvitationState_INVITATION_STATE_EXPIRED
	}
	size := page.Size(req.GetPageSize(), standardPage)
	rows, err := store.ListInvitations(ctx, s.DB.Pool(), req.GetOrganization(), before, filter, size)
	if err != nil {
		return nil, err
	}
	out := &identityv1.ListInvitationsResponse{}
	for _, row := range rows {
		out.Invitations = append(out.Invitations, invitationMessage(row, at))
	}
	if len(rows) == size {
		out.NextCursor = page.Cursor(query, rows[size-1].ID)
	}
	return out, nil
}
