package eventlog

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/tink-crypto/tink-go/v2/tink"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/region"
	"github.com/meridian-iam/meridian/pkg/revision"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// AnyHead as Append.Expected appends to a log whatever its head is.
const AnyHead = ^uint64(0)

// Append is what to append to one log.
type Append struct {
	// Log is "platform", an organization's id or a user's id.
	Log string
	// Expected is the sequence of the log's last event. 0: the log must not exist
	// yet and is created. AnyHead: the log must exist.
	Expected uint64
	// HomeRegion is the home region of a new log. Read only when Expected is 0.
	HomeRegion string
	// MoveTo is the log's home region from this append on; empty: it stays where
	// it is. Only a log that exists moves, by an append of one event.
	MoveTo string
	// Actor is who causes the events. Required.
	Actor *logv1.Actor
	// Cause is the id of the request or event behind this, at most 256 bytes, or
	// empty.
	Cause string
	// Events are 1 to MaxAppendEvents events. They are not changed.
	Events []proto.Message
}

// maxText is the size of the largest actor id, service name or cause, in bytes.
const maxText = 256

// Append appends events to a log. It must be called inside DB.Write or Commit;
// the events exist when that transaction commits. Several appends in one
// transaction, to one log or several, are fine. The log's row is locked from
// here to the end of the transaction.
//
// Each event gets the next sequence, the hash of its predecessor, the trace
// context in ctx, and a time: the clock, or 1 µs after its predecessor where the
// clock is behind that.
//
// Errors: HEAD_MISMATCH (with "head"), NOT_FOUND (AnyHead and no such log),
// USER_ERASED, KEY_ELSEWHERE (personal data of a user whose key is another region's
// to open), BATCH_TOO_LARGE (events, bytes), INVALID_FIELD. After HEAD_MISMATCH
// and NOT_FOUND the transaction can go on; after any other error it must be
// rolled back, which returning the error does.
func (s *Store) Append(ctx context.Context, tx pgx.Tx, a Append) (revision.Revision, error) {
	drafts, users, err := s.prepare(a)
	if err != nil {
		return revision.Revision{}, err
	}
	head, found, err := s.lock(ctx, tx, a, users)
	if err != nil {
		return revision.Revision{}, err
	}
	at := s.now()
	if !at.After(head.Time) {
		at = head.Time.Add(time.Microsecond)
	}
	keys, err := s.openKeys(ctx, tx, head.HomeRegion, users, found, at)
	if err != nil {
		return revision.Revision{}, err
	}
	events, err := chain(ctx, a, drafts, keys, head, at)
	if err != nil {
		return revision.Revision{}, err
	}
	if err := s.write(ctx, tx, head, events); err != nil {
		return revision.Revision{}, err
	}
	touch(ctx, head.HomeRegion)
	return revision.Revision{Log: a.Log, Sequence: head.Sequence + uint64(len(events))}, nil
}

// prepare checks and encodes everything that can be done without the log's lock.
// users are those whom personal data is about, ordered.
func (s *Store) prepare(a Append) (drafts []draft, users []string, err error) {
	if err := a.check(); err != nil {
		return nil, nil, err
	}
	about := map[string]struct{}{}
	size := 0
	drafts = make([]draft, len(a.Events))
	for i, event := range a.Events {
		if drafts[i], err = s.draft(i, event); err != nil {
			return nil, nil, err
		}
		size += len(drafts[i].data)
		for _, p := range drafts[i].sealed {
			size += len(p.plain)
			about[p.user] = struct{}{}
		}
		if size > MaxAppendBytes {
			return nil, nil, tooMany("bytes", MaxAppendBytes)
		}
	}
	if len(about) > 0 && s.vault == nil {
		return nil, nil, defect("there is no vault to seal personal data with")
	}
	return drafts, slices.Sorted(maps.Keys(about)), nil
}

