package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// Kind is a kind of thing that an organization has a limited number of.
type Kind string

// The kinds.
const (
	Groups          Kind = "groups"
	Nestings        Kind = "nestings" // groups in groups
	ServiceAccounts Kind = "service_accounts"
	Domains         Kind = "domains"
	Invitations     Kind = "invitations" // pending ones
)

// Count adds to the number of things of a kind that an organization has, and
// returns what it is then. Adding 0 reads it. As an upsert it locks no neighbors
// on PostgreSQL.
func Count(ctx context.Context, tx pgx.Tx, organization, homeRegion string, kind Kind, add int) (number int64, err error) {
	err = tx.QueryRow(ctx,
		`INSERT INTO identity.counts AS c (organization_id, kind, number, home_region) VALUES ($1, $2, $3, $4)
		 ON CONFLICT (organization_id, kind) DO UPDATE SET number = c.number + excluded.number, home_region = excluded.home_region
		 RETURNING number`,
		organization, string(kind), add, homeRegion).Scan(&number)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", kind, err)
	}
	return number, nil
}

// countLess takes from the number of things of a kind of which there are some.
func countLess(ctx context.Context, tx pgx.Tx, organization string, kind Kind, less int) error {
	_, err := tx.Exec(ctx,
		`UPDATE identity.counts SET number = number - $3 WHERE organization_id = $1 AND kind = $2`, organization, string(kind), less)
	if err != nil {
		return fmt.Errorf("count %s: %w", kind, err)
	}
	return nil
}

// compareCount says how the number of a kind differs from what the log says, ""
// when it does not. No row is 0.
func compareCount(ctx context.Context, q sqldb.Querier, organization string, kind Kind, want int) (string, error) {
	var number int64
	err := q.QueryRow(ctx,
		`SELECT coalesce((SELECT number FROM identity.counts WHERE organization_id = $1 AND kind = $2), 0)`,
		organization, string(kind)).Scan(&number)
	if err != nil {
		return "", sqldb.Unavailable(err)
	}
	if number != int64(want) {
		return fmt.Sprintf("%d %s counted, log says %d", number, kind, want), nil
	}
	return "", nil
}
