package sqldb_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// TestFrozenServer stops the session's process before the commit arrives: the
// commit is sent, and nobody answers until the deadline.
func TestFrozenServer(t *testing.T) {
	t.Parallel()
	server := startServer(t, t.TempDir())
	d := newDeadline(t.Context())
	tracer := &statements{seen: func(sql string) {
		if sql == "commit" {
			time.AfterFunc(50*time.Millisecond, d.pass)
		}
	}}
	db := open(t, sqldb.Config{URL: server.URL(), Tracer: tracer})
	execute(t, db.Pool(), "CREATE TABLE notes (n INT PRIMARY KEY)")
	frozen := 0
	err := db.Write(d, func(ctx context.Context, tx pgx.Tx) error {
		frozen = int(tx.Conn().PgConn().PID())
		if err := insert(ctx, tx); err != nil {
			return err
		}
		return syscall.Kill(frozen, syscall.SIGSTOP)
	})
	wantFault(t, err, fault.UnknownOutcome, commonv1.Reason_OUTCOME_UNKNOWN)
	if err := syscall.Kill(frozen, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	execute(t, db.Pool(), "SELECT pg_terminate_backend($1, 10000)", frozen) // waits for its end
	if got := countNotes(t, db); got != 0 && got != 1 {
		t.Fatalf("there are %d notes", got)
	}
}

// TestServerVanishesBeforeCommit ends the server inside a transaction, and looks
// at what it kept after a restart.
func TestServerVanishesBeforeCommit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := startServer(t, dir)
	db := open(t, sqldb.Config{URL: server.URL()})
	execute(t, db.Pool(), "CREATE TABLE notes (n INT PRIMARY KEY)")
	err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		if err := insert(ctx, tx); err != nil {
			return err
		}
		if err := server.Stop(t.Context()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO notes VALUES (2)")
		return err
	})
	wantFault(t, err, fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE)
	wantFault(t, db.Write(t.Context(), insert), fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE)
	wantFault(t, db.Read(t.Context(), insert), fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE)
	_, err = db.Pool().Exec(t.Context(), insertNote)
	wantFault(t, sqldb.Unavailable(err), fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE)
	again := open(t, sqldb.Config{URL: startServer(t, dir).URL()})
	if got := countNotes(t, again); got != 0 {
		t.Fatalf("there are %d notes, want none", got)
	}
}

func startServer(t *testing.T, dir string) *pglocal.Server {
	t.Helper()
	server, err := pglocal.Start(t.Context(), pglocal.Options{Dir: dir, Fast: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}
