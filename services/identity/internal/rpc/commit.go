package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
)

// mutation is the request of a call that changes something.
type mutation interface {
	proto.Message
	GetIdempotencyKey() string
}

// commit runs work in one transaction, once for each of the caller's keys, and
// fills out with what the caller is told. log is the log that work appends to, or
// "" for several.
//
// Errors: TOKEN_MISSING, those of eventlog.Store.Commit and of work.
func commit(
	ctx context.Context, log *eventlog.Store, logID, procedure string, req mutation, out proto.Message,
	work func(ctx context.Context, tx pgx.Tx, caller principal.Principal) error,
) (replayed bool, err error) {
	caller, err := principal.Require(ctx)
	if err != nil {
		return false, err
	}
	return log.Commit(ctx, eventlog.Request{
		Scope: caller.Scope(), Key: req.GetIdempotencyKey(), Log: logID, Procedure: procedure, Message: req, Outcome: out,
	}, func(ctx context.Context, tx pgx.Tx) error { return work(ctx, tx, caller) })
}

// appended appends what was decided to a log whose head is locked, and returns
// the revision token; without events it is that of the head. What is more than one
// append may hold goes into several, of the same commit.
func appended(
	ctx context.Context, tx pgx.Tx, log *eventlog.Store, head eventlog.Head, caller principal.Principal, events []proto.Message,
) (string, error) {
	rev := revision.Revision{Log: head.Log, Sequence: head.Sequence}
	for len(events) > 0 {
		n := fitting(events)
		var err error
		rev, err = log.Append(ctx, tx, eventlog.Append{
			Log: head.Log, Expected: rev.Sequence, Actor: caller.Actor(), Events: events[:n],
		})
		if err != nil {
			return "", err
		}
		events = events[n:]
	}
	return revision.Token(rev)
}

// fitting is how many of the first events one append holds, at least one. Half of
// its bytes are left to the envelopes.
func fitting(events []proto.Message) (n int) {
	for size := 0; n < min(len(events), eventlog.MaxAppendEvents); n++ {
		if size += proto.Size(events[n]); n > 0 && size > eventlog.MaxAppendBytes/2 {
			break
		}
	}
	return n
}
