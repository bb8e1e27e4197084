package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/cockroachdb/cockroach-go/v2/crdb"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func answer(code string) error {
	return &pgconn.PgError{Severity: "ERROR", Code: code, Message: "text of the database"}
}

func fatal(code string) error {
	return &pgconn.PgError{Severity: "FATAL", Code: code, Message: "text of the database"}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, c := range []struct {
		err  error
		want commonv1.Reason // unspecified: the error comes back as it is
	}{
		{refused, commonv1.Reason_DATABASE_UNAVAILABLE},
		{syscall.ECONNREFUSED, commonv1.Reason_DATABASE_UNAVAILABLE},
		{io.ErrUnexpectedEOF, commonv1.Reason_DATABASE_UNAVAILABLE},
		{fmt.Errorf("read head: %w", io.EOF), commonv1.Reason_DATABASE_UNAVAILABLE},
		{net.ErrClosed, commonv1.Reason_DATABASE_UNAVAILABLE},
		{pgconn.ErrConnClosed, commonv1.Reason_DATABASE_UNAVAILABLE},
		{fatal("57P01"), commonv1.Reason_DATABASE_UNAVAILABLE},
		{fatal("57P02"), commonv1.Reason_DATABASE_UNAVAILABLE},
		{fatal("57P03"), commonv1.Reason_DATABASE_UNAVAILABLE},
		{answer("08006"), commonv1.Reason_DATABASE_UNAVAILABLE},
		{fatal("25P03"), commonv1.Reason_DATABASE_UNAVAILABLE},
		{fatal("28P01"), commonv1.Reason_DATABASE_UNAVAILABLE},
		{fatal("3D000"), commonv1.Reason_DATABASE_UNAVAILABLE},
		{fatal("53300"), commonv1.Reason_DATABASE_UNAVAILABLE},
		{answer("58030"), commonv1.Reason_DATABASE_UNAVAILABLE},
		{answer("53100"), commonv1.Reason_DISK_FULL},
		{answer("57014"), commonv1.Reason_DEADLINE},
		{context.DeadlineExceeded, commonv1.Reason_DEADLINE},
		{context.Canceled, commonv1.Reason_CANCELLED},
		{answer("40001"), commonv1.Reason_CONFLICT},
		{answer("40P01"), commonv1.Reason_CONFLICT},
		{answer("23505"), commonv1.Reason_REASON_UNSPECIFIED},
		{answer("42601"), commonv1.Reason_REASON_UNSPECIFIED},
		{pgx.ErrNoRows, commonv1.Reason_REASON_UNSPECIFIED},
		{fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "x").Because(answer("40001")), commonv1.Reason_REASON_UNSPECIFIED},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			t.Parallel()
			got := Unavailable(c.err)
			if c.want == commonv1.Reason_REASON_UNSPECIFIED {
				if got != c.err { //nolint:errorlint // the same error, not one around it
					t.Fatalf("got %v, want the error as it was", got)
				}
				return
			}
			f, ok := fault.As(got)
			if !ok || f.Reason != c.want || !errors.Is(got, c.err) {
				t.Fatalf("got %v, want the reason %v", got, c.want)
			}
		})
	}
	if Unavailable(nil) != nil {
		t.Fatal("nil is no error")
	}
}

// TestCommitErrors: only an answer that proves it means "not written".
func TestCommitErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want commonv1.Reason
	}{
		{io.ErrUnexpectedEOF, commonv1.Reason_OUTCOME_UNKNOWN},
		{pgconn.ErrConnClosed, commonv1.Reason_OUTCOME_UNKNOWN},
		{context.DeadlineExceeded, commonv1.Reason_OUTCOME_UNKNOWN},
		{context.Canceled, commonv1.Reason_OUTCOME_UNKNOWN},
		{fatal("57P01"), commonv1.Reason_OUTCOME_UNKNOWN},
		{answer("57014"), commonv1.Reason_OUTCOME_UNKNOWN},
		{answer("40003"), commonv1.Reason_OUTCOME_UNKNOWN},
		{answer("08006"), commonv1.Reason_OUTCOME_UNKNOWN},
		{answer("XX000"), commonv1.Reason_OUTCOME_UNKNOWN},
		{fatal("53100"), commonv1.Reason_OUTCOME_UNKNOWN},
		{answer("53100"), commonv1.Reason_DISK_FULL},
		{answer("53200"), commonv1.Reason_DATABASE_UNAVAILABLE},
		{pgx.ErrTxCommitRollback, commonv1.Reason_DEFECT},
		{pgx.ErrTxClosed, commonv1.Reason_DEFECT},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			t.Parallel()
			err := settle(t.Context(), &commitError{cause: c.err})
			if !fault.Is(err, c.want) || !errors.Is(err, c.err) {
				t.Fatalf("got %v, want the reason %v", err, c.want)
			}
		})
	}
}

// script is a transaction that answers as the test says. It stands for the
// connection below CockroachDB's library, whose own errors cannot be made from
// outside.
type script map[string]error

func (s script) Exec(_ context.Context, sql string, _ ...any) error { return s[sql] }
func (s script) Commit(context.Context) error                       { return nil }
func (s script) Rollback(context.Context) error                     { return nil }

func TestErrorsOfExecuteTx(t *testing.T) {
	t.Parallel()
	const begin, release, restart = "SAVEPOINT cockroach_restart", "RELEASE SAVEPOINT cockroach_restart", "ROLLBACK TO SAVEPOINT cockroach_restart"
	refusal := fault.New(fault.Precondition, commonv1.Reason_PRECONDITION_FAILED, "refused")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		tx   script
		work error
		want commonv1.Reason
	}{
		"the commit is refused for good": {t.Context(), script{release: answer("40001")}, nil, commonv1.Reason_CONFLICT},
		"the commit is ambiguous":        {t.Context(), script{release: answer("40003")}, nil, commonv1.Reason_OUTCOME_UNKNOWN},
		"the commit is lost":             {t.Context(), script{release: io.ErrUnexpectedEOF}, nil, commonv1.Reason_OUTCOME_UNKNOWN},
		"the driver calls it safe":       {t.Context(), script{release: pgconn.ErrConnClosed}, nil, commonv1.Reason_OUTCOME_UNKNOWN},
		"the caller leaves at commit":    {ended, script{release: context.Canceled}, nil, commonv1.Reason_OUTCOME_UNKNOWN},
		"no restart":                     {t.Context(), script{restart: io.EOF}, answer("40001"), commonv1.Reason_DATABASE_UNAVAILABLE},
		"no restart, the caller left":    {ended, script{restart: context.Canceled}, answer("40001"), commonv1.Reason_CANCELLED},
		"no beginning":                   {t.Context(), script{begin: io.EOF}, nil, commonv1.Reason_DATABASE_UNAVAILABLE},
		"the work loses the connection":  {t.Context(), script{}, io.EOF, commonv1.Reason_DATABASE_UNAVAILABLE},
		"the work refuses":               {t.Context(), script{}, refusal, commonv1.Reason_PRECONDITION_FAILED},
		"the time is over":               {t.Context(), script{}, errRetriesOver, commonv1.Reason_CONFLICT},
		"the disk is full":               {t.Context(), script{}, answer("53100"), commonv1.Reason_DISK_FULL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := crdb.ExecuteInTx(c.ctx, c.tx, func() error { return c.work })
			if err == nil {
				t.Fatal("the library reports no error: the case proves nothing")
			}
			if got := settleCockroach(c.ctx, err); !fault.Is(got, c.want) {
				t.Fatalf("got %v, want the reason %v", got, c.want)
			}
		})
	}
	if err := settleCockroach(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}
