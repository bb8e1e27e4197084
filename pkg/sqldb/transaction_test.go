package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

const insertNote = "INSERT INTO notes VALUES (1)"

func notes(t *testing.T, c sqldb.Config) *sqldb.DB {
	t.Helper()
	c.URL = sqltest.URL(t)
	db := open(t, c)
	execute(t, db.Pool(), "CREATE TABLE notes (n INT PRIMARY KEY CHECK (n < 100))")
	return db
}

func countNotes(t *testing.T, db *sqldb.DB) int {
	t.Helper()
	return number(t, db.Pool(), "SELECT count(*) FROM notes")
}

func insert(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, insertNote)
	return err
}

func TestWriteCommits(t *testing.T) {
	t.Parallel()
	db := notes(t, sqldb.Config{})
	if err := db.Write(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	if got := countNotes(t, db); got != 1 {
		t.Fatalf("there are %d notes, want 1", got)
	}
}

// TestErrorsOfWork: what fn returns decides, and nothing is written.
func TestErrorsOfWork(t *testing.T) {
	t.Parallel()
	refusal := fault.New(fault.Exists, commonv1.Reason_HEAD_MISMATCH, "refused")
	plain := errors.New("plain")
	for name, c := range map[string]struct {
		work sqldb.Work
		want func(t *testing.T, err error)
	}{
		"a fault comes back as it is": {
			func(context.Context, pgx.Tx) error { return fmt.Errorf("append: %w", refusal) },
			func(t *testing.T, err error) {
				if f, ok := fault.As(err); !ok || f != refusal {
					t.Fatalf("got %v", err)
				}
			},
		},
		"another error comes back as it is": {
			func(context.Context, pgx.Tx) error { return plain },
			func(t *testing.T, err error) {
				if !errors.Is(err, plain) {
					t.Fatalf("got %v", err)
				}
			},
		},
		"a duplicate is left to the caller": {
			insert,
			func(t *testing.T, err error) {
				if name, ok := sqldb.UniqueViolation(err); !ok || name != "notes_pkey" {
					t.Fatalf("got %v", err)
				}
			},
		},
		"a failed statement that was overlooked": {
			func(ctx context.Context, tx pgx.Tx) error {
				_, _ = tx.Exec(ctx, "INSERT INTO notes VALUES (100)")
				return nil
			},
			func(t *testing.T, err error) { wantFault(t, err, fault.Internal, commonv1.Reason_DEFECT) },
		},
		"a statement that takes too long": {
			func(ctx context.Context, tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "SELECT pg_sleep(30)")
				return err
			},
			func(t *testing.T, err error) { wantFault(t, err, fault.Deadline, commonv1.Reason_DEADLINE) },
		},
		"a full disk": {
			raise("53100"),
			func(t *testing.T, err error) { wantFault(t, err, fault.Exhausted, commonv1.Reason_DISK_FULL) },
		},
		"a database that is shutting down": {
			raise("57P01"),
			func(t *testing.T, err error) {
				wantFault(t, err, fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := notes(t, sqldb.Config{StatementTimeout: 100 * time.Millisecond})
			execute(t, db.Pool(), insertNote)
			c.want(t, db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, "INSERT INTO notes VALUES (2)"); err != nil {
					return err
				}
				return c.work(ctx, tx)
			}))
			if got := countNotes(t, db); got != 1 {
				t.Fatalf("there are %d notes, want the first alone", got)
			}
		})
	}
}

// raise lets the server itself fail with the code.
func raise(code string) sqldb.Work {
	return func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '"+code+"'; END $$")
		return err
	}
}

func TestConflictAfterTheRetries(t *testing.T) {
	t.Parallel()
	now := time.Now()
	db := notes(t, sqldb.Config{RetryFor: 3 * time.Second, Clock: func() time.Time {
		now = now.Add(time.Second)
		return now
	}})
	runs := 0
	err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		runs++
		if err := insert(ctx, tx); err != nil {
			return err
		}
		if err := raise("40001")(ctx, tx); err != nil {
			return fault.New(fault.Internal, commonv1.Reason_DEFECT, "wrapped").Because(err)
		}
		return nil
	})
	wantFault(t, err, fault.Conflict, commonv1.Reason_CONFLICT)
	if runs != 3 {
		t.Fatalf("the transaction ran %d times, want 3", runs)
	}
	if got := countNotes(t, db); got != 0 {
		t.Fatalf("there are %d notes, want none", got)
	}
}

func TestPanicOfWorkRollsBack(t *testing.T) {
	t.Parallel()
	db := notes(t, sqldb.Config{MaxConns: 1})
	func() {
		defer func() {
			if recover() == nil {
				t.Fatal("the panic did not come through")
			}
		}()
		_ = db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			if err := insert(ctx, tx); err != nil {
				return err
			}
			panic("defect")
		})
	}()
	if got := countNotes(t, db); got != 0 { // and the only connection is free
		t.Fatalf("there are %d notes, want none", got)
	}
}

