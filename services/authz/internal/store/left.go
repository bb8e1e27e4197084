package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// MaxLeft is how many organizations of a line are kept in authz.rollouts_left.
const MaxLeft = 1000

// Left is a row of authz.rollouts_left: an organization that a roll-out did not
// move.
type Left struct {
	Organization string
	// Now is the model that it uses, Wanted the one that it should.
	Now, Wanted string
	// Reason is the name of a reason, Why a text.
	Reason, Why string
}

// PutLeft keeps that a roll-out left an organization. What is kept of earlier
// roll-outs of the line is removed with the first.
func PutLeft(ctx context.Context, q sqldb.Querier, r Rollout, l Left) error {
	if r.Left > MaxLeft {
		return nil
	}
	if r.Left <= 1 {
		if _, err := q.Exec(ctx, `DELETE FROM authz.rollouts_left WHERE line = $1 AND revision < $2`, r.Line, int64(r.Revision)); err != nil {
			return sqldb.Unavailable(err)
		}
	}
	_, err := q.Exec(ctx,
		`INSERT INTO authz.rollouts_left (line, organization_id, revision, model_now, model_wanted, reason, why)
		 VALUES ($1, $2, $3, $4, $5, $6, $7)
		 ON CONFLICT (line, organization_id) DO UPDATE
		 SET revision = excluded.revision, model_now = excluded.model_now, model_wanted = excluded.model_wanted,
		     reason = excluded.reason, why = excluded.why
		 WHERE rollouts_left.revision <= excluded.revision`,
		r.Line, l.Organization, int64(r.Revision), l.Now, l.Wanted, l.Reason, l.Why)
	return sqldb.Unavailable(err)
}

// FirstLeft reads up to limit organizations that the roll-out of a line left and
// that still use the model that they had, by id and by the primary keys.
func FirstLeft(ctx context.Context, q sqldb.Querier, r Rollout, limit int) ([]Left, error) {
	rows, err := q.Query(ctx,
		`SELECT l.organization_id, l.model_now, l.model_wanted, l.reason, l.why
		 FROM authz.rollouts_left l JOIN authz.assignments a ON a.organization_id = l.organization_id
		 WHERE l.line = $1 AND l.revision = $2 AND a.line = l.line AND a.model_id = l.model_now
		 ORDER BY l.organization_id LIMIT $3`, r.Line, int64(r.Revision), limit)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Left, error) {
		var l Left
		err := row.Scan(&l.Organization, &l.Now, &l.Wanted, &l.Reason, &l.Why)
		return l, err
	})
	return out, sqldb.Unavailable(err)
}

// FindRollout reads how far the roll-out of a line has come, and whether it is
// at its end. A line without one is finished, at revision 0.
func FindRollout(ctx context.Context, q sqldb.Querier, line string) (r Rollout, finished bool, err error) {
	var revision, moved, left int64
	err = q.QueryRow(ctx, `SELECT revision, position, moved, left_out, again, finished FROM authz.rollouts WHERE line = $1`, line).
		Scan(&revision, &r.Position, &moved, &left, &r.Again, &finished)
	r.Line, r.Revision, r.Moved, r.Left = line, uint64(revision), uint64(moved), uint64(left)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, true, nil
	}
	return r, finished, sqldb.Unavailable(err)
}
