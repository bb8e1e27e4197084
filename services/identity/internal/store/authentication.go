package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
)

// Authentication is a row of identity.authentications. Its state is sealed.
type Authentication struct {
	ID         string
	SecretHash []byte
	State      []byte
	HomeRegion string
	ExpiresAt  time.Time
}

// InsertAuthentication writes a new authentication.
func InsertAuthentication(ctx context.Context, tx pgx.Tx, a Authentication) error {
	return execute(ctx, tx, "insert authentication",
		`INSERT INTO identity.authentications (authentication_id, secret_hash, state, home_region, expires_at) VALUES ($1, $2, $3, $4, $5)`,
		a.ID, a.SecretHash, a.State, a.HomeRegion, a.ExpiresAt)
}

const selectAuthentication = `SELECT authentication_id, secret_hash, state, home_region, expires_at
FROM identity.authentications WHERE authentication_id = $1`

// FindAuthentication reads an authentication by the primary key.
//
// Errors: AUTHENTICATION_ENDED for one that is absent.
func FindAuthentication(ctx context.Context, q sqldb.Querier, id string) (Authentication, error) {
	a, err := scanAuthentication(q.QueryRow(ctx, selectAuthentication, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return a, authentication.Ended()
	}
	return a, sqldb.Unavailable(err)
}

// lockAuthentication finds the row as the conflict of an insert, which locks no page
// of an index (see package eventlog). What it inserts is nobody's.
const lockAuthentication = `INSERT INTO identity.authentications AS a (authentication_id, secret_hash, state, home_region, expires_at)
VALUES ($1, '', '', '', 'epoch') ON CONFLICT (authentication_id) DO UPDATE SET home_region = a.home_region
RETURNING a.authentication_id, a.secret_hash, a.state, a.home_region, a.expires_at`

// LockAuthentication reads an authentication and locks its row to the end of the
// transaction.
//
// Errors: AUTHENTICATION_ENDED for one that is absent; the transaction must be rolled
// back then.
func LockAuthentication(ctx context.Context, tx pgx.Tx, id string) (Authentication, error) {
	a, err := scanAuthentication(tx.QueryRow(ctx, lockAuthentication, id))
	switch {
	case err != nil:
		return a, closed(err, "lock authentication")
	case len(a.SecretHash) == 0:
		return a, authentication.Ended()
	}
	return a, nil
}

func scanAuthentication(row pgx.Row) (Authentication, error) {
	var a Authentication
	err := row.Scan(&a.ID, &a.SecretHash, &a.State, &a.HomeRegion, &a.ExpiresAt)
	return a, err
}

// UpdateAuthentication writes the state of an authentication whose row is locked: so
// it never inserts.
func UpdateAuthentication(ctx context.Context, tx pgx.Tx, a Authentication) error {
	return execute(ctx, tx, "update authentication",
		`INSERT INTO identity.authentications (authentication_id, secret_hash, state, home_region, expires_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (authentication_id) DO UPDATE SET state = excluded.state, expires_at = excluded.expires_at`,
		a.ID, a.SecretHash, a.State, a.HomeRegion, a.ExpiresAt)
}

// DeleteAuthentication removes an authentication that is finished.
func DeleteAuthentication(ctx context.Context, tx pgx.Tx, id string) error {
	return execute(ctx, tx, "delete authentication", `DELETE FROM identity.authentications WHERE authentication_id = $1`, id)
}

const (
	sweepAuthentications = `DELETE FROM identity.authentications WHERE expires_at <= $1 AND authentication_id IN (
  SELECT authentication_id FROM identity.authentications WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`
	sweepCeremonies = `DELETE FROM identity.ceremonies WHERE expires_at <= $1 AND ceremony_id IN (
  SELECT ceremony_id FROM identity.ceremonies WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`
	sweepThrottles = `DELETE FROM identity.throttles WHERE updated_at <= $1 AND blocked_until <= $1 AND bucket IN (
  SELECT bucket FROM identity.throttles WHERE updated_at <= $1 AND blocked_until <= $1 ORDER BY updated_at LIMIT $2)`
)

// SweepAuthentications deletes up to limit rows of each table that have expired, or
// have counted nothing for ThrottleLife, the oldest first. more says that there may
// be others.
func SweepAuthentications(ctx context.Context, q *sqldb.DB, at time.Time, limit int) (deleted int64, more bool, err error) {
	for statement, before := range map[string]time.Time{
		sweepAuthentications: at, sweepCeremonies: at, sweepThrottles: at.Add(-ThrottleLife),
	} {
		tag, err := q.Pool().Exec(ctx, statement, before, limit)
		if err != nil {
			return deleted, false, sqldb.Unavailable(err)
		}
		deleted += tag.RowsAffected()
		more = more || tag.RowsAffected() == int64(limit)
	}
	return deleted, more, nil
}
