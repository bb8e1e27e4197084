package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/credential"
)

// Ceremony is a row of identity.ceremonies. Its state is sealed.
type Ceremony struct {
	ID         string
	User       string
	Kind       credential.Kind
	State      []byte
	Attempts   int
	HomeRegion string
	ExpiresAt  time.Time
}

// InsertCeremony writes a new ceremony.
func InsertCeremony(ctx context.Context, tx pgx.Tx, c Ceremony) error {
	return execute(ctx, tx, "insert ceremony", `INSERT INTO identity.ceremonies (ceremony_id, user_id, kind, state, attempts, home_region, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)`, c.ID, c.User, int16(c.Kind), c.State, c.Attempts, c.HomeRegion, c.ExpiresAt)
}

// FindCeremony reads a user's ceremony by the primary key.
//
// Errors: AUTHENTICATION_ENDED for one that is absent, another user's, of another
// kind, over or used up.
func FindCeremony(ctx context.Context, q sqldb.Querier, id, user string, kind credential.Kind, at time.Time) (Ceremony, error) {
	c := Ceremony{ID: id, User: user, Kind: kind}
	err := q.QueryRow(ctx, `SELECT state, attempts, home_region, expires_at FROM identity.ceremonies
WHERE ceremony_id = $1 AND user_id = $2 AND kind = $3`, id, user, int16(kind)).Scan(&c.State, &c.Attempts, &c.HomeRegion, &c.ExpiresAt)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return c, authentication.Ended()
	case err != nil:
		return c, sqldb.Unavailable(err)
	case c.Attempts <= 0, !at.Before(c.ExpiresAt):
		return c, authentication.Ended()
	}
	return c, nil
}

// TryCeremony counts a try to finish a ceremony that failed.
func TryCeremony(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, `UPDATE identity.ceremonies SET attempts = attempts - 1 WHERE ceremony_id = $1 AND attempts > 0`, id)
	return closed(err, "try ceremony")
}

// FinishCeremony removes a ceremony, and says whether it was there: one call
// finishes it.
func FinishCeremony(ctx context.Context, tx pgx.Tx, id string) (bool, error) {
	tag, err := tx.Exec(ctx, `DELETE FROM identity.ceremonies WHERE ceremony_id = $1`, id)
	return tag.RowsAffected() == 1, closed(err, "finish ceremony")
}
