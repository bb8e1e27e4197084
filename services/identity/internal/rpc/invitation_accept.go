package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/invitation"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// AcceptInvitation implements InvitationService.
func (s *Invitations) AcceptInvitation(
	ctx context.Context, req *identityv1.AcceptInvitationRequest,
) (*identityv1.AcceptInvitationResponse, error) {
	found, err := s.bySecret(ctx, s.DB.Pool(), req.GetSecret())
	if err != nil {
		return nil, err
	}
	out := &identityv1.AcceptInvitationResponse{}
	_, err = commit.Once(ctx, s.Log, found.Organization, identityv1connect.InvitationServiceAcceptInvitationProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			return s.accept(ctx, tx, req, found.Organization, caller, out)
		})
	if err != nil {
		return nil, err
	}
	member, err := s.Memberships.GetMember(ctx, &identityv1.GetMemberRequest{
		Organization: out.GetMembership().GetOrganization(), User: out.GetMembership().GetUser(),
	})
	if err != nil {
		return nil, err
	}
	out.Membership = member.GetMembership()
	return out, nil
}

// bySecret finds the invitation that a secret opens. What is over has none.
//
// Errors: INVITATION_REJECTED.
func (s *Invitations) bySecret(ctx context.Context, q sqldb.Querier, text string) (store.Invitation, error) {
	name, hash, err := invitation.ParseSecret(secret.NewString(text))
	if err != nil {
		return store.Invitation{}, err
	}
	row, err := store.FindInvitation(ctx, q, name)
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return row, invitation.Rejected()
	case err != nil:
		return row, err
	// One that was accepted may be a repetition, which the idempotency key tells.
	case row.Hash != nil && !hash.Equal(row.Hash):
		return row, invitation.Rejected()
	}
	return row, nil
}

func (s *Invitations) accept(
	ctx context.Context, tx pgx.Tx, req *identityv1.AcceptInvitationRequest, organization string, caller principal.Principal,
	out *identityv1.AcceptInvitationResponse,
) error {
	logs := []string{organization}
	if req.GetUser() != "" {
		logs = append(logs, req.GetUser())
	}
	heads, err := s.Log.LockAll(ctx, tx, logs...)
	switch f, _ := fault.As(err); {
	case fault.Is(err, commonv1.Reason_NOT_FOUND) && f.Meta["log"] != organization:
		return user.NotFound()
	case err != nil:
		return err
	}
	row, err := s.bySecret(ctx, tx, req.GetSecret())
	if err != nil {
		return err
	}
	if !row.Waits(s.Clock()) {
		return invitation.Rejected()
	}
	person, born, err := s.person(ctx, tx, req, row, caller)
	if err != nil {
		return err
	}
	events, err := invitation.Accept{User: person, At: s.Clock()}.Decide(row.State)
	if err != nil {
		return err
	}
	joined, err := s.join(ctx, tx, heads[0], row, person)
	if err != nil {
		return err
	}
	if err := s.finish(ctx, tx, &row, events); err != nil {
		return err
	}
	out.Membership = &identityv1.Membership{Organization: organization, User: person}
	out.Revision, err = commit.Append(ctx, tx, s.Log, heads[0], caller, append(joined, events...))
	if err != nil || born == nil {
		return err
	}
	return s.name(out, *born)
}

// name adds the log of a user who was made to the revision of the answer.
func (s *Invitations) name(out *identityv1.AcceptInvitationResponse, born revision.Revision) error {
	revisions, err := revision.Parse(out.GetRevision())
	if err != nil {
		return err
	}
	out.Revision, err = revision.Token(append(revisions, born)...)
	return err
}

// person returns who accepts: a user there is, or one who is made, and then the
// revision of the user's log.
//
// Errors: NOT_FOUND, USER_SUSPENDED; ALREADY_EXISTS (field "email").
func (s *Invitations) person(
	ctx context.Context, tx pgx.Tx, req *identityv1.AcceptInvitationRequest, row store.Invitation, caller principal.Principal,
) (name string, born *revision.Revision, err error) {
	if req.GetUser() != "" {
		found, err := store.FindUser(ctx, tx, req.GetUser())
		if err == nil && found.Status == user.Suspended {
			err = fault.New(fault.Precondition, commonv1.Reason_USER_SUSPENDED, "the user is suspended")
		}
		return req.GetUser(), nil, err
	}
	organization, err := store.FindOrganization(ctx, tx, row.Organization)
	if err != nil {
		return "", nil, err
	}
	email, err := address.Parse(row.Email)
	if err != nil {
		return "", nil, err
	}
	called, err := nameOf(req.GetNewUser().GetName())
	if err != nil {
		return "", nil, err
	}
	made, rev, err := s.Users.create(ctx, tx, user.Create{
		ID: id.New(id.User), Realm: realmOf(organization), HomeRegion: organization.HomeRegion, Regions: s.Users.Regions,
		Email: email, EmailVerified: true, Name: called, Locale: req.GetNewUser().GetLocale(), Source: "invitation",
	}, caller)
	return made.ID, &rev, err
}

// join makes the user a member, and puts the user into those of the invitation's
// groups that there still are. It returns the events for the organization's log.
func (s *Invitations) join(ctx context.Context, tx pgx.Tx, head eventlog.Head, row store.Invitation, person string) ([]proto.Message, error) {
	_, _, events, err := s.Memberships.join(ctx, tx, membership.Add{
		Organization: row.Organization, User: person, Role: row.Role,
		Source: eventv1.MembershipSource_MEMBERSHIP_SOURCE_INVITATION, SourceRef: row.ID,
	})
	if err != nil {
		return nil, err
	}
	for _, name := range row.Groups {
		into, err := store.FindGroup(ctx, tx, row.Organization, name)
		switch {
		case fault.Is(err, commonv1.Reason_NOT_FOUND):
			continue
		case err != nil:
			return nil, err
		}
		more, _, _, err := changeMembers(ctx, tx, head, into, group.ChangeMembers{Add: []string{person}})
		if err != nil {
			return nil, err
		}
		events = append(events, more...)
	}
	return events, nil
}
