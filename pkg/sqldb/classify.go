package sqldb

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// SQLSTATE codes that mean something to this package.
// Source: PostgreSQL documentation, appendix A.
const (
	serializationFailure       = "40001"
	statementCompletionUnknown = "40003"
	deadlockDetected           = "40P01"
	uniqueViolation            = "23505"
	readOnlyTransaction        = "25006"
	idleInTransactionTimeout   = "25P03"
	diskFull                   = "53100"
	queryCanceled              = "57014"
	ioError                    = "58030"
)

// retryHint is when a client may try again after the database was not there.
const retryHint = time.Second

// Unavailable maps an error of reading, outside of Write and Read, to a fault:
// DATABASE_UNAVAILABLE, DISK_FULL, CONFLICT (a serialization failure), DEADLINE
// or CANCELLED. A fault, an error that says nothing about the database's state
// (no rows, a violated constraint) and nil come back as they are. It says that
// nothing was written, which of a statement that writes only Write can know.
func Unavailable(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := fault.As(err); !ok && serialization(err) {
		return conflict(err)
	}
	return classify(context.Background(), err)
}

// UniqueViolation says whether err is a refused duplicate, and of which unique
// index or constraint.
func UniqueViolation(err error) (constraint string, ok bool) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == uniqueViolation {
		return pg.ConstraintName, true
	}
	return "", false
}

// classify maps an error of a transaction that is known not to be committed.
// ctx is the caller's: its end explains an error better than the error does.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := fault.As(err); ok {
		return err
	}
	var connect *pgconn.ConnectError
	switch state := sqlState(err); {
	case ctx.Err() != nil && (interrupted(err) || state == queryCanceled || disconnected(err)):
		return ended(ctx.Err(), err)
	case errors.As(err, &connect):
		return unavailable(err)
	case state != "":
		return byState(state, err)
	case interrupted(err):
		return ended(err, err)
	case disconnected(err):
		return unavailable(err)
	default:
		return err
	}
}

func byState(state string, err error) error {
	switch {
	case state == diskFull:
		return fault.New(fault.Exhausted, commonv1.Reason_DISK_FULL,
			"the database has no room left on its disk; nothing was written").Because(err)
	case state == queryCanceled:
		return fault.New(fault.Deadline, commonv1.Reason_DEADLINE,
			"a statement took longer than the database allows; nothing was written").Because(err)
	case state == idleInTransactionTimeout, state == readOnlyTransaction, state == ioError:
		return unavailable(err)
	}
	switch state[:2] {
	case "08", "28", "53", "57", "3D":
		return unavailable(err)
	default:
		return err
	}
}

func unavailable(err error) error {
	return fault.New(fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE,
		"the database cannot be reached, or refused; nothing was written").Retry(retryHint).Because(err)
}

func conflict(err error) error {
	return fault.New(fault.Conflict, commonv1.Reason_CONFLICT,
		"something competed for the same rows, again and again; nothing was written").Because(err)
}

func outcomeUnknown(err error) error {
	return fault.New(fault.UnknownOutcome, commonv1.Reason_OUTCOME_UNKNOWN,
		"the commit was sent and its outcome is not known; repeat with the same idempotency key to find out").Because(err)
}

func defect(detail string, err error) error {
	return fault.New(fault.Internal, commonv1.Reason_DEFECT, detail).Because(err)
}

func ended(end, cause error) error {
	if errors.Is(end, context.Canceled) {
		return fault.New(fault.Cancelled, commonv1.Reason_CANCELLED,
			"the caller went away; nothing was written").Because(cause)
	}
	return fault.New(fault.Deadline, commonv1.Reason_DEADLINE,
		"the deadline passed; nothing was written").Because(cause)
}

func interrupted(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// disconnected says whether err comes from a connection that is gone, and not
// from an answer of the database.
func disconnected(err error) bool {
	var network net.Error
	return errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, puddle.ErrClosedPool) || errors.Is(err, pgconn.ErrConnClosed) ||
		pgconn.SafeToRetry(err)
}

// serialization says whether the database asks to run the transaction again.
// It looks below faults too, since a layer may have put one around the cause.
func serialization(err error) bool {
	state := sqlState(err)
	return state == serializationFailure || state == deadlockDetected
}

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && len(pg.Code) == 5 {
		return pg.Code
	}
	return ""
}

// refusedCommit says whether an error that COMMIT returned proves that nothing
// was written: it was never sent, or the server answered with an error (and not
// with the end of the session) of a class that can only come before the commit
// record. Everything else is unknown; 57014 for one may be raised after it.
func refusedCommit(err error) bool {
	if unsent(err) || errors.Is(err, pgx.ErrTxCommitRollback) {
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 || severity(pg) != "ERROR" || pg.Code == statementCompletionUnknown {
		return false
	}
	switch pg.Code[:2] {
	case "22", "23", "25", "40", "42", "53":
		return true
	default:
		return false
	}
}

// unsent says whether the driver saw that ctx had ended before it sent anything.
//
// pgconn.SafeToRetry alone must not be asked about a commit: when the connection
// breaks while the driver waits for the answer to a simple query, pgx 5.12
// reports "conn closed", which claims to be safe to retry although the query was
// sent (TestOutcomeUnknown). That the connection was closed before the commit is
// therefore checked by committable.
func unsent(err error) bool { return interrupted(err) && pgconn.SafeToRetry(err) }

func severity(pg *pgconn.PgError) string {
	if pg.SeverityUnlocalized != "" {
		return pg.SeverityUnlocalized
	}
	return pg.Severity
}
