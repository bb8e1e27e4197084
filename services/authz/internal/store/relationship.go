// Package store keeps the authz service's state rows.
package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// columns are relationships, one array for each column.
type columns struct {
	resources, relations, subjects []string
	conditions, contexts           []string
	expires                        []int64
}

func columnsOf(relationships []authzcore.Relationship) columns {
	n := len(relationships)
	c := columns{
		resources: make([]string, n), relations: make([]string, n), subjects: make([]string, n),
		conditions: make([]string, n), contexts: make([]string, n), expires: make([]int64, n),
	}
	for i, r := range relationships {
		c.resources[i], c.relations[i], c.subjects[i] = r.Resource, r.Relation, r.Subject
		c.conditions[i], c.contexts[i], c.expires[i] = r.Terms.Condition, r.Terms.Context, r.Terms.Expires
	}
	return c
}

// Present returns the terms of those of the given relationships that have a
// row, expired or not, by primary key. The keys are without terms.
func Present(
	ctx context.Context, q sqldb.Querier, organization string, relationships []authzcore.Relationship,
) (map[authzcore.Relationship]authzcore.Terms, error) {
	if len(relationships) == 0 {
		return map[authzcore.Relationship]authzcore.Terms{}, nil
	}
	c := columnsOf(relationships)
	rows, err := q.Query(ctx,
		`SELECT r.resource, r.relation, r.subject, r.condition, r.context, r.expires_at
		 FROM unnest($2::TEXT[], $3::TEXT[], $4::TEXT[]) AS want (resource, relation, subject)
		 JOIN authz.relationships r
		   ON r.organization_id = $1 AND r.resource = want.resource AND r.relation = want.relation AND r.subject = want.subject`,
		organization, c.resources, c.relations, c.subjects)
	if err != nil {
		return nil, fmt.Errorf("select relationships: %w", err)
	}
	found, err := pgx.CollectRows(rows, scanRelationship)
	if err != nil {
		return nil, fmt.Errorf("select relationships: %w", err)
	}
	present := make(map[authzcore.Relationship]authzcore.Terms, len(found))
	for _, r := range found {
		present[r.Key()] = r.Terms
	}
	return present, nil
}

// insertAbsent and updatePresent read no versions of rows that others wrote, so
// that imports of different organizations never conflict with each other on
// PostgreSQL: therefore no join, and an upsert instead of an update.
const (
	withTerms = `INSERT INTO authz.relationships AS r (organization_id, home_region, resource, relation, subject, condition, context, expires_at)
		 SELECT $1, $2, u.resource, u.relation, u.subject, u.condition, u.context, u.expires_at
		 FROM unnest($3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::TEXT[], $8::INT8[])
		   AS u (resource, relation, subject, condition, context, expires_at)`
	// withoutTerms costs the database less, for bulk that has none.
	withoutTerms = `INSERT INTO authz.relationships AS r (organization_id, home_region, resource, relation, subject)
		 SELECT $1, $2, u.resource, u.relation, u.subject
		 FROM unnest($3::TEXT[], $4::TEXT[], $5::TEXT[]) AS u (resource, relation, subject)`

	insertAbsent = ` ON CONFLICT DO NOTHING` + returned
	// updatePresent leaves rows alone whose terms are the same already.
	updatePresent = ` ON CONFLICT (organization_id, resource, relation, subject) DO UPDATE
		 SET home_region = excluded.home_region, condition = excluded.condition, context = excluded.context, expires_at = excluded.expires_at
		 WHERE r.condition <> excluded.condition OR r.context <> excluded.context OR r.expires_at <> excluded.expires_at` + returned
	returned = ` RETURNING r.resource, r.relation, r.subject`
)

// Touch makes the given relationships present with their terms, and returns
// those that had no row and those that had one with other terms. None may be
// given twice, whatever its terms.
func Touch(
	ctx context.Context, tx pgx.Tx, organization, homeRegion string, relationships []authzcore.Relationship,
) (created, updated []authzcore.Relationship, err error) {
	if created, err = Insert(ctx, tx, organization, homeRegion, relationships); err != nil {
		return nil, nil, err
	}
	updated, err = Update(ctx, tx, organization, homeRegion, Without(relationships, created))
	return created, updated, err
}

// Insert makes those of the given relationships present that have no row, and
// returns them.
func Insert(
	ctx context.Context, tx pgx.Tx, organization, homeRegion string, relationships []authzcore.Relationship,
) ([]authzcore.Relationship, error) {
	created, err := put(ctx, tx, insertAbsent, organization, homeRegion, relationships)
	if err != nil {
		return nil, fmt.Errorf("insert relationships: %w", err)
	}
	return created, nil
}

