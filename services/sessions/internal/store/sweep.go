package store

import (
	"context"
	"time"

	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// sweeps delete rows that have expired, the oldest first, by the indexes on expires_at.
var sweeps = []string{
	`DELETE FROM sessions.sessions WHERE expires_at <= $1 AND session_id IN (
  SELECT session_id FROM sessions.sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
	`DELETE FROM sessions.grants WHERE expires_at <= $1 AND grant_id IN (
  SELECT grant_id FROM sessions.grants WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
	`DELETE FROM sessions.requests WHERE expires_at <= $1 AND request_hash IN (
  SELECT request_hash FROM sessions.requests WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
	`DELETE FROM sessions.devices WHERE expires_at <= $1 AND device_hash IN (
  SELECT device_hash FROM sessions.devices WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
	`DELETE FROM sessions.used WHERE expires_at <= $1 AND used_hash IN (
  SELECT used_hash FROM sessions.used WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
	`DELETE FROM sessions.parties WHERE expires_at <= $1 AND (session_id, client_id, issuer) IN (
  SELECT session_id, client_id, issuer FROM sessions.parties WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
	`DELETE FROM sessions.logouts WHERE expires_at <= $1 AND logout_id IN (
  SELECT logout_id FROM sessions.logouts WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
}

// Sweep deletes up to limit rows of each table that have expired. more says that there
// may be others.
func Sweep(ctx context.Context, db *sqldb.DB, at time.Time, limit int) (deleted int64, more bool, err error) {
	for _, statement := range sweeps {
		tag, err := db.Pool().Exec(ctx, statement, at, limit)
		if err != nil {
			return deleted, false, sqldb.Unavailable(err)
		}
		deleted += tag.RowsAffected()
		more = more || tag.RowsAffected() == int64(limit)
	}
	return deleted, more, nil
}

// ForgetUser removes all rows of a user, by the indexes on user_id. Clients that are to
// be told of a logout still are: those rows say nothing but ids.
func ForgetUser(ctx context.Context, db *sqldb.DB, user string) error {
	for _, statement := range []string{
		`DELETE FROM sessions.sessions WHERE user_id = $1`,
		`DELETE FROM sessions.grants WHERE user_id = $1`,
		`DELETE FROM sessions.consents WHERE user_id = $1`,
		`DELETE FROM sessions.parties WHERE user_id = $1`,
		`DELETE FROM sessions.logouts WHERE user_id = $1 AND state <> 1`,
	} {
		if _, err := db.Pool().Exec(ctx, statement, user); err != nil {
			return sqldb.Unavailable(err)
		}
	}
	return nil
}