func (a Append) check() error {
	switch {
	case !revision.ValidLog(a.Log):
		return fault.Field("log", "log_id", "not the id of a log")
	case a.Expected == 0 && !region.Valid(a.HomeRegion):
		return fault.Field("home_region", "region", "a new log needs a home region of 1 to 32 lower-case letters, digits and dashes")
	case a.Actor.GetKind() == logv1.ActorKind_ACTOR_KIND_UNSPECIFIED:
		return fault.Field("actor.kind", "required", "an append needs an actor")
	case a.Actor.GetId() == "" || len(a.Actor.GetId()) > maxText:
		return fault.Field("actor.id", "length", fmt.Sprintf("an actor's id has 1 to %d bytes", maxText))
	case len(a.Actor.GetVia()) > maxText:
		return fault.Field("actor.via", "length", fmt.Sprintf("a service's name has at most %d bytes", maxText))
	case len(a.Cause) > maxText:
		return fault.Field("cause", "length", fmt.Sprintf("a cause has at most %d bytes", maxText))
	case len(a.Events) == 0:
		return fault.Field("events", "min_items", "an append needs an event")
	case len(a.Events) > MaxAppendEvents:
		return tooMany("events", MaxAppendEvents)
	}
	return a.checkMove()
}

func (a Append) checkMove() error {
	switch {
	case a.MoveTo == "":
		return nil
	case !region.Valid(a.MoveTo):
		return fault.Field("move_to", "region", "not the name of a region")
	case a.Expected == 0 || len(a.Events) != 1:
		return fault.Field("move_to", "move", "only a log that exists moves, by an append of one event")
	}
	return nil
}

func tooMany(what string, limit int) error {
	return fault.New(fault.Invalid, commonv1.Reason_BATCH_TOO_LARGE,
		fmt.Sprintf("an append has at most %d %s", limit, what)).
		With("limit", strconv.Itoa(limit)).With("field", what)
}

// lock takes the log's row, or creates it, checks the head, and reads the
// wrapped keys of users on the way.
func (s *Store) lock(ctx context.Context, tx pgx.Tx, a Append, users []string) (Head, userKeys, error) {
	head := Head{Log: a.Log, HomeRegion: a.HomeRegion, Time: time.Unix(0, 0).UTC()}
	var created int64
	var found userKeys
	batch := &pgx.Batch{}
	if a.Expected == 0 {
		batch.Queue(createLog, a.Log, a.HomeRegion, head.Hash[:], head.Time, s.now()).
			Exec(func(tag pgconn.CommandTag) error { created = tag.RowsAffected(); return nil })
	} else {
		s.queueLock(batch, &head)
	}
	if len(users) > 0 && !a.creates(users) {
		batch.Queue(selectKeys, users).Query(func(rows pgx.Rows) (err error) {
			found, err = readKeys(rows)
			return err
		})
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return Head{}, nil, fmt.Errorf("lock log: %w", err)
	}
	if a.Expected != 0 && head.Sequence == 0 {
		if err := s.forget(ctx, tx, a.Log); err != nil {
			return Head{}, nil, err
		}
	}
	return head, found, a.expect(head.Sequence, created == 1)
}

// creates says whether the append makes a user, whose key is then made without
// looking for one: on PostgreSQL the look would lock the place of all new keys.
func (a Append) creates(users []string) bool {
	return a.Expected == 0 && len(users) == 1 && users[0] == a.Log
}

// expect compares the head that was found with the expected one.
func (a Append) expect(head uint64, created bool) error {
	mismatch := fault.New(fault.Conflict, commonv1.Reason_HEAD_MISMATCH, "the log's head is not the expected one").
		With("log", a.Log)
	switch {
	case a.Expected == 0 && created:
		return nil
	case a.Expected == 0:
		return mismatch.With("expected", "0")
	case a.Expected == AnyHead && head == 0:
		return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such log")
	case a.Expected != AnyHead && a.Expected != head:
		return mismatch.With("expected", strconv.FormatUint(a.Expected, 10)).
			With("head", strconv.FormatUint(head, 10))
	case head > math.MaxInt64-MaxAppendEvents:
		return defect("the log is full")
	}
	return nil
}

