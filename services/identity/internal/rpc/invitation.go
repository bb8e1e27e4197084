package rpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/bearer"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/invitation"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/throttle"
	"github.com/meridian-iam/meridian/services/identity/internal/letters"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Invitations serves InvitationService.
//
// An address is somebody's who may not be a user yet: in the log it is sealed under
// the key of an id that is made for the invitation, and gone when the invitation is.
type Invitations struct {
	identityv1connect.UnimplementedInvitationServiceHandler

	DB    *sqldb.DB
	Log   *eventlog.Store
	Clock func() time.Time
	Users *Users
	// Memberships makes those who accept members.
	Memberships *Memberships
	// Post sends the letters; nil: only callers who send their own can invite.
	Post *Post
}

var _ identityv1connect.InvitationServiceHandler = (*Invitations)(nil)

// CreateInvitation implements InvitationService.
func (s *Invitations) CreateInvitation(
	ctx context.Context, req *identityv1.CreateInvitationRequest,
) (*identityv1.CreateInvitationResponse, error) {
	email, err := address.Parse(req.GetEmail())
	if err != nil {
		return nil, err
	}
	if err := s.maySend(ctx, req.GetWithoutLetter()); err != nil {
		return nil, err
	}
	command := invitation.Create{
		ID: id.New(id.Invitation), Organization: req.GetOrganization(), Invitee: id.New(id.User), Email: email.Text,
		Role: eventv1.MembershipRole(req.GetRole()), Groups: req.GetGroups(),
		Lifetime: time.Duration(req.GetLifetimeSeconds()) * time.Second, At: s.Clock(),
	}
	out := &identityv1.CreateInvitationResponse{}
	var made madeInvitation
	replayed, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.InvitationServiceCreateInvitationProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			made, out.Revision, err = s.create(ctx, tx, command, email, req.GetLocale(), caller)
			out.Invitation = invitationMessage(made.row, s.Clock())
			out.Invitation.Email = "" // an outcome that is kept holds no address
			if err != nil || req.GetWithoutLetter() {
				return err
			}
			return s.admit(ctx, tx, made.row)
		})
	if err != nil {
		return nil, err
	}
	if replayed {
		out.Invitation, err = s.read(ctx, req.GetOrganization(), out.GetInvitation().GetId())
		return out, err
	}
	out.Invitation.Email = made.row.Email
	out.Secret = s.deliver(ctx, req.GetWithoutLetter(), made)
	return out, nil
}

// maySend says whether the invitation can be delivered as the caller wants it.
//
// Errors: ACCESS_DENIED for others than the platform who want to deliver it by
// themselves; SERVICE_UNAVAILABLE.
func (s *Invitations) maySend(ctx context.Context, withoutLetter bool) error {
	if !withoutLetter {
		return s.Post.able()
	}
	caller, err := principal.Require(ctx)
	if err != nil {
		return err
	}
	if caller.Organization != "" || caller.Subject() != "" {
		return fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, "only the platform delivers invitations by itself").With("field", "without_letter")
	}
	return nil
}

// mayInvite says whether a caller may invite somebody to a role and into groups: who
// manages members need not manage groups.
//
// Errors: ACCESS_DENIED.
func mayInvite(
	ctx context.Context, q sqldb.Querier, caller principal.Principal, organization string, role eventv1.MembershipRole, groups []string,
) error {
	if role != membership.Admin && len(groups) == 0 {
		return nil
	}
	return mayAdminister(ctx, q, caller, organization)
}

// admit counts a letter of an organization to an address.
//
// Errors: RATE_LIMITED, SERVICE_UNAVAILABLE. The transaction must be rolled back then.
func (s *Invitations) admit(ctx context.Context, tx pgx.Tx, row store.Invitation) error {
	if s.Users.Blind.IsZero() {
		return noKey()
	}
	counters := throttle.Counters(throttle.Invite, throttle.Source{Organization: row.Organization, Identifier: hex.EncodeToString(row.Blind)})
	keys, at := throttleKeys(s.Users.Blind, counters), s.Clock()
	before, err := store.TakeThrottles(ctx, tx, keys, s.Users.Region, at)
	if err != nil {
		return err
	}
	wait, next := throttle.Admit(counters, before, at)
	if wait > 0 {
		return fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED, "the address was sent many letters").Retry(wait)
	}
	return store.StoreThrottles(ctx, tx, keys, next, s.Users.Region)
}

// madeInvitation is an invitation with its new secret, which is stored nowhere.
type madeInvitation struct {
	row          store.Invitation
	organization string
	secret       secret.String
}

// newLetter gives an invitation a new secret.
func newLetter(row *store.Invitation, at time.Time) secret.String {
	var random bearer.Random
	_, _ = rand.Read(random[:]) // never fails, by its contract
	text, hash := invitation.NewSecret(row.ID, random)
	row.Hash, row.LastLetter = hash[:], at.UTC().Truncate(time.Microsecond)
	return text
}

// deliver sends the letter, or returns the secret to who sends it.
func (s *Invitations) deliver(ctx context.Context, withoutLetter bool, made madeInvitation) string {
	if withoutLetter {
		return made.secret.Reveal()
	}
	to, err := address.Parse(made.row.Email)
	if err != nil { // it was parsed before it was stored
		return ""
	}
	s.Post.send(ctx, made.row.Locale, to.Mailbox, letters.Invitation{
		Organization: made.organization, Token: made.secret, Lifetime: made.row.ExpiresAt.Sub(made.row.LastLetter),
	}, made.row.ExpiresAt)
	return ""
}

