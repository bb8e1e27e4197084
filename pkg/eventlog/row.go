package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Every commit locks the row of its log and moves its head. CockroachDB locks a
// row by its key. On PostgreSQL a serializable transaction that finds a row by
// an index also takes a predicate lock on the page of the index, with all the
// logs that are on it and those that will be. The ids of new logs are
// neighbours, so each creation of a log would conflict with all that is done to
// other new logs. What finds a row as the conflict of an insert locks no page:
// there the row is locked, and its head moved, by an upsert.
//
// Nothing is lost by that. The row is written, and of two concurrent
// transactions that write one row PostgreSQL lets one commit.
//
// Source: PostgreSQL documentation, "Index Locking Considerations" and
// src/backend/storage/lmgr/README-SSI.

const createLog = `INSERT INTO log.logs (log_id, home_region, head, head_hash, head_time, created_at)
VALUES ($1, $2, 0, $3, $4, $5) ON CONFLICT (log_id) DO NOTHING`

const (
	lockLog = `SELECT home_region, head, head_hash, head_time FROM log.logs WHERE log_id = $1 FOR UPDATE`
	// lockByInsert makes a row with head 0 when there is none: see forget.
	lockByInsert = `INSERT INTO log.logs AS l (log_id, home_region, head, head_hash, head_time, created_at)
VALUES ($1, '', 0, decode(repeat('00', 32), 'hex'), 'epoch', 'epoch')
ON CONFLICT (log_id) DO UPDATE SET head = l.head
RETURNING l.home_region, l.head, l.head_hash, l.head_time`
	forgetLog = `DELETE FROM log.logs WHERE log_id = $1 AND head = 0`
)

const (
	moveHead = `UPDATE log.logs SET head = $2, head_hash = $3, head_time = $4 WHERE log_id = $1`
	// moveByInsert is for a row that this transaction has locked: it never inserts.
	moveByInsert = `INSERT INTO log.logs (log_id, home_region, head, head_hash, head_time, created_at)
VALUES ($1, '', $2, $3, $4, $4)
ON CONFLICT (log_id) DO UPDATE SET head = excluded.head, head_hash = excluded.head_hash, head_time = excluded.head_time`
)

// queueLock locks the row of a log and reads its head. The sequence is 0 when
// there is no such log; then forget must follow.
func (s *Store) queueLock(batch *pgx.Batch, head *Head) {
	statement := lockLog
	if s.pageLocks {
		statement = lockByInsert
	}
	batch.Queue(statement, head.Log).QueryRow(func(row pgx.Row) error {
		err := head.scan(row.Scan)
		if errors.Is(err, pgx.ErrNoRows) {
			head.Sequence, err = 0, nil
		}
		return err
	})
}

// forget takes back the row that queueLock made of an absent log.
func (s *Store) forget(ctx context.Context, tx pgx.Tx, log string) error {
	if !s.pageLocks {
		return nil
	}
	if _, err := tx.Exec(ctx, forgetLog, log); err != nil {
		return fmt.Errorf("forget log: %w", err)
	}
	return nil
}

// moveHead is the statement that gives a locked log another head.
func (s *Store) moveHead() string {
	if s.pageLocks {
		return moveByInsert
	}
	return moveHead
}
