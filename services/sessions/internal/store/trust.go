package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/trust"
)

// Trust is a row of sessions.trusts.
type Trust struct {
	trust.State

	HomeRegion string
	CreatedAt  time.Time
}

const trustColumns = `trust_id, organization_id, settings, home_region, created_at`

// FindTrust reads a trust by the primary key.
//
// Errors: NOT_FOUND.
func FindTrust(ctx context.Context, q sqldb.Querier, id string) (Trust, error) {
	t, err := scanTrust(q.QueryRow(ctx, `SELECT `+trustColumns+` FROM sessions.trusts WHERE trust_id = $1`, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return Trust{}, trust.NotFound()
	}
	return t, sqldb.Unavailable(err)
}

// FindTrustOf is FindTrust for a trust of an organization.
//
// Errors: NOT_FOUND, for another's as for an absent one.
func FindTrustOf(ctx context.Context, q sqldb.Querier, organization, id string) (Trust, error) {
	t, err := FindTrust(ctx, q, id)
	if err == nil && t.Organization != organization {
		return Trust{}, trust.NotFound()
	}
	return t, err
}

// ListTrusts reads up to limit trusts of an organization after an id, oldest first, by
// the index trusts_organization.
func ListTrusts(ctx context.Context, q sqldb.Querier, organization, after string, limit int) ([]Trust, error) {
	rows, err := q.Query(ctx, `SELECT `+trustColumns+` FROM sessions.trusts
		WHERE organization_id = $1 AND trust_id > $2 ORDER BY trust_id LIMIT $3`, organization, after, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Trust, error) { return scanTrust(row) })
	return out, sqldb.Unavailable(err)
}

// CountTrusts counts the trusts of an organization, by the index trusts_organization:
// there are trust.Limit at most.
func CountTrusts(ctx context.Context, q sqldb.Querier, organization string) (number int64, err error) {
	err = q.QueryRow(ctx, `SELECT count(*) FROM sessions.trusts WHERE organization_id = $1`, organization).Scan(&number)
	return number, sqldb.Unavailable(err)
}

// ChangeTrust applies events about one trust to its row and to t, which is the row as it
// is before. Each statement is by the primary key.
func ChangeTrust(ctx context.Context, tx pgx.Tx, t *Trust, events []proto.Message, region string, at time.Time) error {
	for _, event := range events {
		before := t.ID
		t.Apply(event)
		settings, err := protojson.Marshal(t.Settings)
		if err != nil {
			return fmt.Errorf("settings of a trust: %w", err)
		}
		switch event.(type) {
		case *eventv1.TrustCreated:
			t.HomeRegion, t.CreatedAt = region, at
			_, err = tx.Exec(ctx, `INSERT INTO sessions.trusts (`+trustColumns+`) VALUES ($1, $2, $3, $4, $5)`,
				t.ID, t.Organization, settings, region, at)
		case *eventv1.TrustSettingsChanged:
			_, err = tx.Exec(ctx, `UPDATE sessions.trusts SET settings = $2 WHERE trust_id = $1`, t.ID, settings)
		case *eventv1.TrustDeleted:
			_, err = tx.Exec(ctx, `DELETE FROM sessions.trusts WHERE trust_id = $1`, before)
			*t = Trust{}
		}
		if err != nil {
			return fmt.Errorf("change trust: %w", err)
		}
	}
	return nil
}

func scanTrust(row pgx.Row) (Trust, error) {
	t := Trust{State: trust.State{Settings: &eventv1.TrustSettings{}}}
	var settings []byte
	if err := row.Scan(&t.ID, &t.Organization, &settings, &t.HomeRegion, &t.CreatedAt); err != nil {
		return t, err
	}
	// What a newer version stored and this one does not know is left alone.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(settings, t.Settings); err != nil {
		return t, fmt.Errorf("settings of trust %s: %w", t.ID, err)
	}
	return t, nil
}
