package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/apitoken"
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

func scanToken(row pgx.Row) (APIToken, error) {
	var (
		t     APIToken
		level int32
	)
	err := row.Scan(&t.ID, &t.Hash, &t.Name, &t.Organization, &t.HomeRegion, &level, &t.CreatedAt, &t.ExpiresAt, &t.RevokedAt)
	t.Level, t.Revoked = commonv1.Level(level), t.RevokedAt != nil
	return t, err
}
