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

const organizationColumns = `organization_id, slug, name, home_region, created_at, isolated, state, delete_at,
  password_min_length, password_allow_breached, password_history, require_second_factor, sign_in_methods`

// InsertOrganization writes a new organization.
//
// Errors: ALREADY_EXISTS when the slug is taken.
func InsertOrganization(ctx context.Context, tx pgx.Tx, o Organization) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO identity.organizations (organization_id, slug, name, home_region, created_at, isolated, state)
		 VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		o.ID, o.Slug, o.Name, o.HomeRegion, o.CreatedAt, o.Isolated, int16(o.Status))
	if _, taken := sqldb.UniqueViolation(err); taken {
		return fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "an organization with this slug exists").With("field", "slug")
	}
	if err != nil {
		return fmt.Errorf("insert organization: %w", err)
	}
	return nil
}

// MoveOrganization moves an organization's rows, and those of what it has limited
// numbers of, to a home region. The tokens are found by the index
// api_tokens_organization, the others by the first column of their primary keys.
// Members, and members of groups, stay: there may be millions.
func MoveOrganization(ctx context.Context, tx pgx.Tx, organizationID, homeRegion string) error {
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE identity.organizations SET home_region = $2 WHERE organization_id = $1`, organizationID, homeRegion)
	batch.Queue(`UPDATE identity.api_tokens SET home_region = $2 WHERE organization_id = $1`, organizationID, homeRegion)
	batch.Queue(`UPDATE identity.groups SET home_region = $2 WHERE organization_id = $1`, organizationID, homeRegion)
	batch.Queue(`UPDATE identity.service_accounts SET home_region = $2 WHERE organization_id = $1`, organizationID, homeRegion)
	batch.Queue(`UPDATE identity.invitations SET home_region = $2 WHERE organization_id = $1`, organizationID, homeRegion)
	batch.Queue(`UPDATE identity.counts SET home_region = $2 WHERE organization_id = $1`, organizationID, homeRegion)
	batch.Queue(`UPDATE identity.domains SET home_region = $2 WHERE organization_id = $1`, organizationID, homeRegion)
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

// FindOrganizations reads organizations by the primary key. Who is absent is left
// out.
func FindOrganizations(ctx context.Context, q sqldb.Querier, organizationIDs []string) (map[string]Organization, error) {
	found := make(map[string]Organization, len(organizationIDs))
	if len(organizationIDs) == 0 {
		return found, nil
	}
	rows, err := q.Query(ctx, `SELECT `+organizationColumns+` FROM identity.organizations WHERE organization_id = ANY($1)`, organizationIDs)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	organizations, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Organization, error) { return scanOrganization(row) })
	for _, o := range organizations {
		found[o.ID] = o
	}
	return found, sqldb.Unavailable(err)
}

// UpdateOrganization writes what changes in the life of an organization: name,
// settings, status and when it is deleted.
func UpdateOrganization(ctx context.Context, tx pgx.Tx, s organization.State) error {
	_, err := tx.Exec(ctx,
		`UPDATE identity.organizations SET name = $2, state = $3, delete_at = $4, password_min_length = $5, password_allow_breached = $6,
		   password_history = $7, require_second_factor = $8, sign_in_methods = coalesce($9::TEXT[], ARRAY[]::TEXT[])
		 WHERE organization_id = $1`,
		s.ID, s.Name, int16(s.Status), nullTime(s.DeleteAt), int32(s.Settings.PasswordMinLength), s.Settings.PasswordAllowBreached,
		int32(s.Settings.PasswordHistory), s.Settings.RequireSecondFactor, s.Settings.SignInMethods)
	if err != nil {
		return fmt.Errorf("update organization: %w", err)
	}
	return nil
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Organizations are what a list of organizations is of.
type Organizations struct {
	// Prefix is how slugs begin.
	Prefix string
	// Status is theirs; 0: all but the deleted.
	Status organization.Status
	// After is the slug before the first, or empty.
	After string
}

// ListOrganizations reads up to limit organizations in the order of the bytes of
// their slugs, by the index organizations_listed or organizations_state.
func ListOrganizations(ctx context.Context, q sqldb.Querier, of Organizations, limit int) ([]Organization, error) {
	// No slug has a byte of 0xff.
	from, to := []byte(of.Prefix), append([]byte(of.Prefix), 0xff)
	where, args := `state <> 4`, []any{from, to, []byte(of.After), limit}
	if of.Status != 0 {
		where, args = `state = $5`, append(args, int16(of.Status))
	}
	rows, err := q.Query(ctx,
		`SELECT `+organizationColumns+` FROM identity.organizations
		 WHERE `+where+` AND decode(slug, 'escape') >= $1 AND decode(slug, 'escape') < $2 AND decode(slug, 'escape') > $3
		 ORDER BY decode(slug, 'escape') LIMIT $4`, args...)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Organization, error) { return scanOrganization(row) })
	return out, sqldb.Unavailable(err)
}

// DueOrganizations returns up to limit organizations of a home region that are to
// be deleted by a time, the longest due first, by the index
// organizations_delete_at. Those in except are left out.
func DueOrganizations(
	ctx context.Context, q sqldb.Querier, homeRegion string, at time.Time, except []string, limit int,
) ([]string, error) {
	rows, err := q.Query(ctx,
		`SELECT organization_id FROM identity.organizations
		 WHERE home_region = $1 AND state = 3 AND delete_at <= $2
		   AND NOT (organization_id = ANY (coalesce($4::TEXT[], ARRAY[]::TEXT[])))
		 ORDER BY delete_at LIMIT $3`, homeRegion, at, limit, except)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return due, sqldb.Unavailable(err)
}

func scanOrganization(row pgx.Row) (Organization, error) {
	var (
		o               Organization
		status          int16
		deleteAt        *time.Time
		length, history int32
	)
	err := row.Scan(&o.ID, &o.Slug, &o.Name, &o.HomeRegion, &o.CreatedAt, &o.Isolated, &status, &deleteAt,
		&length, &o.Settings.PasswordAllowBreached, &history, &o.Settings.RequireSecondFactor, &o.Settings.SignInMethods)
	o.Status, o.Settings.PasswordMinLength, o.Settings.PasswordHistory = organization.Status(status), uint32(length), uint32(history)
	if deleteAt != nil {
		o.DeleteAt = deleteAt.UTC()
	}
	return o, err
}
