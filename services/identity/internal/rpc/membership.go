package rpc

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Memberships serves MembershipService.
//
// The events are in the organization's log. Who adds or removes a member locks the
// user's log too: what a user's organizations are does not change while the user is
// renamed, suspended or erased.
type Memberships struct {
	identityv1connect.UnimplementedMembershipServiceHandler

	DB  *sqldb.DB
	Log *eventlog.Store
	// Blind is what addresses are found by. Without it nobody is found by one.
	Blind blind.Key
	Clock func() time.Time
}

var _ identityv1connect.MembershipServiceHandler = (*Memberships)(nil)

// AddMember implements MembershipService.
func (s *Memberships) AddMember(ctx context.Context, req *identityv1.AddMemberRequest) (*identityv1.AddMemberResponse, error) {
	command := membership.Add{
		Organization: req.GetOrganization(), User: req.GetUser(), Role: eventv1.MembershipRole(req.GetRole()),
		Source: eventv1.MembershipSource(req.GetSource()), SourceRef: req.GetSourceRef(),
	}
	out := &identityv1.AddMemberResponse{}
	var person store.User
	replayed, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.MembershipServiceAddMemberProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			heads, err := lockBoth(ctx, tx, s.Log, req.GetOrganization(), req.GetUser())
			if err != nil {
				return err
			}
			row, joined, events, err := s.join(ctx, tx, command)
			if err != nil {
				return err
			}
			person, out.Membership = joined, membershipMessage(row, user.Profile{})
			out.Revision, err = commit.Append(ctx, tx, s.Log, heads[0], caller, events)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, answerMember(ctx, s.DB.Pool(), replayed, person.Profile, out.GetMembership())
}

// lockBoth locks the logs of an organization and a user, in this order.
//
// Errors: NOT_FOUND, of the one that is absent.
func lockBoth(ctx context.Context, tx pgx.Tx, log *eventlog.Store, organizationID, userID string) ([]eventlog.Head, error) {
	heads, err := log.LockAll(ctx, tx, organizationID, userID)
	f, _ := fault.As(err)
	switch {
	case !fault.Is(err, commonv1.Reason_NOT_FOUND):
		return heads, err
	case strings.HasPrefix(f.Meta["log"], string(id.User)):
		return nil, user.NotFound()
	default:
		return nil, principal.OrganizationNotFound()
	}
}

// join makes a user a member of an organization, whose logs are locked both. It
// fills in what the command has to know, writes the rows, and returns the events to
// append to the organization's log.
//
// Errors: NOT_FOUND, ORGANIZATION_STATE, those of the command.
func (s *Memberships) join(
	ctx context.Context, tx pgx.Tx, command membership.Add,
) (row store.Membership, person store.User, events []proto.Message, err error) {
	organization, err := store.FindOrganization(ctx, tx, command.Organization)
	if err != nil {
		return row, person, nil, err
	}
	if err := organization.Open(); err != nil {
		return row, person, nil, err
	}
	command.Realm = realmOf(organization)
	if person, err = store.CountMembership(ctx, tx, command.User, 1); err != nil {
		return row, person, nil, err
	}
	command.Person, command.Others = person.State, person.Memberships-1
	// Whether the user is a member already is the primary key's to say.
	if events, err = command.Decide(row.State); err != nil {
		return row, person, nil, err
	}
	for _, e := range events {
		row.Apply(e)
	}
	if person.Profile, err = store.FindProfile(ctx, tx, command.User); err != nil {
		return row, person, nil, err
	}
	row.HomeRegion, row.CreatedAt = organization.HomeRegion, s.Clock().UTC().Truncate(time.Microsecond)
	return row, person, events, store.InsertMembership(ctx, tx, row, person)
}

// GetMember implements MembershipService.
func (s *Memberships) GetMember(ctx context.Context, req *identityv1.GetMemberRequest) (*identityv1.GetMemberResponse, error) {
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	row, err := store.FindMembership(ctx, s.DB.Pool(), req.GetOrganization(), req.GetUser())
	if err != nil {
		return nil, err
	}
	person, err := store.FindUser(ctx, s.DB.Pool(), req.GetUser())
	if err != nil {
		return nil, err
	}
	return &identityv1.GetMemberResponse{Membership: membershipMessage(row, person.Profile)}, nil
}

func membershipMessage(m store.Membership, p user.Profile) *identityv1.Membership {
	return &identityv1.Membership{
		Organization: m.Organization, User: m.User,
		Role: identityv1.MembershipRole(m.Role), State: identityv1.MembershipState(m.Status),
		Source: identityv1.MembershipSource(m.Source), SourceRef: m.SourceRef, CreatedAt: timestamppb.New(m.CreatedAt),
		Email: p.Email, Name: p.Name,
	}
}
