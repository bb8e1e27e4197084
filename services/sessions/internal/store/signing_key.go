package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/signingkey"
)

// SigningKey is a row of sessions.signing_keys.
type SigningKey struct {
	signingkey.State

	// Private is the private key, wrapped; nil once it signs no more.
	Private   []byte
	CreatedAt time.Time
	// InactiveAt is when it stopped to sign; zero: it did not.
	InactiveAt time.Time
}

const signingKeyColumns = `kid, region, algorithm, state, public_jwk, private, created_at, active_at, inactive_at, delete_at, emergency`

// PutSigningKey writes a key, new or changed.
func PutSigningKey(ctx context.Context, tx pgx.Tx, k SigningKey) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO sessions.signing_keys (`+signingKeyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		 ON CONFLICT (kid) DO UPDATE SET state = excluded.state, private = excluded.private, inactive_at = excluded.inactive_at,
		 delete_at = excluded.delete_at, emergency = excluded.emergency`,
		k.KID, k.Region, k.Algorithm, int16(k.Status), k.PublicJWK, k.Private, k.CreatedAt, k.ActiveAt, orNull(k.InactiveAt), orNull(k.DeleteAt), k.Emergency)
	if err != nil {
		return fmt.Errorf("put signing key: %w", err)
	}
	return nil
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// ListSigningKeys reads all keys, oldest first. There are few, in a table that every
// region has.
func ListSigningKeys(ctx context.Context, q sqldb.Querier) ([]SigningKey, error) {
	rows, err := q.Query(ctx, `SELECT `+signingKeyColumns+` FROM sessions.signing_keys ORDER BY created_at, kid`)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (SigningKey, error) {
		var k SigningKey
		var state int16
		var inactive, deleted *time.Time
		err := row.Scan(&k.KID, &k.Region, &k.Algorithm, &state, &k.PublicJWK, &k.Private, &k.CreatedAt, &k.ActiveAt, &inactive, &deleted, &k.Emergency)
		k.Status = signingkey.Status(state)
		if inactive != nil {
			k.InactiveAt = *inactive
		}
		if deleted != nil {
			k.DeleteAt = *deleted
		}
		return k, err
	})
	return out, sqldb.Unavailable(err)
}
