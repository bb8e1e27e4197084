package sqldb

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Work is the function of a transaction. It may run several times, must not
// commit or roll back by itself, and must wrap errors with %w so that a request
// of the database to run it again stays visible.
type Work = func(ctx context.Context, tx pgx.Tx) error

const (
	firstPause = 2 * time.Millisecond
	longPause  = 250 * time.Millisecond
	// staleBegins is how many dead connections of the pool one transaction may
	// meet before it gives up.
	staleBegins   = 3
	rollbackBound = 2 * time.Second
)

// Write runs fn in a serializable transaction and commits it. The whole
// transaction is run again on serialization failures, with growing pauses, for
// at most Config.RetryFor.
//
// Errors: a fault, or any error of its own, that fn returns comes back as it
// is, and nothing is written. CONFLICT: it lost again and again, nothing is
// written. DATABASE_UNAVAILABLE, DISK_FULL, DEADLINE, CANCELLED: nothing is
// written. OUTCOME_UNKNOWN: the connection broke, or ctx ended, while COMMIT was
// under way, so it may or may not be written.
func (db *DB) Write(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	if db.flavor == CockroachDB {
		return db.writeCockroach(ctx, fn)
	}
	// Both statements go in one message. CockroachDB ends abandoned transactions by
	// itself, as soon as others wait for them.
	options := pgx.TxOptions{BeginQuery: "begin isolation level serializable; set local idle_in_transaction_session_timeout = " +
		milliseconds(db.config.AbandonedAfter)}
	return db.repeat(ctx, func() error { return db.attempt(ctx, options, fn) })
}

// Read runs fn in a read-only serializable transaction: everything that fn
// reads is of one moment. Errors as of Write, without DISK_FULL and
// OUTCOME_UNKNOWN.
func (db *DB) Read(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly}
	return db.repeat(ctx, func() error {
		err := db.attempt(ctx, options, fn)
		if broken, ok := errors.AsType[*commitError](err); ok {
			return broken.cause // nothing was to be written: the outcome is known
		}
		return err
	})
}

// repeat runs attempt until it is not asked to run it again.
func (db *DB) repeat(ctx context.Context, attempt func() error) error {
	start, stale := db.config.Clock(), 0
	for n := 0; ; n++ {
		err := attempt()
		var begin *beginError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &begin) && stale < staleBegins && ctx.Err() == nil:
			stale++
			continue
		case !serialization(err):
			return settle(ctx, err)
		case db.config.Clock().Sub(start) >= db.config.RetryFor:
			return conflict(err)
		}
		if end := pause(ctx, n); end != nil {
			return ended(end, err)
		}
	}
}

// settle turns the last error of a transaction into the error for the caller.
func settle(ctx context.Context, err error) error {
	var broken *commitError
	if !errors.As(err, &broken) {
		return classify(ctx, err)
	}
	switch {
	case errors.Is(broken.cause, pgx.ErrTxCommitRollback):
		return defect("a statement failed and the transaction went on; nothing was written", err)
	case errors.Is(broken.cause, pgx.ErrTxClosed):
		return defect("the transaction was ended by its own function", err)
	case refusedCommit(broken.cause):
		return classify(ctx, broken.cause)
	default:
		return outcomeUnknown(broken.cause)
	}
}

// pause waits for a random time that grows with n, or until ctx ends.
func pause(ctx context.Context, n int) error {
	bound := min(longPause, firstPause<<min(n, 10))
	timer := time.NewTimer(rand.N(bound))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt runs one transaction from BEGIN to COMMIT.
func (db *DB) attempt(ctx context.Context, options pgx.TxOptions, fn Work) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	tx, err := conn.BeginTx(ctx, options)
	if err != nil {
		return &beginError{cause: err}
	}
	committing := false
	defer func() {
		if !committing { // fn failed or panicked
			rollback(ctx, tx)
		}
	}()
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := committable(ctx, tx); err != nil {
		return err
	}
	committing = true
	if err := tx.Commit(ctx); err != nil {
		return &commitError{cause: err}
	}
	return nil
}

// committable says why the commit cannot even be sent: ctx has ended, or the
// connection is gone and fn did not say so.
func committable(ctx context.Context, tx pgx.Tx) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if tx.Conn().IsClosed() {
		return pgconn.ErrConnClosed
	}
	return nil
}

// acquire takes a connection of the pool and waits at most AcquireTimeout.
func (db *DB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, db.config.AcquireTimeout)
	defer cancel()
	conn, err := db.pool.Acquire(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return nil, unavailable(err)
	}
	return conn, err
}

// rollback ends the transaction even when ctx has ended already.
func rollback(ctx context.Context, tx pgx.Tx) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackBound)
	defer cancel()
	_ = tx.Rollback(bounded) // a connection that cannot roll back is closed by pgx
}

// beginError is a failed BEGIN on a connection of the pool: nothing happened
// yet, and another connection may be better.
type beginError struct{ cause error }

func (e *beginError) Error() string { return "begin: " + e.cause.Error() }
func (e *beginError) Unwrap() error { return e.cause }

// commitError is a failed COMMIT.
type commitError struct{ cause error }

func (e *commitError) Error() string { return "commit: " + e.cause.Error() }
func (e *commitError) Unwrap() error { return e.cause }
