package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// Rollout is a row of authz.rollouts: how far the moving of the organizations
// that follow a line has come.
type Rollout struct {
	Line     string
	Revision uint64
	// Position is the last organization that was looked at.
	Position string
	// Moved and Left count organizations.
	Moved, Left uint64
	// Again: somebody could not be moved for a while, so that all are looked at
	// once more.
	Again bool
}

// StartRollout asks for all organizations that follow a line to be looked at,
// from the first one, whatever was under way: a worker that is at it may have
// seen some of them before, so they are looked at once more.
func StartRollout(ctx context.Context, tx pgx.Tx, line string, revision uint64) error {
	_, err := tx.Exec(ctx,
		`INSERT INTO authz.rollouts (line, revision, position, moved, left_out, again, finished)
		 VALUES ($1, $2, '', 0, 0, false, false)
		 ON CONFLICT (line) DO UPDATE
		 SET revision = excluded.revision, position = '', moved = 0, left_out = 0, again = NOT authz.rollouts.finished, finished = false`,
		line, int64(revision))
	if err != nil {
		return fmt.Errorf("start roll-out: %w", err)
	}
	return nil
}

// Unfinished reads the roll-outs that are under way, by the index
// rollouts_unfinished.
func Unfinished(ctx context.Context, q sqldb.Querier) ([]Rollout, error) {
	rows, err := q.Query(ctx, `SELECT line, revision, position, moved, left_out, again FROM authz.rollouts WHERE NOT finished ORDER BY line`)
	if err != nil {
		return nil, sqldb.Unavailable(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Rollout, error) {
		var (
			r                     Rollout
			revision, moved, left int64
		)
		err := row.Scan(&r.Line, &revision, &r.Position, &moved, &left, &r.Again)
		r.Revision, r.Moved, r.Left = uint64(revision), uint64(moved), uint64(left)
		return r, err
	})
	return out, sqldb.Unavailable(err)
}

// MoveRollout writes how far a roll-out has come, and says whether it was where
// from says: another worker may have been faster, or the line changed again.
func MoveRollout(ctx context.Context, q sqldb.Querier, from, to Rollout, finished bool) (bool, error) {
	tag, err := q.Exec(ctx,
		`UPDATE authz.rollouts SET position = $4, moved = $5, left_out = $6, again = $7, finished = $8
		 WHERE line = $1 AND revision = $2 AND position = $3 AND again = $9 AND NOT finished`,
		from.Line, int64(from.Revision), from.Position, to.Position, int64(to.Moved), int64(to.Left), to.Again, finished, from.Again)
	if err != nil {
		return false, sqldb.Unavailable(err)
	}
	return tag.RowsAffected() == 1, nil
}
