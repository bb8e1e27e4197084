package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
)

// Session is a row of sessions.sessions.
type Session struct {
	session.State

	// Hash is that of the secret in the browser's cookie.
	Hash [32]byte
	// Device is as Firefox on Linux; IP where it was last seen.
	Device, IP string
	HomeRegion string
}

const sessionColumns = `session_id, user_id, acr, amr, authenticated_at, started_at, last_seen_at, expires_at, hash, device, ip, home_region`

// InsertSession writes a new session.
func InsertSession(ctx context.Context, tx pgx.Tx, s Session) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO sessions.sessions (`+sessionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		s.ID, s.User, s.ACR, words(s.AMR), s.AuthenticatedAt, s.StartedAt, s.LastSeenAt, s.ExpiresAt, s.Hash[:], s.Device, s.IP, s.HomeRegion)
	if err != nil {
		return fmt.Errorf("insert session: %w", err)
	}
	return nil
}

// UpdateSession writes what was proved in a session, and the hash: the cookie changes
// with it.
func UpdateSession(ctx context.Context, tx pgx.Tx, s Session) error {
	_, err := tx.Exec(ctx,
		`UPDATE sessions.sessions SET acr = $2, amr = $3, authenticated_at = $4, last_seen_at = $5, hash = $6, device = $7, ip = $8
		 WHERE session_id = $1`,
		s.ID, s.ACR, words(s.AMR), s.AuthenticatedAt, s.LastSeenAt, s.Hash[:], s.Device, s.IP)
	if err != nil {
		return fmt.Errorf("update session: %w", err)
	}
	return nil
}

// SeeSession records that a session was used, by one statement of its own.
func SeeSession(ctx context.Context, db *sqldb.DB, id, device, ip string, at time.Time) error {
	_, err := db.Pool().Exec(ctx, `UPDATE sessions.sessions SET last_seen_at = $2, device = $3, ip = $4
		 WHERE session_id = $1 AND last_seen_at < $2`, id, at, device, ip)
	return sqldb.Unavailable(err)
}

// DeleteSession removes a session that has ended.
func DeleteSession(ctx context.Context, tx pgx.Tx, id string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM sessions.sessions WHERE session_id = $1`, id); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

// FindSession reads a session by the primary key, whether it is live or not.
//
// Errors: NOT_FOUND.
func FindSession(ctx context.Context, q sqldb.Querier, id string) (Session, error) {
	s, err := scanSession(q.QueryRow(ctx, `SELECT `+sessionColumns+` FROM sessions.sessions WHERE session_id = $1`, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return Session{}, session.NotFound()
	}
	return s, sqldb.Unavailable(err)
}

// ListSessions reads up to limit sessions of a user that have not expired, newest
// first, from before an id, "" for the newest, by the index sessions_user.
func ListSessions(ctx context.Context, q sqldb.Querier, user, before string, at time.Time, limit int) ([]Session, error) {
	rows, err := q.Query(ctx, `SELECT `+sessionColumns+` FROM sessions.sessions
		 WHERE user_id = $1 AND ($2 = '' OR session_id < $2) AND expires_at > $3 ORDER BY session_id DESC LIMIT $4`, user, before, at, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Session, error) { return scanSession(row) })
	return out, sqldb.Unavailable(err)
}

// HasSessionsBeyond says whether a user has more sessions than a number of them.
func HasSessionsBeyond(ctx context.Context, q sqldb.Querier, user string, number int) (has bool, err error) {
	err = q.QueryRow(ctx, `SELECT count(*) > $2 FROM (SELECT 1 FROM sessions.sessions WHERE user_id = $1 LIMIT $2 + 1) AS found`, user, number).Scan(&has)
	return has, sqldb.Unavailable(err)
}

func scanSession(row pgx.Row) (Session, error) {
	var s Session
	var amr string
	var hash []byte
	err := row.Scan(&s.ID, &s.User, &s.ACR, &amr, &s.AuthenticatedAt, &s.StartedAt, &s.LastSeenAt, &s.ExpiresAt, &hash, &s.Device, &s.IP, &s.HomeRegion)
	s.AMR = strings.Fields(amr)
	copy(s.Hash[:], hash)
	return s, err
}

// words is how lists of words are kept.
func words(list []string) string { return strings.Join(list, " ") }
