package rpc

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// ChangeGroupMembers implements GroupService.
func (s *Groups) ChangeGroupMembers(
	ctx context.Context, req *identityv1.ChangeGroupMembersRequest,
) (*identityv1.ChangeGroupMembersResponse, error) {
	out := &identityv1.ChangeGroupMembersResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.GroupServiceChangeGroupMembersProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			return s.changeMembers(ctx, tx, req, caller, out)
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Groups) changeMembers(
	ctx context.Context, tx pgx.Tx, req *identityv1.ChangeGroupMembersRequest, caller principal.Principal,
	out *identityv1.ChangeGroupMembersResponse,
) error {
	lock := lockOpenOwner
	if len(req.GetAdd()) == 0 {
		lock = lockOwner // what only ends something may be done at any time
	}
	head, row, err := s.find(ctx, tx, req, lock)
	if err != nil {
		return err
	}
	if len(req.GetAdd()) > 0 {
		// A group may have what only administrators have.
		if err := mayAdminister(ctx, tx, caller, row.Organization); err != nil {
			return err
		}
	}
	events, added, removed, err := changeMembers(ctx, tx, head, row, group.ChangeMembers{Add: req.GetAdd(), Remove: req.GetRemove()})
	if err != nil {
		return err
	}
	out.Added, out.Removed = uint32(added), uint32(removed)
	out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
	return err
}

// changeMembers changes the rows of a group's members and returns the events. The
// organization's log is locked. It writes the rows before it decides, because an
// insert that finds some of them present locks no neighbors as a look would. What is
// then refused is rolled back.
func changeMembers(
	ctx context.Context, tx pgx.Tx, head eventlog.Head, row store.Group, command group.ChangeMembers,
) (events []proto.Message, added, removed int, err error) {
	members := group.Members{State: row.State, Number: row.Members}
	if members.Missing, err = absent(ctx, tx, row.Organization, command.Add); err != nil {
		return nil, 0, 0, err
	}
	if members.Paused, err = store.PausedMembers(ctx, tx, row.Organization, command.Add); err != nil {
		return nil, 0, 0, err
	}
	if groups := ofKind(id.Group, command.Add); len(groups) > 0 {
		if err := store.Nesting(ctx, tx, &members, groups); err != nil {
			return nil, 0, 0, err
		}
	}
	inserted, err := store.InsertGroupMembers(ctx, tx, row, head.HomeRegion, command.Add)
	if err != nil {
		return nil, 0, 0, err
	}
	deleted, err := store.DeleteGroupMembers(ctx, tx, row, command.Remove)
	if err != nil {
		return nil, 0, 0, err
	}
	members.Present = present(command.Add, inserted, deleted)
	nestings := group.Groups(inserted) - group.Groups(deleted)
	if nestings != 0 {
		number, err := store.Count(ctx, tx, head.Log, head.HomeRegion, store.Nestings, nestings)
		if err != nil {
			return nil, 0, 0, err
		}
		members.Nestings = number - int64(nestings)
	}
	if events, err = command.Decide(members); err != nil {
		return nil, 0, 0, err
	}
	added, removed = len(inserted), len(deleted)
	return events, added, removed, store.RecountMembers(ctx, tx, row.Organization, []string{row.ID}, added-removed)
}

// present are those of the named members that were there before: they were not
// inserted, or were removed.
func present(add, added, removed []string) map[string]bool {
	there := make(map[string]bool, len(add)+len(removed))
	for _, member := range add {
		there[member] = true
	}
	for _, member := range added {
		delete(there, member)
	}
	for _, member := range removed {
		there[member] = true
	}
	return there
}

// absent returns those of the ids that the organization does not have.
func absent(ctx context.Context, q sqldb.Querier, organization string, ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	for kind, find := range map[id.Kind]func(context.Context, sqldb.Querier, string, []string) ([]string, error){
		id.User: store.MissingMembers, id.ServiceAccount: store.MissingServiceAccounts, id.Group: store.MissingGroups,
	} {
		missing, err := find(ctx, q, organization, ofKind(kind, ids))
		if err != nil {
			return nil, err
		}
		for _, member := range missing {
			out[member] = true
		}
	}
	return out, nil
}

// ofKind returns the ids of one kind.
func ofKind(kind id.Kind, ids []string) (out []string) {
	for _, member := range ids {
		if strings.HasPrefix(member, string(kind)+"_") {
			out = append(out, member)
		}
	}
	return out
}

// ListGroupMembers implements GroupService.
func (s *Groups) ListGroupMembers(
	ctx context.Context, req *identityv1.ListGroupMembersRequest,
) (*identityv1.ListGroupMembersResponse, error) {
	query := "members of " + req.GetGroup() + " of " + req.GetOrganization()
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	row, err := store.FindGroup(ctx, s.DB.Pool(), req.GetOrganization(), req.GetGroup())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), standardPage)
	out := &identityv1.ListGroupMembersResponse{}
	if out.Members, err = store.ListGroupMembers(ctx, s.DB.Pool(), row.Organization, row.ID, after, size); err != nil {
		return nil, err
	}
	if len(out.GetMembers()) == size {
		out.NextCursor = page.Cursor(query, out.GetMembers()[size-1])
	}
	return out, nil
}