// chain gives drafts their places after head and links them.
func chain(
	ctx context.Context, a Append, drafts []draft, keys map[string]tink.AEAD, head Head, at time.Time,
) ([]Recorded, error) {
	traced, region := traceparent(ctx), cmp.Or(a.MoveTo, head.HomeRegion)
	events := make([]Recorded, len(drafts))
	previous, size := head.Hash, 0
	for i, d := range drafts {
		sequence := head.Sequence + uint64(i) + 1
		sealed, err := seal(d, keys, a.Log, sequence)
		if err != nil {
			return nil, err
		}
		e := &logv1.Envelope{
			Log: a.Log, Sequence: sequence, Type: d.kind, Data: d.data, Sealed: sealed,
			Actor: a.Actor, Cause: a.Cause, Traceparent: traced, Region: region,
			Time:         timestamppb.New(at.Add(time.Duration(i) * time.Microsecond)),
			PreviousHash: slices.Clone(previous[:]),
		}
		if proto.Size(e) > MaxEventBytes {
			return nil, tooLarge(fmt.Sprintf("events[%d]", i))
		}
		if events[i], err = Encode(e); err != nil {
			return nil, err
		}
		previous = events[i].Hash
		if size += len(events[i].Bytes); size > MaxAppendBytes {
			return nil, tooMany("bytes", MaxAppendBytes)
		}
	}
	return events, nil
}

// traceparent renders the span in ctx as W3C Trace Context, or nothing.
func traceparent(ctx context.Context) string {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return ""
	}
	return fmt.Sprintf("00-%s-%s-%s", span.TraceID(), span.SpanID(), span.TraceFlags())
}

const insertEvent = `INSERT INTO log.events (log_id, sequence, home_region, envelope, hash, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6)`

const insertEvents = `INSERT INTO log.events (log_id, sequence, home_region, envelope, hash, recorded_at)
SELECT $1, e.sequence, $2, e.envelope, e.hash, e.recorded_at
FROM unnest($3::INT8[], $4::BYTEA[], $5::BYTEA[], $6::TIMESTAMPTZ[]) AS e (sequence, envelope, hash, recorded_at)`

const insertOutbox = `INSERT INTO log.outbox (home_region, recorded_at, log_id, first_sequence, last_sequence)
VALUES ($1, $2, $3, $4, $5)`

// write stores events, the new head and the outbox entry in one round trip. The
// entry goes to the outbox of the home that the log had before the events.
func (s *Store) write(ctx context.Context, tx pgx.Tx, head Head, events []Recorded) error {
	first, last := events[0], events[len(events)-1]
	home := first.Envelope.GetRegion()
	from, to := int64(head.Sequence)+1, int64(head.Sequence)+int64(len(events))
	batch := &pgx.Batch{}
	if len(events) == 1 {
		batch.Queue(insertEvent, head.Log, from, home, first.Bytes, first.Hash[:], first.Time())
	} else {
		sequences := make([]int64, len(events))
		envelopes, hashes := make([][]byte, len(events)), make([][]byte, len(events))
		times := make([]time.Time, len(events))
		for i := range events {
			sequences[i] = from + int64(i)
			envelopes[i], hashes[i], times[i] = events[i].Bytes, events[i].Hash[:], events[i].Time()
		}
		batch.Queue(insertEvents, head.Log, home, sequences, envelopes, hashes, times)
	}
	batch.Queue(s.moveHead(), head.Log, to, last.Hash[:], last.Time())
	batch.Queue(insertOutbox, head.HomeRegion, first.Time(), head.Log, from, to)
	if home != head.HomeRegion {
		queueMove(batch, head, home, to, last.Time())
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}
