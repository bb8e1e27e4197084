package rpc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/displayname"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Groups serves GroupService.
type Groups struct {
	identityv1connect.UnimplementedGroupServiceHandler

	DB    *sqldb.DB
	Log   *eventlog.Store
	Clock func() time.Time
}

var _ identityv1connect.GroupServiceHandler = (*Groups)(nil)

// CreateGroup implements GroupService.
func (s *Groups) CreateGroup(ctx context.Context, req *identityv1.CreateGroupRequest) (*identityv1.CreateGroupResponse, error) {
	command := group.Create{
		ID: id.New(id.Group), Organization: req.GetOrganization(), Name: req.GetName(), Description: req.GetDescription(),
	}
	out := &identityv1.CreateGroupResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.GroupServiceCreateGroupProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			return s.create(ctx, tx, command, caller, out)
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Groups) create(
	ctx context.Context, tx pgx.Tx, command group.Create, caller principal.Principal, out *identityv1.CreateGroupResponse,
) error {
	head, err := lockOpenOwner(ctx, tx, s.Log, command.Organization)
	if err != nil {
		return err
	}
	number, err := store.Count(ctx, tx, command.Organization, head.HomeRegion, store.Groups, 1)
	if err != nil {
		return err
	}
	command.Others = number - 1
	row := store.Group{HomeRegion: head.HomeRegion, CreatedAt: s.Clock().UTC().Truncate(time.Microsecond)}
	events, err := command.Decide(row.State)
	if err != nil {
		return err
	}
	for _, e := range events {
		row.Apply(e)
	}
	if err := store.InsertGroup(ctx, tx, row); err != nil {
		return err
	}
	out.Group = groupMessage(row)
	out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
	return err
}

// UpdateGroup implements GroupService.
func (s *Groups) UpdateGroup(ctx context.Context, req *identityv1.UpdateGroupRequest) (*identityv1.UpdateGroupResponse, error) {
	out := &identityv1.UpdateGroupResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.GroupServiceUpdateGroupProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			return s.update(ctx, tx, req, caller, out)
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Groups) update(
	ctx context.Context, tx pgx.Tx, req *identityv1.UpdateGroupRequest, caller principal.Principal, out *identityv1.UpdateGroupResponse,
) error {
	head, row, err := s.find(ctx, tx, req, lockOpenOwner)
	if err != nil {
		return err
	}
	events, err := group.Update{Name: req.Name, Description: req.Description}.Decide(row.State)
	if err != nil {
		return err
	}
	if len(events) > 0 {
		for _, e := range events {
			row.Apply(e)
		}
		if err := store.UpdateGroup(ctx, tx, row); err != nil {
			return err
		}
	}
	out.Group = groupMessage(row)
	out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
	return err
}

// aboutGroup is the request of a call about one group.
type aboutGroup interface {
	GetOrganization() string
	GetGroup() string
}

// find locks the organization's log and reads a group.
//
// Errors: NOT_FOUND, those of lock.
func (s *Groups) find(ctx context.Context, tx pgx.Tx, req aboutGroup, lock locking) (eventlog.Head, store.Group, error) {
	head, err := lock(ctx, tx, s.Log, req.GetOrganization())
	if err != nil {
		return eventlog.Head{}, store.Group{}, err
	}
	row, err := store.FindGroup(ctx, tx, req.GetOrganization(), req.GetGroup())
	return head, row, err
}

// DeleteGroup implements GroupService.
func (s *Groups) DeleteGroup(ctx context.Context, req *identityv1.DeleteGroupRequest) (*identityv1.DeleteGroupResponse, error) {
	out := &identityv1.DeleteGroupResponse{}
	_, err := commit.Once(ctx, s.Log, req.GetOrganization(), identityv1connect.GroupServiceDeleteGroupProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error {
			return s.remove(ctx, tx, req, caller, out)
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Groups) remove(
	ctx context.Context, tx pgx.Tx, req *identityv1.DeleteGroupRequest, caller principal.Principal, out *identityv1.DeleteGroupResponse,
) error {
	head, row, err := s.find(ctx, tx, req, lockOwner)
	if err != nil {
		return err
	}
	events, err := removeGroup(ctx, tx, row)
	if err != nil {
		return err
	}
	out.Revision, err = commit.Append(ctx, tx, s.Log, head, caller, events)
	return err
}

// removeGroup removes the rows of a group, whose organization's log is locked, and
// returns the events.
func removeGroup(ctx context.Context, tx pgx.Tx, row store.Group) ([]proto.Message, error) {
	members, err := store.EmptyGroup(ctx, tx, row)
	if err != nil {
		return nil, err
	}
	left, err := store.LeaveGroups(ctx, tx, row.Organization, row.ID)
	if err != nil {
		return nil, err
	}
	events, err := group.Delete{Members: members, Before: left}.Decide(row.State)
	if err != nil {
		return nil, err
	}
	if err := store.DeleteGroup(ctx, tx, row.Organization, row.ID); err != nil {
		return nil, err
	}
	if err := count(ctx, tx, row.Organization, row.HomeRegion, store.Groups, -1); err != nil {
		return nil, err
	}
	return events, count(ctx, tx, row.Organization, row.HomeRegion, store.Nestings, -group.Groups(members))
}

func count(ctx context.Context, tx pgx.Tx, organization, homeRegion string, kind store.Kind, add int) error {
	if add == 0 {
		return nil
	}
	_, err := store.Count(ctx, tx, organization, homeRegion, kind, add)
	return err
}

// GetGroup implements GroupService.
func (s *Groups) GetGroup(ctx context.Context, req *identityv1.GetGroupRequest) (*identityv1.GetGroupResponse, error) {
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	row, err := store.FindGroup(ctx, s.DB.Pool(), req.GetOrganization(), req.GetGroup())
	if err != nil {
		return nil, err
	}
	return &identityv1.GetGroupResponse{Group: groupMessage(row)}, nil
}

// ListGroups implements GroupService.
func (s *Groups) ListGroups(ctx context.Context, req *identityv1.ListGroupsRequest) (*identityv1.ListGroupsResponse, error) {
	beginning := displayname.Fold(req.GetSearch())
	query := "groups of " + req.GetOrganization() + " from " + string(beginning)
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	if _, err := store.FindOrganization(ctx, s.DB.Pool(), req.GetOrganization()); err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), standardPage)
	rows, err := store.ListGroups(ctx, s.DB.Pool(), req.GetOrganization(), beginning, []byte(after), size)
	if err != nil {
		return nil, err
	}
	out := &identityv1.ListGroupsResponse{}
	for _, row := range rows {
		out.Groups = append(out.Groups, groupMessage(row))
	}
	if len(rows) == size {
		out.NextCursor = page.Cursor(query, string(rows[size-1].Key))
	}
	return out, nil
}

func groupMessage(g store.Group) *identityv1.Group {
	return &identityv1.Group{
		Id: g.ID, Organization: g.Organization, Name: g.Name, Description: g.Description,
		CreatedAt: timestamppb.New(g.CreatedAt), Members: uint32(g.Members), // at most group.MemberLimit
	}
}
