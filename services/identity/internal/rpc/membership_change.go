package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// ofMember is a request that changes one membership.
type ofMember interface {
	commit.Mutation
	GetOrganization() string
	GetUser() string
}

// UpdateMember implements MembershipService.
func (s *Memberships) UpdateMember(
	ctx context.Context, req *identityv1.UpdateMemberRequest,
) (out *identityv1.UpdateMemberResponse, err error) {
	out = &identityv1.UpdateMemberResponse{}
	err = s.change(ctx, req, identityv1connect.MembershipServiceUpdateMemberProcedure, out, &out.Membership, &out.Revision,
		func(ctx context.Context, tx pgx.Tx, row store.Membership, caller principal.Principal) ([]proto.Message, error) {
			if err := open(ctx, tx, row.Organization); err != nil {
				return nil, err
			}
			if role := eventv1.MembershipRole(req.GetRole()); role == membership.Admin {
				if err := mayAdminister(ctx, tx, caller, row.Organization); err != nil {
					return nil, err
				}
			}
			other, err := otherAdmin(ctx, tx, row.State)
			if err != nil {
				return nil, err
			}
			return membership.ChangeRole{Role: eventv1.MembershipRole(req.GetRole()), OtherAdmin: other}.Decide(row.State)
		})
	return out, err
}

// SuspendMember implements MembershipService.
func (s *Memberships) SuspendMember(
	ctx context.Context, req *identityv1.SuspendMemberRequest,
) (out *identityv1.SuspendMemberResponse, err error) {
	out = &identityv1.SuspendMemberResponse{}
	err = s.change(ctx, req, identityv1connect.MembershipServiceSuspendMemberProcedure, out, &out.Membership, &out.Revision,
		func(ctx context.Context, tx pgx.Tx, row store.Membership, caller principal.Principal) ([]proto.Message, error) {
			other, err := otherAdmin(ctx, tx, row.State)
			if err != nil {
				return nil, err
			}
			groups, err := store.GroupsOf(ctx, tx, row.Organization, row.User)
			if err != nil {
				return nil, err
			}
			return membership.Suspend{OtherAdmin: other, Groups: groups, Manages: manages(caller)}.Decide(row.State)
		})
	return out, err
}

// ResumeMember implements MembershipService.
func (s *Memberships) ResumeMember(
	ctx context.Context, req *identityv1.ResumeMemberRequest,
) (out *identityv1.ResumeMemberResponse, err error) {
	out = &identityv1.ResumeMemberResponse{}
	err = s.change(ctx, req, identityv1connect.MembershipServiceResumeMemberProcedure, out, &out.Membership, &out.Revision,
		func(ctx context.Context, tx pgx.Tx, row store.Membership, caller principal.Principal) ([]proto.Message, error) {
			if err := open(ctx, tx, row.Organization); err != nil {
				return nil, err
			}
			// Locked, so that the user is not suspended meanwhile.
			if _, err := s.Log.Lock(ctx, tx, row.User); err != nil {
				return nil, err
			}
			person, err := store.FindUser(ctx, tx, row.User)
			if err != nil {
				return nil, err
			}
			groups, err := store.GroupsOf(ctx, tx, row.Organization, row.User)
			if err != nil {
				return nil, err
			}
			return membership.Resume{Groups: groups, Barred: person.Status == user.Suspended, Manages: manages(caller)}.Decide(row.State)
		})
	return out, err
}

// open says whether memberships of an organization can be given more. What takes
// away is always possible.
//
// Errors: ORGANIZATION_STATE.
func open(ctx context.Context, q sqldb.Querier, organizationID string) error {
	o, err := store.FindOrganization(ctx, q, organizationID)
	if err != nil {
		return err
	}
	return o.Open()
}

// otherAdmin says whether somebody else is an active administrator. It asks only
// when it makes a difference.
func otherAdmin(ctx context.Context, q sqldb.Querier, s membership.State) (bool, error) {
	if !s.Administers() {
		return false, nil
	}
	return store.OtherAdmin(ctx, q, s.Organization, s.User)
}

// manages says whether a caller may do what a directory or connection does: the
// platform, but not for a user, nor with an access token.
func manages(caller principal.Principal) bool {
	return caller.Organization == "" && caller.Subject() == ""
}

