package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/model"
)

// Assignment is a row of authz.assignments.
type Assignment struct {
	Organization string
	// HomeRegion is where the row is written to. It is not read: the log's row
	// says where the organization is at home.
	HomeRegion string
	Model      string
	// Line is what the organization follows; empty: it stays with the model.
	Line     string
	Sequence uint64
}

// PutAssignment writes which model an organization uses.
func PutAssignment(ctx context.Context, tx pgx.Tx, a Assignment) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO authz.assignments (organization_id, home_region, model_id, line, sequence) VALUES ($1, $2, $3, $4, $5)
		 ON CONFLICT (organization_id) DO UPDATE
		 SET home_region = excluded.home_region, model_id = excluded.model_id, line = excluded.line, sequence = excluded.sequence`,
		a.Organization, a.HomeRegion, a.Model, a.Line, int64(a.Sequence))
	if err != nil {
		return fmt.Errorf("put assignment: %w", err)
	}
	return nil
}

// InsertAssignment writes an organization's first model, and says whether it
// was: an organization that has one keeps it. It finds out without reading, so
// that those of new organizations do not conflict with each other on PostgreSQL.
func InsertAssignment(ctx context.Context, tx pgx.Tx, a Assignment) (inserted bool, err error) {
	tag, err := tx.Exec(ctx,
		`INSERT INTO authz.assignments (organization_id, home_region, model_id, line, sequence) VALUES ($1, $2, $3, $4, $5)
		 ON CONFLICT (organization_id) DO NOTHING`,
		a.Organization, a.HomeRegion, a.Model, a.Line, int64(a.Sequence))
	if err != nil {
		return false, fmt.Errorf("insert assignment: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// FindAssignment reads which model an organization uses.
//
// Errors: MODEL_NOT_ASSIGNED.
func FindAssignment(ctx context.Context, q sqldb.Querier, organization string) (Assignment, error) {
	a := Assignment{Organization: organization}
	var sequence int64
	err := q.QueryRow(ctx,
		`SELECT model_id, line, sequence FROM authz.assignments WHERE organization_id = $1`, organization).
		Scan(&a.Model, &a.Line, &sequence)
	if errors.Is(err, pgx.ErrNoRows) {
		return Assignment{}, model.NotAssigned()
	}
	if err != nil {
		return Assignment{}, fmt.Errorf("find assignment: %w", err)
	}
	a.Sequence = uint64(sequence)
	return a, nil
}

// FindUsers names an organization that is assigned a model by id and one that
// follows a line, by the indexes assignments_model and assignments_line; empty
// when there is none.
func FindUsers(ctx context.Context, q sqldb.Querier, model, line string) (pinned, follower string, err error) {
	err = q.QueryRow(ctx,
		`SELECT coalesce((SELECT organization_id FROM authz.assignments WHERE model_id = $1 AND line = '' LIMIT 1), ''),
		        coalesce((SELECT organization_id FROM authz.assignments WHERE line = $2 LIMIT 1), '')`, model, line).
		Scan(&pinned, &follower)
	if err != nil {
		return "", "", fmt.Errorf("find users of a model: %w", err)
	}
	return pinned, follower, nil
}

// Followers reads up to limit organizations that follow a line, after one, by
// the index assignments_line.
func Followers(ctx context.Context, q sqldb.Querier, line, after string, limit int) ([]Assignment, error) {
	rows, err := q.Query(ctx,
		`SELECT organization_id, model_id, line, sequence FROM authz.assignments
		 WHERE line = $1 AND organization_id > $2 ORDER BY organization_id LIMIT $3`, line, after, limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Assignment, error) {
		var a Assignment
		var sequence int64
		err := row.Scan(&a.Organization, &a.Model, &a.Line, &sequence)
		a.Sequence = uint64(sequence)
		return a, err
	})
	return out, sqldb.Unavailable(err)
}
