package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// commitsAtOnce is how many commits overlap in these tests.
const commitsAtOnce = 8

// newMeeting is a fixture whose keyed commits overlap.
func newMeeting(t *testing.T) (fixture, *sqltest.Meeting) {
	t.Helper()
	meeting := &sqltest.Meeting{Mark: "INSERT INTO log.idempotency"}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqltest.URL(t), MaxConns: 4 * commitsAtOnce, Tracer: meeting})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return newFixture(t, func(c *eventlog.Config) { c.DB = db }), meeting
}

// addTo appends an event under a key, after looking at the head as commands do.
func (f fixture) addTo(ctx context.Context, key, log string, work ...func(context.Context, pgx.Tx) error) error {
	request := eventlog.Request{Scope: "tok_1", Key: key, Log: log, Procedure: "/p", Message: &requestMessage{Slug: key}}
	_, err := f.Commit(ctx, request, func(ctx context.Context, tx pgx.Tx) error {
		head, err := f.Lock(ctx, tx, log)
		if err != nil {
			return err
		}
		_, err = f.Append(ctx, tx, eventlog.Append{
			Log: log, Expected: head.Sequence, Actor: operator(), Events: manyNamed(1),
		})
		for _, do := range work {
			err = errors.Join(err, do(ctx, tx))
		}
		return err
	})
	return err
}

// Neighbours in the index of logs are created and written by transactions that
// all overlap. None is asked to run again.
func TestCommitsOfNeighboursDoNotConflict(t *testing.T) {
	t.Parallel()
	f, meeting := newMeeting(t)
	logs := make([]string, 3*commitsAtOnce)
	for i := range logs {
		logs[i] = newLog()
	}
	for _, log := range logs[commitsAtOnce:] {
		f.mustAppend(t, log, 0, named("x"))
	}
	// A third is created, a third is written, and a third is locked and written.
	meeting.Expect(len(logs))
	inParallel(t, len(logs), func(ctx context.Context, i int) error {
		key := fmt.Sprint("key ", i)
		switch i / commitsAtOnce {
		case 0:
			_, _, err := f.create(ctx, key, logs[i])
			return err
		case 1:
			return f.addTo(ctx, key, logs[i])
		}
		request := eventlog.Request{Scope: "tok_1", Key: key, Log: logs[i], Procedure: "/p", Message: &requestMessage{}}
		_, err := f.Commit(ctx, request, func(ctx context.Context, tx pgx.Tx) error {
			_, err := f.Append(ctx, tx, eventlog.Append{
				Log: logs[i], Expected: eventlog.AnyHead, Actor: operator(), Events: manyNamed(2),
			})
			return err
		})
		return err
	})
	if runs := meeting.Runs(); runs != len(logs) {
		t.Errorf("%d transactions ran for %d commits", runs, len(logs))
	}
	for _, log := range logs {
		f.sound(t, log)
	}
}

// lockedPages are the pages and tables that a transaction has predicate locks
// on, with which it meets others that have nothing to do with it.
const lockedPages = `SELECT coalesce(string_agg(relation::regclass::text, ' '), '') FROM pg_locks
WHERE mode = 'SIReadLock' AND pid = pg_backend_pid() AND tuple IS NULL AND relation <> 'pg_locks'::regclass`

func TestCommitsLockNoPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if f.db.Flavor() != sqldb.PostgreSQL {
		return // it has no such locks
	}
	none := func(ctx context.Context, tx pgx.Tx) error {
		var found string
		err := tx.QueryRow(ctx, lockedPages).Scan(&found)
		if err == nil && found != "" {
			err = fmt.Errorf("pages of %s are locked", found)
		}
		return err
	}
	log := newLog()
	request := eventlog.Request{Scope: "tok_1", Key: "new", Procedure: "/p", Message: &requestMessage{}}
	_, err := f.Commit(t.Context(), request, func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.Append(ctx, tx, eventlog.Append{Log: log, HomeRegion: region, Actor: operator(), Events: manyNamed(1)})
		return errors.Join(err, none(ctx, tx))
	})
	if err == nil {
		err = f.addTo(t.Context(), "more", log, none)
	}
	if err != nil {
		t.Error(err)
	}
	// The query sees what there is to see.
	f.LockKeys()
	if err := f.addTo(t.Context(), "control", log, none); err == nil {
		t.Error("no page is locked by a read: this test looks at nothing")
	}
}

// What is sent to CockroachDB does the same as what is sent to PostgreSQL.
func TestRowsOfLogs(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(fixture){
		"as of the database": func(fixture) {},
		"keys":               func(f fixture) { f.LockKeys() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			prepare(f)
			f.goesOnAfterRefusals(t)
			f.takesTurns(t)
		})
	}
}

// goesOnAfterRefusals asks for absent logs in a transaction that commits.
func (f fixture) goesOnAfterRefusals(t *testing.T) {
	t.Helper()
	absent, log := newLog(), newLog()
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		if _, err := f.Lock(ctx, tx, absent); !fault.Is(err, commonv1.Reason_NOT_FOUND) {
			return fmt.Errorf("lock of an absent log: %w", err)
		}
		for expected, reason := range map[uint64]commonv1.Reason{
			eventlog.AnyHead: commonv1.Reason_NOT_FOUND, 3: commonv1.Reason_HEAD_MISMATCH,
		} {
			for _, log := range []string{absent, log} {
				_, err := f.Append(ctx, tx, eventlog.Append{Log: log, Expected: expected, Actor: operator(), Events: manyNamed(1)})
				if !fault.Is(err, reason) {
					return fmt.Errorf("append at %d to an absent log: %w", expected, err)
				}
			}
		}
		_, err := f.Append(ctx, tx, eventlog.Append{Log: log, HomeRegion: region, Actor: operator(), Events: manyNamed(2)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := f.count(t, "logs"); n != 1 {
		t.Errorf("%d logs, want the one that was created", n)
	}
	if head := f.sound(t, log).Head; head != 2 {
		t.Errorf("the head is %d, want 2", head)
	}
}

// takesTurns writes one log from many transactions that lock it first, with and
// without an append: all appends are there, one after the other.
func (f fixture) takesTurns(t *testing.T) {
	t.Helper()
	log := newLog()
	f.mustAppend(t, log, 0, named("x"))
	const writers, each = 6, 5
	inParallel(t, writers, func(ctx context.Context, writer int) error {
		for n := range each {
			err := f.db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
				head, err := f.Lock(ctx, tx, log)
				if err != nil || (writer+n)%3 == 0 {
					return err
				}
				_, err = f.Append(ctx, tx, eventlog.Append{Log: log, Expected: head.Sequence, Actor: operator(), Events: manyNamed(1)})
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if head := f.sound(t, log).Head; head != 1+writers*each*2/3 {
		t.Errorf("the head is %d, want %d", head, 1+writers*each*2/3)
	}
}
