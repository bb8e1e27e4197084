package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Role is a row of authz.roles. Its permissions and assignments are rows of
// authz.relationships.
type Role struct {
	ID, Name, Description string
	CreatedAt, UpdatedAt  time.Time
}

// PutRole writes a role; the time of its creation stays.
func PutRole(ctx context.Context, tx pgx.Tx, organization, homeRegion string, r Role) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO authz.roles (organization_id, role, home_region, name, description, created_at, updated_at)
		 VALUES ($1, $2, $3, $4, $5, $6, $7)
		 ON CONFLICT (organization_id, role) DO UPDATE
		 SET home_region = excluded.home_region, name = excluded.name, description = excluded.description, updated_at = excluded.updated_at`,
		organization, r.ID, homeRegion, r.Name, r.Description, r.CreatedAt, r.UpdatedAt)
	if err != nil {
		return fmt.Errorf("put role: %w", err)
	}
	return nil
}

// DeleteRole removes a role's row.
func DeleteRole(ctx context.Context, tx pgx.Tx, organization, role string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM authz.roles WHERE organization_id = $1 AND role = $2`, organization, role); err != nil {
		return fmt.Errorf("delete role: %w", err)
	}
	return nil
}

// FindRole reads a role.
//
// Errors: NOT_FOUND.
func FindRole(ctx context.Context, q sqldb.Querier, organization, role string) (Role, error) {
	r := Role{ID: role}
	err := q.QueryRow(ctx,
		`SELECT name, description, created_at, updated_at FROM authz.roles WHERE organization_id = $1 AND role = $2`,
		organization, role).Scan(&r.Name, &r.Description, &r.CreatedAt, &r.UpdatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return Role{}, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such role")
	}
	if err != nil {
		return Role{}, fmt.Errorf("find role: %w", err)
	}
	return r, nil
}

// ListRoles reads up to limit roles after one, sorted by id.
func ListRoles(ctx context.Context, q sqldb.Querier, organization, after string, limit int) ([]Role, error) {
	rows, err := q.Query(ctx,
		`SELECT role, name, description, created_at, updated_at FROM authz.roles
		 WHERE organization_id = $1 AND role > $2 ORDER BY role LIMIT $3`, organization, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Role, error) {
		var r Role
		err := row.Scan(&r.ID, &r.Name, &r.Description, &r.CreatedAt, &r.UpdatedAt)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	return out, nil
}

// Permissions reads up to limit relationships whose subjects are the given
// usersets role:id#assignee, sorted, by the index relationships_of_roles.
func Permissions(
	ctx context.Context, q sqldb.Querier, organization string, subjects []string, limit int,
) ([]authzcore.Relationship, error) {
	rows, err := q.Query(ctx,
		`SELECT resource, relation, subject, condition, context, expires_at FROM authz.relationships
		 WHERE organization_id = $1 AND subject = ANY ($2) AND subject LIKE 'role:%#assignee'
		 ORDER BY subject, resource, relation LIMIT $3`, organization, subjects, limit)
	if err != nil {
		return nil, fmt.Errorf("read permissions: %w", err)
	}
	return collect(rows)
}

// Assignments reads up to limit relationships of a resource's relation with
// subjects after one, sorted, by the primary key.
func Assignments(
	ctx context.Context, q sqldb.Querier, organization, resource, relation, after string, limit int,
) ([]authzcore.Relationship, error) {
	rows, err := q.Query(ctx,
		`SELECT resource, relation, subject, condition, context, expires_at FROM authz.relationships
		 WHERE organization_id = $1 AND resource = $2 AND relation = $3 AND subject > $4
		 ORDER BY subject LIMIT $5`, organization, resource, relation, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read assignments: %w", err)
	}
	return collect(rows)
}

func collect(rows pgx.Rows) ([]authzcore.Relationship, error) {
	out, err := pgx.CollectRows(rows, scanRelationship)
	if err != nil {
		return nil, fmt.Errorf("read relationships: %w", err)
	}
	return out, nil
}
