// Package commit is what the calls of services have in common that append to a log or
// read rows beside one.
package commit

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
)

// Mutation is the request of a call that changes something.
type Mutation interface {
	proto.Message
	GetIdempotencyKey() string
}

// Once runs work in one transaction, once for each of the caller's keys, and
// fills out with what the caller is told. log is the log that work appends to, or
// "" for several.
//
// Errors: TOKEN_MISSING, those of eventlog.Store.Commit and of work.
func Once(
	ctx context.Context, log *eventlog.Store, logID, procedure string, req Mutation, out proto.Message,
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

// Append appends what was decided to a log whose head is locked, and returns the
// revision token; without events it is that of the head. There may be more events
// than one append takes.
func Append(
	ctx context.Context, tx pgx.Tx, log *eventlog.Store, head eventlog.Head, caller principal.Principal, events []proto.Message,
) (string, error) {
	rev, err := AppendAll(ctx, tx, log, head, caller, events)
	if err != nil {
		return "", err
	}
	return revision.Token(rev)
}

// AppendAll is Append, with the revision.
func AppendAll(
	ctx context.Context, tx pgx.Tx, log *eventlog.Store, head eventlog.Head, caller principal.Principal, events []proto.Message,
) (revision.Revision, error) {
	rev := revision.Revision{Log: head.Log, Sequence: head.Sequence}
	for some := range slices.Chunk(events, eventlog.MaxAppendEvents) {
		var err error
		rev, err = log.Append(ctx, tx, eventlog.Append{Log: head.Log, Expected: rev.Sequence, Actor: caller.Actor(), Events: some})
		if err != nil {
			return rev, err
		}
	}
	return rev, nil
}