func (s *Invitations) create(
	ctx context.Context, tx pgx.Tx, command invitation.Create, email address.Address, locale string, caller principal.Principal,
) (made madeInvitation, token string, err error) {
	head, err := lockOpenOwner(ctx, tx, s.Log, command.Organization)
	if err != nil {
		return made, "", err
	}
	if err := mayInvite(ctx, tx, caller, command.Organization, command.Role, command.Groups); err != nil {
		return made, "", err
	}
	organization, err := store.FindOrganization(ctx, tx, command.Organization)
	if err != nil {
		return made, "", err
	}
	if err := hasGroups(ctx, tx, command.Organization, command.Groups); err != nil {
		return made, "", err
	}
	index, err := s.Users.index(realmOf(organization), email)
	if err != nil {
		return made, "", err
	}
	around, err := s.around(ctx, tx, organization, index)
	if err != nil {
		return made, "", err
	}
	events, err := command.Decide(around)
	if err != nil {
		return made, "", err
	}
	made.row = store.Invitation{Email: email.Text, Blind: index, Locale: locale, HomeRegion: head.HomeRegion, CreatedAt: command.At.UTC().Truncate(time.Microsecond)}
	made.organization, made.secret = organization.Name, secret.String{}
	if err := s.writeCreated(ctx, tx, &made, around.Earlier, events); err != nil {
		return made, "", err
	}
	token, err = commit.Append(ctx, tx, s.Log, head, caller, events)
	return made, token, err
}

// around reads what decides about an invitation besides itself. The organization's
// log is locked.
func (s *Invitations) around(ctx context.Context, tx pgx.Tx, o store.Organization, index []byte) (invitation.Circumstances, error) {
	var around invitation.Circumstances
	earlier, err := store.FindPending(ctx, tx, o.ID, index)
	if err != nil {
		return around, err
	}
	around.Earlier = earlier.State
	pending, err := store.Count(ctx, tx, o.ID, o.HomeRegion, store.Invitations, 0)
	if err != nil {
		return around, err
	}
	around.Pending = int(pending)
	person, err := store.FindUserByEmail(ctx, tx, realmOf(o), index)
	if err == nil {
		_, err = store.FindMembership(ctx, tx, o.ID, person)
		around.Member = err == nil
	}
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		err = nil
	}
	return around, err
}

func (s *Invitations) writeCreated(ctx context.Context, tx pgx.Tx, made *madeInvitation, earlier invitation.State, events []proto.Message) error {
	more := 0
	for _, e := range events {
		if _, revoked := e.(*eventv1.InvitationRevoked); revoked {
			earlier.Apply(e)
			if err := s.end(ctx, tx, earlier); err != nil {
				return err
			}
			more--
			continue
		}
		made.row.Apply(e)
		more++
	}
	made.secret = newLetter(&made.row, s.Clock())
	if err := store.InsertInvitation(ctx, tx, made.row); err != nil {
		return err
	}
	_, err := store.Count(ctx, tx, made.row.Organization, made.row.HomeRegion, store.Invitations, more)
	return err
}

// end writes that an invitation is over, and destroys the key of its address.
func (s *Invitations) end(ctx context.Context, tx pgx.Tx, state invitation.State) error {
	if err := store.EndInvitation(ctx, tx, state); err != nil {
		return err
	}
	_, err := s.Log.Erase(ctx, tx, state.Invitee)
	return err
}

// hasGroups says whether an organization has all of some groups.
//
// Errors: NOT_FOUND (field "groups").
func hasGroups(ctx context.Context, q sqldb.Querier, organization string, groups []string) error {
	missing, err := store.MissingGroups(ctx, q, organization, groups)
	if err == nil && len(missing) > 0 {
		return group.NotFound().With("field", "groups")
	}
	return err
}

func (s *Invitations) read(ctx context.Context, organization, name string) (*identityv1.Invitation, error) {
	row, err := store.FindInvitationOf(ctx, s.DB.Pool(), organization, name)
	if err != nil {
		return nil, err
	}
	return invitationMessage(row, s.Clock()), nil
}

// GetInvitation implements InvitationService.
func (s *Invitations) GetInvitation(ctx context.Context, req *identityv1.GetInvitationRequest) (*identityv1.GetInvitationResponse, error) {
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	found, err := s.read(ctx, req.GetOrganization(), req.GetInvitation())
	if err != nil {
		return nil, err
	}
	return &identityv1.GetInvitationResponse{Invitation: found}, nil
}

// invitationMessage is an invitation as it is at a time.
func invitationMessage(i store.Invitation, at time.Time) *identityv1.Invitation {
	state := map[invitation.Status]identityv1.InvitationState{
		invitation.Pending:  identityv1.InvitationState_INVITATION_STATE_PENDING,
		invitation.Accepted: identityv1.InvitationState_INVITATION_STATE_ACCEPTED,
		invitation.Revoked:  identityv1.InvitationState_INVITATION_STATE_REVOKED,
	}[i.Status]
	if i.Status == invitation.Pending && !i.Waits(at) {
		state = identityv1.InvitationState_INVITATION_STATE_EXPIRED
	}
	return &identityv1.Invitation{
		Id: i.ID, Organization: i.Organization, Email: i.Email, Role: identityv1.MembershipRole(i.Role), Groups: i.Groups,
		State: state, CreatedAt: timestamppb.New(i.CreatedAt), ExpiresAt: timestamppb.New(i.ExpiresAt), User: i.User,
	}
}
