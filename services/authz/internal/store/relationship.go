// Package store keeps the authz service's state rows.
package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// columns turns relationships into one array for each column.
func columns(relationships []authzcore.Relationship) (resources, relations, subjects []string) {
	resources = make([]string, len(relationships))
	relations = make([]string, len(relationships))
	subjects = make([]string, len(relationships))
	for i, r := range relationships {
		resources[i], relations[i], subjects[i] = r.Resource, r.Relation, r.Subject
	}
	return resources, relations, subjects
}

// Present returns those of the given relationships that exist, by primary key.
func Present(
	ctx context.Context, q sqldb.Querier, organization string, relationships []authzcore.Relationship,
) (map[authzcore.Relationship]bool, error) {
	resources, relations, subjects := columns(relationships)
	rows, err := q.Query(ctx,
		`SELECT r.resource, r.relation, r.subject
		 FROM unnest($2::TEXT[], $3::TEXT[], $4::TEXT[]) AS want (resource, relation, subject)
		 JOIN authz.relationships r
		   ON r.organization_id = $1 AND r.resource = want.resource AND r.relation = want.relation AND r.subject = want.subject`,
		organization, resources, relations, subjects)
	if err != nil {
		return nil, fmt.Errorf("select relationships: %w", err)
	}
	present := make(map[authzcore.Relationship]bool, len(relationships))
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		r, err := scanRelationship(row)
		present[r] = true
		return struct{}{}, err
	})
	if err != nil {
		return nil, fmt.Errorf("select relationships: %w", err)
	}
	return present, nil
}

// Touch inserts those of the given relationships that do not exist and returns
// them.
func Touch(
	ctx context.Context, tx pgx.Tx, organization, homeRegion string, relationships []authzcore.Relationship,
) ([]authzcore.Relationship, error) {
	if len(relationships) == 0 {
		return nil, nil
	}
	resources, relations, subjects := columns(relationships)
	rows, err := tx.Query(ctx,
		`INSERT INTO authz.relationships (organization_id, home_region, resource, relation, subject)
		 SELECT $1, $2, u.resource, u.relation, u.subject
		 FROM unnest($3::TEXT[], $4::TEXT[], $5::TEXT[]) AS u (resource, relation, subject)
		 ON CONFLICT DO NOTHING
		 RETURNING resource, relation, subject`,
		organization, homeRegion, resources, relations, subjects)
	if err != nil {
		return nil, fmt.Errorf("insert relationships: %w", err)
	}
	created, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (authzcore.Relationship, error) { return scanRelationship(row) })
	if err != nil {
		return nil, fmt.Errorf("insert relationships: %w", err)
	}
	return created, nil
}

// Delete removes the given relationships.
func Delete(ctx context.Context, tx pgx.Tx, organization string, relationships []authzcore.Relationship) error {
	if len(relationships) == 0 {
		return nil
	}
	resources, relations, subjects := columns(relationships)
	_, err := tx.Exec(ctx,
		`DELETE FROM authz.relationships r
		 USING unnest($2::TEXT[], $3::TEXT[], $4::TEXT[]) AS u (resource, relation, subject)
		 WHERE r.organization_id = $1 AND r.resource = u.resource AND r.relation = u.relation AND r.subject = u.subject`,
		organization, resources, relations, subjects)
	if err != nil {
		return fmt.Errorf("delete relationships: %w", err)
	}
	return nil
}

// Filter matches relationships of one resource; empty fields match all.
type Filter struct {
	Resource string // required
	Relation string
	Subject  string
}

// Matches says whether any relationship matches, by the primary key's first
// columns.
func Matches(ctx context.Context, q sqldb.Querier, organization string, f Filter) (bool, error) {
	var found bool
	err := q.QueryRow(ctx,
		`SELECT EXISTS (SELECT 1 FROM authz.relationships
		 WHERE organization_id = $1 AND resource = $2 AND ($3 = '' OR relation = $3) AND ($4 = '' OR subject = $4))`,
		organization, f.Resource, f.Relation, f.Subject).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("match relationships: %w", err)
	}
	return found, nil
}

// EachRelationship calls fn for every relationship of an organization, in one
// statement.
func EachRelationship(ctx context.Context, q sqldb.Querier, organization string, fn func(authzcore.Relationship) error) error {
	rows, err := q.Query(ctx,
		`SELECT resource, relation, subject FROM authz.relationships WHERE organization_id = $1`, organization)
	if err != nil {
		return fmt.Errorf("read relationships: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRelationship(rows)
		if err != nil {
			return fmt.Errorf("read relationships: %w", err)
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	return rows.Err()
}

func scanRelationship(row pgx.Row) (authzcore.Relationship, error) {
	var r authzcore.Relationship
	err := row.Scan(&r.Resource, &r.Relation, &r.Subject)
	return r, err
}
