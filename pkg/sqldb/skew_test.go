package sqldb_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	crdbpgx "github.com/cockroachdb/cockroach-go/v2/crdb/crdbpgxv5"
	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// The case: two doctors are on call, one must stay. Each takes leave in a
// transaction that reads both rows and changes its own. Snapshots alone let both
// go; serializable transactions do not.
const onCall = "SELECT count(*) FROM doctors WHERE on_call"

var errLastOne = fault.New(fault.Precondition, commonv1.Reason_PRECONDITION_FAILED, "the last one stays")

func doctors(t *testing.T) *sqldb.DB {
	t.Helper()
	db := sqltest.New(t)
	execute(t, db.Pool(), "CREATE TABLE doctors (id INT PRIMARY KEY, on_call BOOL NOT NULL)")
	execute(t, db.Pool(), "INSERT INTO doctors VALUES (1, true), (2, true)")
	return db
}

// leave takes one doctor off call. meet is passed between the change and the
// commit.
func leave(ctx context.Context, tx pgx.Tx, id int, meet func()) error {
	var left int
	if err := tx.QueryRow(ctx, onCall).Scan(&left); err != nil {
		return err
	}
	if left < 2 {
		return errLastOne
	}
	if _, err := tx.Exec(ctx, "UPDATE doctors SET on_call = false WHERE id = $1", id); err != nil {
		return err
	}
	meet()
	return nil
}

// meeting lets the first runs of both transactions wait for each other.
func meeting() func() {
	var arrived atomic.Int32
	both := make(chan struct{})
	return func() {
		if arrived.Add(1) == 2 {
			close(both)
		}
		<-both
	}
}

func TestWriteIsSerializable(t *testing.T) {
	t.Parallel()
	db := doctors(t)
	meet := meeting()
	var runs atomic.Int32
	var outcomes [2]error
	var group sync.WaitGroup
	for n := range outcomes {
		group.Go(func() {
			outcomes[n] = db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
				runs.Add(1)
				return leave(ctx, tx, n+1, meet)
			})
		})
	}
	group.Wait()
	if left := number(t, db.Pool(), onCall); left != 1 {
		t.Fatalf("%d doctors are on call, want 1", left)
	}
	if runs.Load() != 3 {
		t.Errorf("the transactions ran %d times, want 3: one of them twice", runs.Load())
	}
	refused := 0
	for _, err := range outcomes {
		if err != nil {
			wantFault(t, err, fault.Precondition, commonv1.Reason_PRECONDITION_FAILED)
			refused++
		}
	}
	if refused != 1 {
		t.Fatalf("outcomes are %v, want one refusal", outcomes)
	}
}

// TestExecuteTxLosesWritesOnPostgreSQL is the reason why Write has a loop of its
// own there: both callers are told that they have written, and one has not.
func TestExecuteTxLosesWritesOnPostgreSQL(t *testing.T) {
	t.Parallel()
	db := doctors(t)
	if db.Flavor() != sqldb.PostgreSQL {
		return // on CockroachDB this is the right function
	}
	meet := meeting()
	var outcomes [2]error
	var group sync.WaitGroup
	for n := range outcomes {
		group.Go(func() {
			outcomes[n] = crdbpgx.ExecuteTx(t.Context(), db.Pool(), pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
				return leave(t.Context(), tx, n+1, meet)
			})
		})
	}
	group.Wait()
	if outcomes[0] != nil || outcomes[1] != nil {
		t.Fatalf("outcomes are %v: ExecuteTx reports the failure now, so the rule against it can go", outcomes)
	}
	if left := number(t, db.Pool(), onCall); left != 1 {
		t.Fatalf("%d doctors are on call, want 1: the other write is lost", left)
	}
}

func TestWriteUnderContention(t *testing.T) {
	t.Parallel()
	db := sqltest.New(t)
	execute(t, db.Pool(), "CREATE TABLE counter (n INT NOT NULL)")
	execute(t, db.Pool(), "INSERT INTO counter VALUES (0)")
	const writers, each = 16, 10
	var runs, written atomic.Int32
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range each {
				err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
					runs.Add(1)
					var n int
					if err := tx.QueryRow(ctx, "SELECT n FROM counter").Scan(&n); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, "UPDATE counter SET n = $1", n+1)
					return err
				})
				switch {
				case err == nil:
					written.Add(1)
				case !fault.Is(err, commonv1.Reason_CONFLICT): // on a machine that is busy with more
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got := number(t, db.Pool(), "SELECT n FROM counter"); got != int(written.Load()) || got == 0 {
		t.Fatalf("the counter is %d, and %d writes were acknowledged", got, written.Load())
	}
	if runs.Load() == writers*each {
		t.Fatal("no transaction ran twice: this test does not contend")
	}
}
