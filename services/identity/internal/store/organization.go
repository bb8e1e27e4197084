// Package store keeps the identity service's state rows.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
)

// Organization is a row of identity.organizations.
type Organization struct {
	organization.State
	CreatedAt time.Time
}

const organizationColumns = `organization_id, slug, name, home_region, created_at`

// InsertOrganization writes a new organization.
//
// Errors: ALREADY_EXISTS when the slug is taken.
func InsertOrganization(ctx context.Context, tx pgx.Tx, o Organization) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO identity.organizations (organization_id, slug, name, home_region, created_at) VALUES ($1, $2, $3, $4, $5)`,
		o.ID, o.Slug, o.Name, o.HomeRegion, o.CreatedAt)
	if _, taken := sqldb.UniqueViolation(err); taken {
		return fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "an organization with this slug exists").With("field", "slug")
	}
	if err != nil {
		return fmt.Errorf("insert organization: %w", err)
	}
	return nil
}

// MoveOrganization moves an organization's rows, its tokens with it, to a home
// region. The tokens are found by the index api_tokens_organization.
func MoveOrganization(ctx context.Context, tx pgx.Tx, organizationID, homeRegion string) error {
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE identity.organizations SET home_region = $2 WHERE organization_id = $1`, organizationID, homeRegion)
	batch.Queue(`UPDATE identity.api_tokens SET home_region = $2 WHERE organization_id = $1`, organizationID, homeRegion)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("move organization: %w", err)
	}
	return nil
}

// FindOrganization reads one organization by its primary key.
//
// Errors: NOT_FOUND.
func FindOrganization(ctx context.Context, q sqldb.Querier, organizationID string) (Organization, error) {
	row := q.QueryRow(ctx, `SELECT `+organizationColumns+` FROM identity.organizations WHERE organization_id = $1`, organizationID)
	o, err := scanOrganization(row)
	if errors.Is(err, pgx.ErrNoRows) {
		return Organization{}, principal.OrganizationNotFound()
	}
	return o, sqldb.Unavailable(err)
}

// ListOrganizations reads up to limit organizations after a slug, by the index
// organizations_slug.
func ListOrganizations(ctx context.Context, q sqldb.Querier, after string, limit int) ([]Organization, error) {
	rows, err := q.Query(ctx, `SELECT `+organizationColumns+` FROM identity.organizations WHERE slug > $1 ORDER BY slug LIMIT $2`, after, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Organization, error) { return scanOrganization(row) })
	return out, sqldb.Unavailable(err)
}

func scanOrganization(row pgx.Row) (Organization, error) {
	var o Organization
	err := row.Scan(&o.ID, &o.Slug, &o.Name, &o.HomeRegion, &o.CreatedAt)
	return o, err
}
