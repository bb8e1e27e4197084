package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// Consent is a row of sessions.consents: what a user agreed to for a client.
type Consent struct {
	User, Client string
	Scopes       []string
	HomeRegion   string
	GivenAt      time.Time
}

// PutConsent writes what a user agreed to, all of it.
func PutConsent(ctx context.Context, tx pgx.Tx, c Consent) error {
	_, err := tx.Exec(ctx, `INSERT INTO sessions.consents (user_id, client_id, scopes, home_region, given_at) VALUES ($1, $2, $3, $4, $5)
		 ON CONFLICT (user_id, client_id) DO UPDATE SET scopes = excluded.scopes, given_at = excluded.given_at`,
		c.User, c.Client, words(c.Scopes), c.HomeRegion, c.GivenAt)
	if err != nil {
		return fmt.Errorf("put consent: %w", err)
	}
	return nil
}

// FindConsent reads what a user agreed to for a client, nothing where there is no row.
func FindConsent(ctx context.Context, q sqldb.Querier, user, client string) (Consent, error) {
	c := Consent{User: user, Client: client}
	var scopes string
	err := q.QueryRow(ctx, `SELECT scopes, home_region, given_at FROM sessions.consents WHERE user_id = $1 AND client_id = $2`, user, client).
		Scan(&scopes, &c.HomeRegion, &c.GivenAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, nil
	}
	c.Scopes = strings.Fields(scopes)
	return c, sqldb.Unavailable(err)
}

// DeleteConsent removes what a user agreed to for a client, and says whether there was
// something.
func DeleteConsent(ctx context.Context, tx pgx.Tx, user, client string) (bool, error) {
	tag, err := tx.Exec(ctx, `DELETE FROM sessions.consents WHERE user_id = $1 AND client_id = $2`, user, client)
	if err != nil {
		return false, fmt.Errorf("delete consent: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}
