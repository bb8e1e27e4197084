package rpc

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/membership"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/user"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// SuspendUser implements UserService.
func (s *Users) SuspendUser(ctx context.Context, req *identityv1.SuspendUserRequest) (*identityv1.SuspendUserResponse, error) {
	out := &identityv1.SuspendUserResponse{}
	var row store.User
	replayed, err := commit.Once(ctx, s.Log, "", identityv1connect.UserServiceSuspendUserProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			e, err := s.everywhere(ctx, tx, req.GetUser(), caller, func(m membership.State) bool { return m.Status == membership.Active })
			if err != nil {
				return err
			}
			err = e.stand(ctx, user.Suspend{}.Decide, func(s membership.State, groups []string) ([]proto.Message, error) {
				return membership.Bar{Groups: groups}.Decide(s)
			})
			if err != nil {
				return err
			}
			row, out.User = e.person, outcomeUser(e.person)
			out.Revision, out.OrganizationRevisions, err = e.revisions()
			return err
		})
	if err != nil {
		return nil, err
	}
	out.User, err = answerUser(ctx, s.DB.Pool(), replayed, row, out.GetUser())
	return out, err
}

// ResumeUser implements UserService.
func (s *Users) ResumeUser(ctx context.Context, req *identityv1.ResumeUserRequest) (*identityv1.ResumeUserResponse, error) {
	out := &identityv1.ResumeUserResponse{}
	var row store.User
	replayed, err := commit.Once(ctx, s.Log, "", identityv1connect.UserServiceResumeUserProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			e, err := s.everywhere(ctx, tx, req.GetUser(), caller, func(m membership.State) bool { return m.Everywhere })
			if err != nil {
				return err
			}
			err = e.stand(ctx, user.Resume{}.Decide, func(s membership.State, groups []string) ([]proto.Message, error) {
				return membership.Unbar{Groups: groups}.Decide(s)
			})
			if err != nil {
				return err
			}
			row, out.User = e.person, outcomeUser(e.person)
			out.Revision, out.OrganizationRevisions, err = e.revisions()
			return err
		})
	if err != nil {
		return nil, err
	}
	out.User, err = answerUser(ctx, s.DB.Pool(), replayed, row, out.GetUser())
	return out, err
}

// everywhere is a change of a user in the user's log and in those of organizations.
type everywhere struct {
	tx     pgx.Tx
	log    *eventlog.Store
	caller principal.Principal
	// person is the user, members the memberships that may change, by organization.
	person  store.User
	members []store.Membership
	// heads are the locked logs: of the members' organizations in their order, and
	// last the user's.
	heads []eventlog.Head
	// written are the revisions of the logs that were appended to.
	written []revision.Revision
}

// everywhere locks the user's log, and those of the organizations whose memberships
// the change concerns. The memberships are read before their logs are locked: the
// transaction fails, and runs again, when one of them is changed in between.
//
// Errors: NOT_FOUND.
func (s *Users) everywhere(
	ctx context.Context, tx pgx.Tx, userID string, caller principal.Principal, concerns func(membership.State) bool,
) (*everywhere, error) {
	e := &everywhere{tx: tx, log: s.Log, caller: caller}
	members, err := allMemberships(ctx, tx, userID)
	if err != nil {
		return nil, err
	}
	e.members = slices.DeleteFunc(members, func(m store.Membership) bool { return !concerns(m.State) })
	slices.SortFunc(e.members, func(a, b store.Membership) int { return strings.Compare(a.Organization, b.Organization) })
	logs := make([]string, 0, len(e.members)+1)
	for _, m := range e.members {
		logs = append(logs, m.Organization)
	}
	e.heads, err = s.Log.LockAll(ctx, tx, append(logs, userID)...)
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return nil, user.NotFound()
	case err != nil:
		return nil, err
	}
	e.person, err = store.FindUser(ctx, tx, userID)
	return e, err
}

// allMemberships reads the memberships of a user.
func allMemberships(ctx context.Context, q sqldb.Querier, userID string) ([]store.Membership, error) {
	return store.ListUserMemberships(ctx, q, userID, "", membership.MaxOfUser)
}

// stand gives the user and the memberships another standing. member decides about one
// of them, and knows the groups that the user is in there.
//
// Errors: those of the two decisions.
func (e *everywhere) stand(
	ctx context.Context,
	person func(user.State) ([]proto.Message, error), member func(s membership.State, groups []string) ([]proto.Message, error),
) error {
	events, err := person(e.person.State)
	if err != nil {
		return err
	}
	for i := range e.members {
		m := &e.members[i]
		groups, err := store.GroupsOf(ctx, e.tx, m.Organization, m.User)
		if err != nil {
			return err
		}
		changes, err := member(m.State, groups)
		if err != nil {
			return err
		}
		for _, c := range changes {
			m.Apply(c)
		}
		if err := e.append(ctx, e.heads[i], changes); err != nil {
			return err
		}
	}
	if err := store.SetMembershipStates(ctx, e.tx, e.members); err != nil {
		return err
	}
	for _, change := range events {
		e.person.Apply(change)
	}
	if len(events) > 0 {
		if err := store.SetUserState(ctx, e.tx, e.person); err != nil {
			return err
		}
	}
	return e.append(ctx, e.heads[len(e.heads)-1], events)
}

// append puts events, if there are any, into one of the locked logs.
func (e *everywhere) append(ctx context.Context, head eventlog.Head, events []proto.Message) error {
	rev, err := commit.AppendAll(ctx, e.tx, e.log, head, e.caller, events)
	e.written = append(e.written, rev)
	return err
}

// revisions are the token of the user's log, with those of the organizations where
// one token has room for them, and a token for each organization.
func (e *everywhere) revisions() (token string, organizations map[string]string, err error) {
	last := len(e.written) - 1
	if len(e.written) > revision.MaxLogs {
		token, err = revision.Token(e.written[last])
	} else {
		token, err = revision.Token(e.written...)
	}
	organizations = make(map[string]string, last)
	for _, r := range e.written[:last] {
		if err == nil {
			organizations[r.Log], err = revision.Token(r)
		}
	}
	return token, organizations, err
}
