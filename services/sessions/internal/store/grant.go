package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
)

// Grant is a row of sessions.grants.
type Grant struct {
	grant.State

	Organization string
	// Issuer is who gave it, as https://id.example.com.
	Issuer            string
	Scopes, Resources []string
	// Nonce, ACR, AMR and AuthenticatedAt are what its ID tokens say.
	Nonce           string
	ACR             string
	AMR             []string
	AuthenticatedAt time.Time
	// Salt is what its code and refresh tokens are made of.
	Salt grant.Salt
	// Standalone: it outlives its session.
	Standalone bool
	HomeRegion string
}

const grantColumns = `grant_id, user_id, session_id, client_id, organization_id, issuer, scopes, resources, status, issued_at, expires_at,
 redirect_uri, challenge, nonce, acr, amr, authenticated_at, key_thumbprint, salt, refreshable, standalone, generation, rotated_at,
 idle_seconds, grace_seconds, home_region`

// InsertGrant writes a new grant.
func InsertGrant(ctx context.Context, tx pgx.Tx, g Grant) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO sessions.grants (`+grantColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
		 $18, $19, $20, $21, $22, $23, $24, $25, $26)`,
		g.ID, g.User, g.Session, g.Client, g.Organization, g.Issuer, words(g.Scopes), words(g.Resources), g.Status, g.IssuedAt, g.ExpiresAt,
		g.RedirectURI, g.Challenge, g.Nonce, g.ACR, words(g.AMR), g.AuthenticatedAt, g.Key, g.Salt[:], g.Refreshable, g.Standalone,
		int64(g.Generation), g.RotatedAt, int64(g.Idle/time.Second), int64(g.Grace/time.Second), g.HomeRegion)
	if err != nil {
		return fmt.Errorf("insert grant: %w", err)
	}
	return nil
}

// swapGrant moves a grant on, if it is still as it was read.
const swapGrant = `UPDATE sessions.grants SET status = $2, generation = $3, rotated_at = $4, key_thumbprint = $5, grace_seconds = $6
 WHERE grant_id = $1 AND status = $7 AND generation = $8`

// SwapGrant writes what a use made of a grant, in one statement of its own, unless
// another use was faster: then it says false, and the grant is to be read again.
func SwapGrant(ctx context.Context, db *sqldb.DB, before, after grant.State) (swapped bool, err error) {
	tag, err := db.Pool().Exec(ctx, swapGrant, before.ID, after.Status, int64(after.Generation), after.RotatedAt, after.Key,
		int64(after.Grace/time.Second), before.Status, int64(before.Generation))
	if err != nil {
		return false, sqldb.Unavailable(err)
	}
	return tag.RowsAffected() == 1, nil
}

// RevokeGrants marks grants that are live as revoked and returns their ids, in order.
// Some are those of a session, of a client or by their own id.
func RevokeGrants(ctx context.Context, tx pgx.Tx, user string, which GrantsOf) ([]Grant, error) {
	rows, err := tx.Query(ctx,
		`UPDATE sessions.grants SET status = 3 WHERE user_id = $1 AND status <> 3 AND ($2 = '' OR session_id = $2) AND ($3 = '' OR grant_id = $3)
		 AND ($4 = '' OR client_id = $4) AND ($5 = '' OR organization_id = $5) AND NOT (standalone AND $6)
		 RETURNING `+grantColumns, user, which.Session, which.ID, which.Client, which.Organization, which.Dependent)
	if err != nil {
		return nil, fmt.Errorf("revoke grants: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Grant, error) { return scanGrant(row) })
	if err != nil {
		return nil, fmt.Errorf("revoke grants: %w", err)
	}
	return out, nil
}

// GrantsOf says which grants of a user; what is empty is any.
type GrantsOf struct {
	ID, Session, Client, Organization string
	// Dependent: only those that end with their session.
	Dependent bool
}

// FindGrant reads a grant by the primary key.
//
// Errors: NOT_FOUND.
func FindGrant(ctx context.Context, q sqldb.Querier, id string) (Grant, error) {
	g, err := scanGrant(q.QueryRow(ctx, `SELECT `+grantColumns+` FROM sessions.grants WHERE grant_id = $1`, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return Grant{}, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such grant")
	}
	return g, sqldb.Unavailable(err)
}

// ListGrants reads up to limit live grants of a user whose code was used, newest
// first, from before an id, "" for the newest, by the index grants_user.
func ListGrants(ctx context.Context, q sqldb.Querier, user, before string, at time.Time, limit int) ([]Grant, error) {
	rows, err := q.Query(ctx, `SELECT `+grantColumns+` FROM sessions.grants
		 WHERE user_id = $1 AND ($2 = '' OR grant_id < $2) AND status = 2 AND expires_at > $3 ORDER BY grant_id DESC LIMIT $4`, user, before, at, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Grant, error) { return scanGrant(row) })
	return out, sqldb.Unavailable(err)
}

func scanGrant(row pgx.Row) (Grant, error) {
	var g Grant
	var scopes, resources, amr string
	var salt []byte
	var generation, idle, grace int64
	err := row.Scan(&g.ID, &g.User, &g.Session, &g.Client, &g.Organization, &g.Issuer, &scopes, &resources, &g.Status, &g.IssuedAt, &g.ExpiresAt,
		&g.RedirectURI, &g.Challenge, &g.Nonce, &g.ACR, &amr, &g.AuthenticatedAt, &g.Key, &salt, &g.Refreshable, &g.Standalone,
		&generation, &g.RotatedAt, &idle, &grace, &g.HomeRegion)
	g.Scopes, g.Resources, g.AMR = strings.Fields(scopes), strings.Fields(resources), strings.Fields(amr)
	copy(g.Salt[:], salt)
	g.Generation, g.Idle, g.Grace = uint64(generation), time.Duration(idle)*time.Second, time.Duration(grace)*time.Second
	return g, err
}
