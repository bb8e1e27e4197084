package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// Expired is a relationship that has expired, with whose it is.
type Expired struct {
	Organization string
	Relationship authzcore.Relationship
}

// FindExpired returns up to limit relationships of a region's organizations
// that have expired at a time, the oldest first, by the index
// relationships_expires_at. Those of the organizations in except are left out.
func FindExpired(
	ctx context.Context, q sqldb.Querier, homeRegion string, at time.Time, except []string, limit int,
) ([]Expired, error) {
	rows, err := q.Query(ctx,
		`SELECT organization_id, resource, relation, subject, condition, context, expires_at
		 FROM authz.relationships WHERE home_region = $1 AND expires_at > 0 AND expires_at <= $2 AND NOT (organization_id = ANY (coalesce($4::TEXT[], ARRAY[]::TEXT[])))
		 ORDER BY expires_at LIMIT $3`, homeRegion, at.Unix(), limit, except)
	if err != nil {
		return nil, fmt.Errorf("find expired relationships: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Expired, error) {
		var e Expired
		r := &e.Relationship
		err := row.Scan(&e.Organization, &r.Resource, &r.Relation, &r.Subject, &r.Terms.Condition, &r.Terms.Context, &r.Terms.Expires)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("find expired relationships: %w", err)
	}
	return found, nil
}

// DeleteExpired removes those of the given relationships that have expired at a
// time, and returns them without terms.
func DeleteExpired(
	ctx context.Context, tx pgx.Tx, organization string, relationships []authzcore.Relationship, at time.Time,
) ([]authzcore.Relationship, error) {
	c := columnsOf(relationships)
	rows, err := tx.Query(ctx,
		`DELETE FROM authz.relationships r
		 USING unnest($2::TEXT[], $3::TEXT[], $4::TEXT[]) AS u (resource, relation, subject)
		 WHERE r.organization_id = $1 AND r.resource = u.resource AND r.relation = u.relation AND r.subject = u.subject
		   AND r.expires_at > 0 AND r.expires_at <= $5
		 RETURNING r.resource, r.relation, r.subject`,
		organization, c.resources, c.relations, c.subjects, at.Unix())
	if err != nil {
		return nil, fmt.Errorf("delete expired relationships: %w", err)
	}
	deleted, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (authzcore.Relationship, error) {
		var r authzcore.Relationship
		err := row.Scan(&r.Resource, &r.Relation, &r.Subject)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("delete expired relationships: %w", err)
	}
	return deleted, nil
}
