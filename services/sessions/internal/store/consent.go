package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// Consent is a row of sessions.consents: what a user agreed to for a client, in an
// organization or, for "", in none.
type Consent struct {
	User, Client, Organization string
	Scopes, Resources          []string
	HomeRegion                 string
	GivenAt                    time.Time
}

// PutConsent writes what a user agreed to, all of it.
func PutConsent(ctx context.Context, tx pgx.Tx, c Consent) error {
	_, err := tx.Exec(ctx, `INSERT INTO sessions.consents (user_id, client_id, organization_id, scopes, resources, home_region, given_at)
		 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_id, client_id, organization_id)
		 DO UPDATE SET scopes = excluded.scopes, resources = excluded.resources, given_at = excluded.given_at`,
		c.User, c.Client, c.Organization, words(c.Scopes), words(c.Resources), c.HomeRegion, c.GivenAt)
	if err != nil {
		return fmt.Errorf("put consent: %w", err)
	}
	return nil
}

// ListConsents reads what a user agreed to for a client, by a prefix of the primary key:
// as much as there are organizations for which the user did.
func ListConsents(ctx context.Context, q sqldb.Querier, user, client string) ([]Consent, error) {
	rows, err := q.Query(ctx, `SELECT organization_id, scopes, resources, home_region, given_at FROM sessions.consents
		 WHERE user_id = $1 AND client_id = $2`, user, client)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Consent, error) {
		c := Consent{User: user, Client: client}
		var scopes, resources string
		err := row.Scan(&c.Organization, &scopes, &resources, &c.HomeRegion, &c.GivenAt)
		c.Scopes, c.Resources = strings.Fields(scopes), strings.Fields(resources)
		return c, err //nolint:wrapcheck // wrapped below
	})
	return out, sqldb.Unavailable(err)
}

// DeleteConsent removes what a user agreed to for a client in an organization, and says
// whether there was something.
func DeleteConsent(ctx context.Context, tx pgx.Tx, user, client, organization string) (bool, error) {
	tag, err := tx.Exec(ctx, `DELETE FROM sessions.consents WHERE user_id = $1 AND client_id = $2 AND organization_id = $3`, user, client, organization)
	if err != nil {
		return false, fmt.Errorf("delete consent: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}
