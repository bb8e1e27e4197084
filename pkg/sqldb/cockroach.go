package sqldb

import (
	"context"
	"errors"

	"github.com/cockroachdb/cockroach-go/v2/crdb"
	crdbpgx "github.com/cockroachdb/cockroach-go/v2/crdb/crdbpgxv5"
	"github.com/jackc/pgx/v5"
)

// writeCockroach leaves the retry loop to CockroachDB's own library, which
// keeps the transaction's priority across retries. On PostgreSQL that library
// loses writes: it takes RELEASE SAVEPOINT for the commit and drops the error of
// COMMIT (see TestExecuteTxLosesWritesOnPostgreSQL).
func (db *DB) writeCockroach(ctx context.Context, fn Work) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return classify(ctx, err)
	}
	defer conn.Release()
	start, runs := db.config.Clock(), 0
	err = crdbpgx.ExecuteTx(ctx, conn, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
		if runs++; runs > 1 && db.config.Clock().Sub(start) >= db.config.RetryFor {
			return errRetriesOver
		}
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return committable(ctx, tx)
	})
	return settleCockroach(ctx, err)
}

var errRetriesOver = errors.New("the time for retries is over")

// settleCockroach maps what ExecuteTx returns. It commits by RELEASE SAVEPOINT,
// and calls every error of it that is no serialization failure ambiguous.
//
//   - ambiguous: unknown, unless the statement was never sent;
//   - retries over, by count or by time: conflict;
//   - a restart that failed: the attempt before it was refused by the server, so
//     nothing is written and what broke is the connection.
func settleCockroach(ctx context.Context, err error) error {
	var (
		ambiguous *crdb.AmbiguousCommitError
		exceeded  *crdb.MaxRetriesExceededError
		restart   *crdb.TxnRestartError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ambiguous):
		if unsent(ambiguous.Unwrap()) {
			return classify(ctx, ambiguous.Unwrap())
		}
		return outcomeUnknown(err)
	case errors.As(err, &exceeded), errors.Is(err, errRetriesOver):
		return conflict(err)
	case errors.As(err, &restart):
		if ctx.Err() != nil {
			return ended(ctx.Err(), err)
		}
		return unavailable(err)
	case serialization(err): // a deadlock report, or a failed BEGIN
		return conflict(err)
	default:
		return classify(ctx, err)
	}
}