func TestEndBeforeCommit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end    func(t *testing.T) (context.Context, func())
		kind   fault.Kind
		reason commonv1.Reason
	}{
		"cancelled": {func(t *testing.T) (context.Context, func()) {
			return context.WithCancel(t.Context())
		}, fault.Cancelled, commonv1.Reason_CANCELLED},
		"deadline": {func(t *testing.T) (context.Context, func()) {
			d := newDeadline(t.Context())
			return d, d.pass
		}, fault.Deadline, commonv1.Reason_DEADLINE},
	} {
		for when, statement := range map[string]string{"in a statement": "SELECT pg_sleep(30)", "between statements": "SELECT 1", "at the commit": ""} {
			t.Run(name+" "+when, func(t *testing.T) {
				t.Parallel()
				db := notes(t, sqldb.Config{MaxConns: 2})
				ctx, end := c.end(t)
				err := db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
					if err := insert(ctx, tx); err != nil {
						return err
					}
					if statement == "SELECT pg_sleep(30)" {
						time.AfterFunc(20*time.Millisecond, end)
					} else {
						end()
					}
					if statement == "" {
						return nil
					}
					_, err := tx.Exec(ctx, statement)
					return err
				})
				wantFault(t, err, c.kind, c.reason)
				if got := countNotes(t, db); got != 0 {
					t.Fatalf("there are %d notes, want none", got)
				}
			})
		}
	}
}

func TestFullPool(t *testing.T) {
	t.Parallel()
	db := notes(t, sqldb.Config{MaxConns: 1, AcquireTimeout: 200 * time.Millisecond})
	conn, err := db.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantFault(t, db.Write(t.Context(), insert), fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE)
	conn.Release()
	if err := db.Write(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
}

// TestDeadConnectionsOfThePool: connections that the server has closed are
// replaced without the caller's notice.
func TestDeadConnectionsOfThePool(t *testing.T) {
	t.Parallel()
	db := notes(t, sqldb.Config{MaxConns: 2})
	other := open(t, sqldb.Config{URL: sqltest.URL(t)})
	first, err := db.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pid := first.Conn().PgConn().PID()
	first.Release()
	execute(t, other.Pool(), "SELECT pg_terminate_backend($1, 10000)", int(pid))
	if err := db.Write(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
}

func TestReadIsOneSnapshot(t *testing.T) {
	t.Parallel()
	db := notes(t, sqldb.Config{})
	err := db.Read(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		if got := number(t, tx, "SELECT count(*) FROM notes"); got != 0 {
			t.Errorf("there are %d notes, want none", got)
		}
		if err := db.Write(t.Context(), insert); err != nil {
			return err
		}
		if got := number(t, tx, "SELECT count(*) FROM notes"); got != 0 {
			t.Errorf("the snapshot has changed: %d notes", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Read(t.Context(), insert)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) && !fault.Is(err, commonv1.Reason_DATABASE_UNAVAILABLE) {
		t.Fatalf("got %v, want a refused write", err)
	}
	if got := countNotes(t, db); got != 1 {
		t.Fatalf("there are %d notes, want 1", got)
	}
}

func TestSessionSettings(t *testing.T) {
	t.Parallel()
	db := notes(t, sqldb.Config{ApplicationName: "test", StatementTimeout: 7 * time.Second, IdleInTransactionTimeout: 8 * time.Second})
	for setting, want := range map[string]string{
		"application_name": "test", "statement_timeout": "7s", "idle_in_transaction_session_timeout": "8s",
	} {
		var got string
		if err := db.Pool().QueryRow(t.Context(), "SHOW "+setting).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
}

// A transaction whose client went silent, as one that was cut off, does not hold
// its rows for longer than AbandonedAfter.
func TestAbandonedWritesLetGo(t *testing.T) {
	t.Parallel()
	db := notes(t, sqldb.Config{AbandonedAfter: 300 * time.Millisecond, IdleInTransactionTimeout: time.Hour})
	if db.Flavor() != sqldb.PostgreSQL {
		return // it has times of its own
	}
	execute(t, db.Pool(), insertNote)
	bump := func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE notes SET n = n + 1")
		return err
	}
	held, over, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			if err := bump(ctx, tx); err != nil {
				return err
			}
			close(held)
			<-over
			return bump(ctx, tx)
		})
	}()
	<-held
	err := db.Write(t.Context(), bump)
	close(over)
	if err != nil {
		t.Errorf("who waits: %v", err)
	}
	if err := <-ended; !fault.Is(err, commonv1.Reason_DATABASE_UNAVAILABLE) {
		t.Errorf("who was silent: %v, want DATABASE_UNAVAILABLE", err)
	}
	if got := number(t, db.Pool(), "SELECT n FROM notes"); got != 2 {
		t.Errorf("the note is %d, want 2: one of the writes", got)
	}
}
