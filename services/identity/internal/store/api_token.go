package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/apitoken"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
)

// APIToken is a row of identity.api_tokens.
type APIToken struct {
	apitoken.State
	Hash       []byte
	HomeRegion string
	CreatedAt  time.Time
	RevokedAt  *time.Time
}

const tokenColumns = `token_id, hash, name, organization_id, home_region, level, created_at, expires_at, revoked_at`

// InsertAPIToken writes a new token.
func InsertAPIToken(ctx context.Context, tx pgx.Tx, t APIToken) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO identity.api_tokens (token_id, hash, name, organization_id, home_region, level, created_at, expires_at)
		 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		t.ID, t.Hash, t.Name, t.Organization, t.HomeRegion, int32(t.Level), t.CreatedAt, t.ExpiresAt)
	if err != nil {
		return fmt.Errorf("insert api token: %w", err)
	}
	return nil
}

// RevokeAPIToken marks a token revoked.
func RevokeAPIToken(ctx context.Context, tx pgx.Tx, token string, at time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE identity.api_tokens SET revoked_at = $2 WHERE token_id = $1 AND revoked_at IS NULL`, token, at)
	if err != nil {
		return fmt.Errorf("revoke api token: %w", err)
	}
	return nil
}

// RevokeTokensOf marks up to limit tokens of an organization revoked, in the order
// of their ids, and returns which, by the index api_tokens_unrevoked.
func RevokeTokensOf(ctx context.Context, tx pgx.Tx, organization string, limit int, at time.Time) ([]string, error) {
	rows, err := tx.Query(ctx,
		`UPDATE identity.api_tokens SET revoked_at = $3 WHERE token_id IN (
		   SELECT token_id FROM identity.api_tokens
		   WHERE organization_id = $1 AND revoked_at IS NULL ORDER BY token_id LIMIT $2)
		 RETURNING token_id`, organization, limit, at)
	if err != nil {
		return nil, fmt.Errorf("revoke tokens: %w", err)
	}
	revoked, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("revoke tokens: %w", err)
	}
	slices.Sort(revoked)
	return revoked, nil
}

// FindAPIToken reads one token by its primary key.
//
// Errors: NOT_FOUND.
func FindAPIToken(ctx context.Context, q sqldb.Querier, token string) (APIToken, error) {
	t, err := scanToken(q.QueryRow(ctx, `SELECT `+tokenColumns+` FROM identity.api_tokens WHERE token_id = $1`, token))
	if errors.Is(err, pgx.ErrNoRows) {
		return APIToken{}, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such token")
	}
	return t, sqldb.Unavailable(err)
}

// FindTokenAndOwner reads one token with the status of its organization, by two
// primary keys. The platform is active.
//
// Errors: NOT_FOUND.
func FindTokenAndOwner(ctx context.Context, q sqldb.Querier, token string) (APIToken, organization.Status, error) {
	var status int16
	t, err := scanToken(q.QueryRow(ctx,
		`SELECT `+tokenColumns+`, coalesce((SELECT o.state FROM identity.organizations o WHERE o.organization_id = t.organization_id), $2::INT2)
		 FROM identity.api_tokens t WHERE token_id = $1`, token, int16(organization.Active)), &status)
	if errors.Is(err, pgx.ErrNoRows) {
		return APIToken{}, 0, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such token")
	}
	return t, organization.Status(status), sqldb.Unavailable(err)
}

// ListAPITokens reads up to limit tokens of an organization ("" is the
// platform) before a token id, newest first, by the index
// api_tokens_organization. An empty before starts at the newest.
func ListAPITokens(ctx context.Context, q sqldb.Querier, organization, before string, limit int) ([]APIToken, error) {
	rows, err := q.Query(ctx,
		`SELECT `+tokenColumns+` FROM identity.api_tokens
		 WHERE organization_id = $1 AND ($2 = '' OR token_id < $2) ORDER BY token_id DESC LIMIT $3`,
		organization, before, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (APIToken, error) { return scanToken(row) })
	return out, sqldb.Unavailable(err)
}

func scanToken(row pgx.Row, more ...any) (APIToken, error) {
	var (
		t     APIToken
		level int32
	)
	err := row.Scan(append([]any{
		&t.ID, &t.Hash, &t.Name, &t.Organization, &t.HomeRegion, &level, &t.CreatedAt, &t.ExpiresAt, &t.RevokedAt,
	}, more...)...)
	t.Level, t.Revoked = commonv1.Level(level), t.RevokedAt != nil
	return t, err
}