// Update gives the given relationships, which have rows, their terms, and
// returns those that had others. None may be given twice, whatever its terms.
func Update(
	ctx context.Context, tx pgx.Tx, organization, homeRegion string, relationships []authzcore.Relationship,
) ([]authzcore.Relationship, error) {
	updated, err := put(ctx, tx, updatePresent, organization, homeRegion, relationships)
	if err != nil {
		return nil, fmt.Errorf("update relationships: %w", err)
	}
	return updated, nil
}

// put inserts relationships and returns those that it wrote.
func put(
	ctx context.Context, tx pgx.Tx, conflict, organization, homeRegion string, relationships []authzcore.Relationship,
) ([]authzcore.Relationship, error) {
	if len(relationships) == 0 {
		return nil, nil
	}
	c := columnsOf(relationships)
	statement, args := withoutTerms, []any{organization, homeRegion, c.resources, c.relations, c.subjects}
	if slices.ContainsFunc(relationships, func(r authzcore.Relationship) bool { return r.Terms != authzcore.Terms{} }) {
		statement, args = withTerms, append(args, c.conditions, c.contexts, c.expires)
	}
	rows, err := tx.Query(ctx, statement+conflict, args...)
	if err != nil {
		return nil, err
	}
	return among(relationships, rows)
}

// key is what a relationship is found by.
type key struct{ resource, relation, subject string }

func keyOf(r authzcore.Relationship) key { return key{r.Resource, r.Relation, r.Subject} }

// among returns those of the given relationships that rows name. Rows mostly
// come in the order given, so that few texts are made of them.
func among(given []authzcore.Relationship, rows pgx.Rows) ([]authzcore.Relationship, error) {
	defer rows.Close()
	out := make([]authzcore.Relationship, 0, len(given))
	var places map[key]int
	for next := 0; rows.Next(); next++ {
		raw := rows.RawValues()
		if next == len(given) || given[next].Resource != string(raw[0]) ||
			given[next].Relation != string(raw[1]) || given[next].Subject != string(raw[2]) {
			if places == nil {
				places = make(map[key]int, len(given))
				for i, r := range given {
					places[keyOf(r)] = i
				}
			}
			var ok bool
			if next, ok = places[key{string(raw[0]), string(raw[1]), string(raw[2])}]; !ok {
				return nil, fmt.Errorf("row %s#%s@%s was not asked for", raw[0], raw[1], raw[2])
			}
		}
		out = append(out, given[next])
	}
	return out, rows.Err()
}

// Without returns those of all that are not among some, whatever their terms.
func Without(all, some []authzcore.Relationship) []authzcore.Relationship {
	if len(all) == len(some) {
		return nil
	}
	gone := make(map[key]bool, len(some))
	for _, r := range some {
		gone[keyOf(r)] = true
	}
	rest := make([]authzcore.Relationship, 0, len(all)-len(some))
	for _, r := range all {
		if !gone[keyOf(r)] {
			rest = append(rest, r)
		}
	}
	return rest
}

// Delete removes the given relationships, whatever their terms.
func Delete(ctx context.Context, tx pgx.Tx, organization string, relationships []authzcore.Relationship) error {
	if len(relationships) == 0 {
		return nil
	}
	c := columnsOf(relationships)
	_, err := tx.Exec(ctx,
		`DELETE FROM authz.relationships r
		 USING unnest($2::TEXT[], $3::TEXT[], $4::TEXT[]) AS u (resource, relation, subject)
		 WHERE r.organization_id = $1 AND r.resource = u.resource AND r.relation = u.relation AND r.subject = u.subject`,
		organization, c.resources, c.relations, c.subjects)
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

// Matches says whether any relationship matches that has not expired at a time,
// by the primary key's first columns.
func Matches(ctx context.Context, q sqldb.Querier, organization string, f Filter, at time.Time) (bool, error) {
	var found bool
	err := q.QueryRow(ctx,
		`SELECT EXISTS (SELECT 1 FROM authz.relationships
		 WHERE organization_id = $1 AND resource = $2 AND ($3 = '' OR relation = $3) AND ($4 = '' OR subject = $4)
		   AND (expires_at = 0 OR expires_at > $5))`,
		organization, f.Resource, f.Relation, f.Subject, at.Unix()).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("match relationships: %w", err)
	}
	return found, nil
}

// EachRelationship calls fn for every relationship of an organization, expired
// or not, in one statement.
func EachRelationship(ctx context.Context, q sqldb.Querier, organization string, fn func(authzcore.Relationship) error) error {
	rows, err := q.Query(ctx,
		`SELECT resource, relation, subject, condition, context, expires_at
		 FROM authz.relationships WHERE organization_id = $1`, organization)
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

func scanRelationship(row pgx.CollectableRow) (authzcore.Relationship, error) {
	var r authzcore.Relationship
	err := row.Scan(&r.Resource, &r.Relation, &r.Subject, &r.Terms.Condition, &r.Terms.Context, &r.Terms.Expires)
	return r, err
}
