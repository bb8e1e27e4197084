package rpc

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/principal"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/role"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

// Roles serves RoleService. A role's permissions and assignments are written as
// relationships are.
type Roles struct {
	authzv1connect.UnimplementedRoleServiceHandler

	Relationships *Relationships
	Clock         func() time.Time
}

var _ authzv1connect.RoleServiceHandler = (*Roles)(nil)

// CreateRole implements RoleService.
func (s *Roles) CreateRole(ctx context.Context, req *authzv1.CreateRoleRequest) (*authzv1.CreateRoleResponse, error) {
	define, err := parseDefine(req.GetRole(), req.GetName(), req.GetDescription(), req.GetPermissions())
	if err != nil {
		return nil, err
	}
	if err := s.mayGive(ctx, req.GetOrganization(), define.Permissions); err != nil {
		return nil, err
	}
	out := &authzv1.CreateRoleResponse{}
	request := roleRequest{req.GetOrganization(), req.GetRole(), req.GetIdempotencyKey(), authzv1connect.RoleServiceCreateRoleProcedure, req, out}
	return out, s.commit(ctx, request, func(r *roleChange) (err error) {
		out.Role, out.Revision, err = r.define(define, define.Create)
		return err
	})
}

// UpdateRole implements RoleService.
func (s *Roles) UpdateRole(ctx context.Context, req *authzv1.UpdateRoleRequest) (*authzv1.UpdateRoleResponse, error) {
	define, err := parseDefine(req.GetRole(), req.GetName(), req.GetDescription(), req.GetPermissions())
	if err != nil {
		return nil, err
	}
	if err := s.mayGive(ctx, req.GetOrganization(), define.Permissions); err != nil {
		return nil, err
	}
	out := &authzv1.UpdateRoleResponse{}
	request := roleRequest{req.GetOrganization(), req.GetRole(), req.GetIdempotencyKey(), authzv1connect.RoleServiceUpdateRoleProcedure, req, out}
	return out, s.commit(ctx, request, func(r *roleChange) (err error) {
		out.Role, out.Revision, err = r.define(define, define.Update)
		return err
	})
}

// DeleteRole implements RoleService.
func (s *Roles) DeleteRole(ctx context.Context, req *authzv1.DeleteRoleRequest) (*authzv1.DeleteRoleResponse, error) {
	out := &authzv1.DeleteRoleResponse{}
	request := roleRequest{req.GetOrganization(), req.GetRole(), req.GetIdempotencyKey(), authzv1connect.RoleServiceDeleteRoleProcedure, req, out}
	return out, s.commit(ctx, request, func(r *roleChange) (err error) {
		out.Revision, err = r.delete()
		return err
	})
}

// AssignRole implements RoleService.
func (s *Roles) AssignRole(ctx context.Context, req *authzv1.AssignRoleRequest) (*authzv1.AssignRoleResponse, error) {
	assignment, err := parseRelationship(&authzv1.Relationship{
		Resource: role.Object(req.GetRole()), Relation: role.Assignee, Subject: req.GetSubject(), ExpiresAt: req.GetExpiresAt(),
	})
	if err != nil {
		return nil, engineFault(err, "")
	}
	if err := s.mayAssign(ctx, req.GetOrganization(), req.GetRole()); err != nil {
		return nil, err
	}
	out := &authzv1.AssignRoleResponse{}
	request := roleRequest{req.GetOrganization(), req.GetRole(), req.GetIdempotencyKey(), authzv1connect.RoleServiceAssignRoleProcedure, req, out}
	return out, s.commit(ctx, request, func(r *roleChange) error {
		change, err := role.Assign(req.GetRole(), assignment.Subject, assignment.Terms.Expires, r.state)
		if err != nil {
			return err
		}
		if err := r.model.Validate(assignment); err != nil {
			return engineFault(err, "")
		}
		out.Revision, err = r.apply(change)
		return err
	})
}

// UnassignRole implements RoleService.
func (s *Roles) UnassignRole(ctx context.Context, req *authzv1.UnassignRoleRequest) (*authzv1.UnassignRoleResponse, error) {
	if err := authzcore.ParseRelationship(role.Assignment(req.GetRole(), req.GetSubject(), 0)); err != nil {
		return nil, engineFault(err, "")
	}
	out := &authzv1.UnassignRoleResponse{}
	request := roleRequest{req.GetOrganization(), req.GetRole(), req.GetIdempotencyKey(), authzv1connect.RoleServiceUnassignRoleProcedure, req, out}
	return out, s.commit(ctx, request, func(r *roleChange) error {
		change, err := role.Unassign(req.GetRole(), req.GetSubject(), r.state)
		if err != nil {
			return err
		}
		out.Revision, err = r.apply(change)
		return err
	})
}

// parseDefine reads what a role is to be. Permissions have to be well formed;
// whether the model has them is known later.
func parseDefine(id, name, description string, permissions []*authzv1.RolePermission) (role.Define, error) {
	out := role.Define{Role: id, Name: name, Description: description}
	for i, p := range permissions {
		permission := role.Permission{Resource: p.GetResource(), Relation: p.GetRelation()}
		if err := authzcore.ParseRelationship(permission.Of(id)); err != nil {
			return out, engineFault(err, fmt.Sprintf("permissions[%d].", i))
		}
		if err := written(permission.Of(id), fmt.Sprintf("permissions[%d]", i)); err != nil {
			return out, err
		}
		out.Permissions = append(out.Permissions, permission)
	}
	return out, nil
}

// roleRequest is what all changes of roles have in common.
type roleRequest struct {
	organization, role, key, procedure string
	message, outcome                   proto.Message
}

// commit runs a change in one transaction, with the role's state at hand.
func (s *Roles) commit(ctx context.Context, req roleRequest, change func(r *roleChange) error) error {
	caller, err := principal.Require(ctx)
	if err != nil {
		return err
	}
	_, err = s.Relationships.Log.Commit(ctx, eventlog.Request{
		Scope: caller.Scope(), Key: req.key, Log: req.organization,
		Procedure: req.procedure, Message: req.message, Outcome: req.outcome,
	}, func(ctx context.Context, tx pgx.Tx) error {
		home, model, err := s.Relationships.assigned(ctx, tx, req.organization)
		if err != nil {
			return err
		}
		r := &roleChange{
			ctx: ctx, tx: tx, relationships: s.Relationships, caller: caller, model: model,
			organization: req.organization, homeRegion: home, id: req.role,
			now: s.Clock().UTC().Truncate(time.Microsecond),
		}
		if err := r.read(); err != nil {
			return err
		}
		return change(r)
	})
	return err
}

const standardRoles = 50

// maxListed is how many permissions one answer holds at most.
const maxListed = 50_000

func roleMessage(row store.Role) *authzv1.Role {
	return &authzv1.Role{
		Id: row.ID, Name: row.Name, Description: row.Description,
		CreatedAt: timestamppb.New(row.CreatedAt), UpdatedAt: timestamppb.New(row.UpdatedAt),
	}
}
