package project

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// rebuildPage is how many logs are read at once.
const rebuildPage = 500

// Rebuild makes the rows of a projection anew from the events table, in one
// transaction: readers see the old rows until it commits, and a running RunRows
// waits and then goes on. Halts are forgotten. progress, which may be nil, is
// called now and then with the number of events; the count starts again when the
// database wants the transaction repeated.
//
// One transaction bounds it to what the database takes in one: some millions of
// rows on PostgreSQL.
//
// Errors: what Apply returned, EVENT_CORRUPT, and those of DB.Write; then the old
// rows stay.
func Rebuild(ctx context.Context, c Config, rows Rows, progress func(events int)) (events int, err error) {
	c.Name = rows.Name()
	c = c.withDefaults(rows.Name())
	err = c.DB.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := clearRows(ctx, c, rows, tx); err != nil {
			return err
		}
		events = 0
		for after := ""; ; {
			heads, err := c.Store.Heads(ctx, tx, after, rebuildPage)
			if err != nil {
				return err
			}
			run := newRun(c, rows, tx)
			for _, h := range heads {
				after = h.Log
				if _, err := run.table(ctx, h.Log, 0, h.Sequence); err != nil {
					return err
				}
			}
			if err := storeCheckpoints(ctx, tx, c.Name, run.last); err != nil {
				return err
			}
			if events += run.applied; progress != nil {
				progress(events)
			}
			if len(heads) < rebuildPage {
				return nil
			}
		}
	})
	return events, err
}

func newRun(c Config, rows Rows, tx pgx.Tx) *rowsRun {
	return &rowsRun{c: c, rows: rows, tx: tx, last: make(map[string]eventlog.Recorded)}
}

func clearRows(ctx context.Context, c Config, rows Rows, tx pgx.Tx) error {
	if err := lockProjection(ctx, tx, c.Name); err != nil {
		return err
	}
	for _, statement := range []string{deleteCheckpoints, deleteHalts} {
		if _, err := tx.Exec(ctx, statement, c.Name); err != nil {
			return fmt.Errorf("clear progress: %w", err)
		}
	}
	return rows.Reset(ctx, tx)
}

// Resume takes up a log again at which the projection stopped, when its reason is
// gone, and applies what was missed, in one transaction. A log that is not halted
// is brought up to date.
//
// Errors: what Apply returned, EVENT_CORRUPT, and those of DB.Write; then the
// halt stays.
func Resume(ctx context.Context, c Config, rows Rows, log string) error {
	c.Name = rows.Name()
	c = c.withDefaults(rows.Name())
	return c.DB.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := lockProjection(ctx, tx, c.Name); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, deleteHalt, c.Name, log); err != nil {
			return fmt.Errorf("end halt: %w", err)
		}
		reached, err := loadCheckpoints(ctx, tx, c.Name, []string{log})
		if err != nil {
			return err
		}
		run := newRun(c, rows, tx)
		if _, err := run.table(ctx, log, reached[log], 0); err != nil {
			return err
		}
		return storeCheckpoints(ctx, tx, c.Name, run.last)
	})
}