// mayManage says whether a caller may change a membership: the subject of a
// call, as a user for whom it is made, changes that of an administrator as one only.
//
// Errors: ACCESS_DENIED.
func mayManage(ctx context.Context, q sqldb.Querier, caller principal.Principal, s membership.State) error {
	if s.Role != membership.Admin {
		return nil
	}
	return mayAdminister(ctx, q, caller, s.Organization)
}

// mayAdminister says whether a caller may make administrators of an organization, or
// put somebody into a group, which may have what administrators have. The
// subject of a call, as a user for whom it is made, administers it: who may manage members or groups would have all
// else by that.
//
// Errors: ACCESS_DENIED.
func mayAdminister(ctx context.Context, q sqldb.Querier, caller principal.Principal, organization string) error {
	if caller.Subject() == "" {
		return nil
	}
	own, err := store.FindMembership(ctx, q, organization, caller.Subject()) // a service account is no member
	switch {
	case err != nil && !fault.Is(err, commonv1.Reason_NOT_FOUND):
		return err
	case err != nil || !own.Administers():
		return fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, "only an administrator makes, changes or removes administrators, and adds or invites to groups")
	}
	return nil
}

// change decides about a membership, whose organization's log is locked, and writes
// what was decided. It fills the parts of out.
//
// Errors: NOT_FOUND, those of decide.
func (s *Memberships) change(
	ctx context.Context, req ofMember, procedure string, out proto.Message, message **identityv1.Membership, token *string,
	decide func(ctx context.Context, tx pgx.Tx, row store.Membership, caller principal.Principal) ([]proto.Message, error),
) error {
	var profile user.Profile
	replayed, err := commit.Once(ctx, s.Log, req.GetOrganization(), procedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			head, row, err := s.lock(ctx, tx, req)
			if err != nil {
				return err
			}
			if err := mayManage(ctx, tx, caller, row.State); err != nil {
				return err
			}
			events, err := decide(ctx, tx, row, caller)
			if err != nil {
				return err
			}
			for _, e := range events {
				row.Apply(e)
			}
			if len(events) > 0 {
				if err := store.UpdateMembership(ctx, tx, row.State); err != nil {
					return err
				}
			}
			if profile, err = store.FindProfile(ctx, tx, row.User); err != nil {
				return err
			}
			*message = membershipMessage(row, user.Profile{})
			*token, err = commit.Append(ctx, tx, s.Log, head, caller, events)
			return err
		})
	if err != nil {
		return err
	}
	return answerMember(ctx, s.DB.Pool(), replayed, profile, *message)
}

// lock locks an organization's log and reads a member.
//
// Errors: NOT_FOUND.
func (s *Memberships) lock(ctx context.Context, tx pgx.Tx, req ofMember) (eventlog.Head, store.Membership, error) {
	head, err := s.Log.Lock(ctx, tx, req.GetOrganization())
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return head, store.Membership{}, principal.OrganizationNotFound()
	case err != nil:
		return head, store.Membership{}, err
	}
	row, err := store.FindMembership(ctx, tx, req.GetOrganization(), req.GetUser())
	return head, row, err
}

// RemoveMember implements MembershipService.
func (s *Memberships) RemoveMember(ctx context.Context, req *identityv1.RemoveMemberRequest) (*identityv1.RemoveMemberResponse, error) {
	out := &identityv1.RemoveMemberResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.MembershipServiceRemoveMemberProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			head, row, err := s.lock(ctx, tx, req)
			if err != nil {
				return err
			}
			if err := mayManage(ctx, tx, caller, row.State); err != nil {
				return err
			}
			if _, err := s.Log.Lock(ctx, tx, row.User); err != nil {
				return err
			}
			other, err := otherAdmin(ctx, tx, row.State)
			if err != nil {
				return err
			}
			events, err := depart(ctx, tx, row.State, membership.Remove{OtherAdmin: other, Manages: manages(caller)})
			if err != nil {
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

// depart ends a membership, whose organization's and user's logs are locked. It
// writes the rows and returns the events for the organization's log.
//
// Errors: those of the command.
func depart(ctx context.Context, tx pgx.Tx, s membership.State, command membership.Remove) ([]proto.Message, error) {
	ends, err := command.Decide(s)
	if err != nil {
		return nil, err
	}
	events, err := leave(ctx, tx, s.Organization, s.User)
	if err != nil {
		return nil, err
	}
	if err := store.DeleteMembership(ctx, tx, s.Organization, s.User); err != nil {
		return nil, err
	}
	if _, err := store.CountMembership(ctx, tx, s.User, -1); err != nil {
		return nil, err
	}
	return append(events, ends...), nil
}
