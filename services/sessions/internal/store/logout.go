package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/logout"
)

// Logout is a row of sessions.logouts.
type Logout struct {
	logout.State

	ID, User, Session, Client string
	// Issuer is who gave the client what it was given, as https://id.example.com.
	Issuer     string
	HomeRegion string
	ExpiresAt  time.Time
}

const logoutColumns = `logout_id, user_id, session_id, client_id, issuer, state, attempts, next_at, last_status, last_error,
 home_region, created_at, expires_at`

// PutParty notes that a client was given something in a session. By the primary key.
func PutParty(ctx context.Context, tx pgx.Tx, g Grant, sessionEnds time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO sessions.parties (session_id, client_id, issuer, user_id, home_region, expires_at)
		 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (session_id, client_id, issuer) DO NOTHING`,
		g.Session, g.Client, g.Issuer, g.User, g.HomeRegion, sessionEnds)
	if err != nil {
		return fmt.Errorf("put party: %w", err)
	}
	return nil
}

// InsertLogouts writes a row for each client that was given something in a session that
// ends, and is to be told. The grants count too, whatever became of them: those that a
// process of an earlier version gave are noted nowhere else. By the primary keys and the
// index grants_user.
func InsertLogouts(ctx context.Context, tx pgx.Tx, user, session, homeRegion string, at time.Time) error {
	rows, err := tx.Query(ctx,
		`SELECT p.client_id, p.issuer FROM (
		   SELECT client_id, issuer FROM sessions.parties WHERE session_id = $1
		   UNION SELECT client_id, issuer FROM sessions.grants WHERE user_id = $2 AND session_id = $1
		 ) p JOIN sessions.clients c ON c.client_id = p.client_id
		 WHERE coalesce(c.settings->>'backchannelLogoutUri', '') <> '' ORDER BY p.client_id, p.issuer`, session, user)
	if err != nil {
		return fmt.Errorf("find parties: %w", err)
	}
	batch, first := &pgx.Batch{}, logout.New(at)
	var client, issuer string
	_, err = pgx.ForEachRow(rows, []any{&client, &issuer}, func() error {
		batch.Queue(`INSERT INTO sessions.logouts (`+logoutColumns+`) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, 0, '', $8, $9, $10)`,
			id.New(id.Logout), user, session, client, issuer, first.Status, first.NextAt, homeRegion, first.CreatedAt, at.Add(logout.Retention))
		return nil
	})
	if err != nil {
		return fmt.Errorf("find parties: %w", err)
	}
	batch.Queue(`DELETE FROM sessions.parties WHERE session_id = $1`, session)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("insert logouts: %w", err)
	}
	return nil
}

// ClaimLogouts takes up to limit logouts of a home region that are due, the longest due
// first, by the index logouts_due: each begins an attempt, and nobody else takes it
// until then. Those of the clients in except are left, and those that others take now.
// One statement of its own.
func ClaimLogouts(ctx context.Context, db *sqldb.DB, homeRegion string, at, until time.Time, except []string, limit int) ([]Logout, error) {
	rows, err := db.Pool().Query(ctx,
		`WITH due AS MATERIALIZED (
		   SELECT logout_id FROM sessions.logouts WHERE state = 1 AND home_region = $1 AND next_at <= $2
		     AND NOT (client_id = ANY (coalesce($4::TEXT[], ARRAY[]::TEXT[])))
		   ORDER BY next_at LIMIT $5 FOR UPDATE SKIP LOCKED)
		 UPDATE sessions.logouts SET attempts = attempts + 1, next_at = $3
		 WHERE state = 1 AND home_region = $1 AND next_at <= $2 AND logout_id IN (SELECT logout_id FROM due)
		 RETURNING `+logoutColumns, homeRegion, at, until, except, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	return collectLogouts(rows)
}

// EndAttempt writes what came of an attempt, unless another has begun meanwhile: then
// only that the client was told. By the primary key, in one statement of its own.
func EndAttempt(ctx context.Context, db *sqldb.DB, l Logout) error {
	_, err := db.Pool().Exec(ctx,
		`UPDATE sessions.logouts SET state = $3, next_at = $4, last_status = $5, last_error = $6
		 WHERE logout_id = $1 AND state = 1 AND (attempts = $2 OR $7)`,
		l.ID, int64(l.Attempts), l.Status, l.NextAt, int64(l.Last.Status), string(l.Last.Missing), l.Status == logout.Delivered)
	return sqldb.Unavailable(err)
}

// OldestLogout is when the logout was written that waits longest in a home region, by
// the index logouts_waiting; false: none waits.
func OldestLogout(ctx context.Context, db *sqldb.DB, homeRegion string) (at time.Time, waits bool, err error) {
	err = db.Pool().QueryRow(ctx, `SELECT created_at FROM sessions.logouts WHERE state = 1 AND home_region = $1 ORDER BY created_at LIMIT 1`,
		homeRegion).Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, false, nil
	}
	return at, err == nil, sqldb.Unavailable(err)
}

// ListLogouts reads up to limit logouts of a user, newest first, from before an id, ""
// for the newest, by the index logouts_user.
func ListLogouts(ctx context.Context, q sqldb.Querier, user, before string, limit int) ([]Logout, error) {
	rows, err := q.Query(ctx, `SELECT `+logoutColumns+` FROM sessions.logouts
		 WHERE user_id = $1 AND ($2 = '' OR logout_id < $2) ORDER BY logout_id DESC LIMIT $3`, user, before, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	return collectLogouts(rows)
}

func collectLogouts(rows pgx.Rows) ([]Logout, error) {
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l Logout, err error) {
		var attempts, status int64
		var missing string
		err = row.Scan(&l.ID, &l.User, &l.Session, &l.Client, &l.Issuer, &l.Status, &attempts, &l.NextAt, &status, &missing,
			&l.HomeRegion, &l.CreatedAt, &l.ExpiresAt)
		l.Attempts, l.Last = uint32(attempts), logout.Answer{Status: int(status), Missing: logout.Missing(missing)}
		return l, err
	})
	return out, sqldb.Unavailable(err)
}
