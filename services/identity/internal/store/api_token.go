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
	// LastUsedAt is when it was last verified, to five minutes; nil: never.
	LastUsedAt *time.Time
}

const tokenColumns = `token_id, hash, name, organization_id, home_region, level, created_at, expires_at, revoked_at,
  service_account, scopes, replaces, last_used_at`

// InsertAPIToken writes a new token.
func InsertAPIToken(ctx context.Context, tx pgx.Tx, t APIToken) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO identity.api_tokens
		   (token_id, hash, name, organization_id, home_region, level, created_at, expires_at, service_account, scopes, replaces)
		 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10::TEXT[], ARRAY[]::TEXT[]), $11)`,
		t.ID, t.Hash, t.Name, t.Organization, t.HomeRegion, int32(t.Level), t.CreatedAt, t.ExpiresAt,
		t.ServiceAccount, []string(t.Scopes), t.Replaces)
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

// ExpireAPIToken sets when a token expires.
func ExpireAPIToken(ctx context.Context, tx pgx.Tx, token string, at time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE identity.api_tokens SET expires_at = $2 WHERE token_id = $1`, token, at)
	if err != nil {
		return fmt.Errorf("expire api token: %w", err)
	}
	return nil
}

// RotationLives says whether, at a time, the token lives whose place one took, or one
// that took its place, by the primary key and the index api_tokens_replaces.
func RotationLives(ctx context.Context, tx pgx.Tx, t apitoken.State, at time.Time) (lives bool, err error) {
	err = tx.QueryRow(ctx,
		`SELECT EXISTS (SELECT 1 FROM identity.api_tokens WHERE token_id = $1 AND revoked_at IS NULL AND expires_at > $4)
		   OR EXISTS (SELECT 1 FROM identity.api_tokens
		     WHERE organization_id = $2 AND replaces = $3 AND replaces <> '' AND revoked_at IS NULL AND expires_at > $4)`,
		t.Replaces, t.Organization, t.ID, at).Scan(&lives)
	if err != nil {
		return false, fmt.Errorf("read rotation: %w", err)
	}
	return lives, nil
}

// RevokeTokensOfAccount marks the tokens of a service account revoked and returns
// which, by the index api_tokens_account.
func RevokeTokensOfAccount(ctx context.Context, tx pgx.Tx, organization, account string, at time.Time) ([]string, error) {
	return revoked(tx.Query(ctx,
		`UPDATE identity.api_tokens SET revoked_at = $3
		 WHERE organization_id = $1 AND service_account = $2 AND service_account <> '' AND revoked_at IS NULL
		 RETURNING token_id`, organization, account, at))
}

// RevokeTokensOf marks up to limit tokens of an organization revoked, in the order
// of their ids, and returns which, by the index api_tokens_unrevoked.
func RevokeTokensOf(ctx context.Context, tx pgx.Tx, organization string, limit int, at time.Time) ([]string, error) {
	return revoked(tx.Query(ctx,
		`UPDATE identity.api_tokens SET revoked_at = $3 WHERE token_id IN (
		   SELECT token_id FROM identity.api_tokens
		   WHERE organization_id = $1 AND revoked_at IS NULL ORDER BY token_id LIMIT $2)
		 RETURNING token_id`, organization, limit, at))
}

func revoked(rows pgx.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, fmt.Errorf("revoke tokens: %w", err)
	}
	tokens, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("revoke tokens: %w", err)
	}
	slices.Sort(tokens)
	return tokens, nil
}

// MarkTokensUsed writes when tokens were last used, where that is five minutes or more
// after what is written.
func MarkTokensUsed(ctx context.Context, q sqldb.Querier, tokens []string, at []time.Time) error {
	_, err := q.Exec(ctx,
		`UPDATE identity.api_tokens t SET last_used_at = u.used_at
		 FROM unnest($1::TEXT[], $2::TIMESTAMPTZ[]) AS u (token_id, used_at)
		 WHERE t.token_id = u.token_id AND (t.last_used_at IS NULL OR t.last_used_at <= u.used_at - INTERVAL '5 minutes')`, tokens, at)
	return sqldb.Unavailable(err)
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

// TokenOwner is whose a token is.
type TokenOwner struct {
	// Status is the organization's. The platform is active.
	Status organization.Status
	// Disabled says that there is a service account, and that it is disabled or gone.
	Disabled bool
}

// FindTokenAndOwner reads one token with whose it is, by three primary keys.
//
// Errors: NOT_FOUND.
func FindTokenAndOwner(ctx context.Context, q sqldb.Querier, token string) (APIToken, TokenOwner, error) {
	var (
		status int16
		owner  TokenOwner
	)
	t, err := scanToken(q.QueryRow(ctx,
		`SELECT `+tokenColumns+`,
		   coalesce((SELECT o.state FROM identity.organizations o WHERE o.organization_id = t.organization_id), $2::INT2),
		   t.service_account <> '' AND coalesce((SELECT a.disabled FROM identity.service_accounts a
		     WHERE a.organization_id = t.organization_id AND a.service_account_id = t.service_account), true)
		 FROM identity.api_tokens t WHERE token_id = $1`, token, int16(organization.Active)), &status, &owner.Disabled)
	if errors.Is(err, pgx.ErrNoRows) {
		return APIToken{}, TokenOwner{}, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such token")
	}
	owner.Status = organization.Status(status)
	return t, owner, sqldb.Unavailable(err)
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
		t      APIToken
		level  int32
		scopes []string
	)
	err := row.Scan(append([]any{
		&t.ID, &t.Hash, &t.Name, &t.Organization, &t.HomeRegion, &level, &t.CreatedAt, &t.ExpiresAt, &t.RevokedAt,
		&t.ServiceAccount, &scopes, &t.Replaces, &t.LastUsedAt,
	}, more...)...)
	t.Level, t.Revoked, t.Scopes = commonv1.Level(level), t.RevokedAt != nil, scopes
	return t, err
}
