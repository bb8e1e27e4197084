package rpc

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/role"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

// read runs a read of an organization's rows in one snapshot.
//
// Errors: NOT_FOUND for an absent organization.
func (s *Roles) read(ctx context.Context, organization string, fn func(ctx context.Context, tx pgx.Tx) error) error {
	return s.Relationships.DB.Read(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := s.Relationships.Log.Head(ctx, tx, organization)
		if fault.Is(err, commonv1.Reason_NOT_FOUND) {
			return principal.OrganizationNotFound()
		}
		if err != nil {
			return err
		}
		return fn(ctx, tx)
	})
}

// GetRole implements RoleService.
func (s *Roles) GetRole(ctx context.Context, req *authzv1.GetRoleRequest) (*authzv1.GetRoleResponse, error) {
	out := &authzv1.GetRoleResponse{}
	err := s.read(ctx, req.GetOrganization(), func(ctx context.Context, tx pgx.Tx) error {
		row, err := store.FindRole(ctx, tx, req.GetOrganization(), req.GetRole())
		if err != nil {
			return err
		}
		roles, err := withPermissions(ctx, tx, req.GetOrganization(), []store.Role{row})
		if err == nil {
			out.Role = roles[0]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ListRoles implements RoleService.
func (s *Roles) ListRoles(ctx context.Context, req *authzv1.ListRolesRequest) (*authzv1.ListRolesResponse, error) {
	query := "roles of " + req.GetOrganization()
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	var (
		out  = &authzv1.ListRolesResponse{}
		size = page.Size(req.GetPageSize(), standardRoles)
		// listed is how many roles there were to answer with.
		listed int
	)
	err = s.read(ctx, req.GetOrganization(), func(ctx context.Context, tx pgx.Tx) error {
		rows, err := store.ListRoles(ctx, tx, req.GetOrganization(), after, size)
		if err != nil {
			return err
		}
		listed = len(rows)
		out.Roles, err = withPermissions(ctx, tx, req.GetOrganization(), rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	if n := len(out.GetRoles()); n == size || n < listed {
		out.NextCursor = page.Cursor(query, out.GetRoles()[n-1].GetId())
	}
	return out, nil
}

// withPermissions reads what roles are made of.
func withPermissions(ctx context.Context, tx pgx.Tx, organization string, rows []store.Role) ([]*authzv1.Role, error) {
	var (
		subjects = make([]string, len(rows))
		roles    = make([]*authzv1.Role, len(rows))
		byName   = make(map[string]*authzv1.Role, len(rows))
	)
	for i, row := range rows {
		subjects[i], roles[i] = role.Holders(row.ID), roleMessage(row)
		byName[subjects[i]] = roles[i]
	}
	found, err := store.Permissions(ctx, tx, organization, subjects, maxListed+1)
	if err != nil {
		return nil, err
	}
	if len(found) > maxListed {
		// The page ends before the role that does not fit; one that is alone is cut.
		cut := max(1, slices.Index(subjects, found[maxListed].Subject))
		roles[0].PermissionsTruncated = cut == 1 && found[maxListed].Subject == subjects[0]
		roles, found = roles[:cut], found[:maxListed]
	}
	for _, r := range found {
		of := byName[r.Subject]
		of.Permissions = append(of.Permissions, &authzv1.RolePermission{Resource: r.Resource, Relation: r.Relation})
	}
	return roles, nil
}

const standardAssignments = 100

// ListRoleAssignments implements RoleService.
func (s *Roles) ListRoleAssignments(
	ctx context.Context, req *authzv1.ListRoleAssignmentsRequest,
) (*authzv1.ListRoleAssignmentsResponse, error) {
	query := "assignments of " + req.GetOrganization() + " " + req.GetRole()
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	var (
		found []authzcore.Relationship
		size  = page.Size(req.GetPageSize(), standardAssignments)
	)
	err = s.read(ctx, req.GetOrganization(), func(ctx context.Context, tx pgx.Tx) error {
		if _, err := store.FindRole(ctx, tx, req.GetOrganization(), req.GetRole()); err != nil {
			return err
		}
		found, err = store.Assignments(ctx, tx, req.GetOrganization(), role.Object(req.GetRole()), role.Assignee, after, size)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &authzv1.ListRoleAssignmentsResponse{}
	for _, r := range found {
		assignment := &authzv1.RoleAssignment{Subject: r.Subject}
		if r.Terms.Expires != 0 {
			assignment.ExpiresAt = &timestamppb.Timestamp{Seconds: r.Terms.Expires}
		}
		out.Assignments = append(out.Assignments, assignment)
	}
	if len(found) == size {
		out.NextCursor = page.Cursor(query, found[size-1].Subject)
	}
	return out, nil
}
