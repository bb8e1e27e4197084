package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// Fold rebuilds a service's state rows from the events of a log, so that they
// can be compared with the rows that are stored.
type Fold interface {
	// Name is the service's, for people.
	Name() string
	// Start returns an empty fold of a log, or nil when the service keeps no rows
	// of such logs.
	Start(log string) Folding
}

// Folding is a fold of one log. It is used by one goroutine.
type Folding interface {
	// Apply folds the next event. It gets each event once, in order. An error
	// means that the event cannot be folded; its text may be shown to operators.
	Apply(r Recorded) error
	// Compare compares the fold with the stored rows of the log, as q shows them.
	// It returns the first difference, without personal data, or "". It may be
	// called again with more events applied in between.
	Compare(ctx context.Context, q sqldb.Querier) (difference string, err error)
}

// Copy is another copy of the events: the streams of JetStream. It MUST find an
// event once the relay's publication of it has been acknowledged.
type Copy interface {
	// Event returns the bytes of an event's envelope.
	Event(ctx context.Context, log string, sequence uint64) (bytes []byte, found bool, err error)
}

// Result is what Verify found.
type Result struct {
	// Head is the sequence of the log's last event when the rows were compared.
	Head uint64
	// Events is how many events were compared.
	Events uint64
	// Pending is how many of them the copy does not have because they still wait
	// in the outbox.
	Pending uint64
	// Difference is the first one, or nil.
	Difference *logv1.Difference
}

// Verifier compares a log with everything that should agree with it.
type Verifier struct {
	Store *Store
	// Folds are compared with the state rows.
	Folds []Fold
	// Copy is compared event by event. It may be nil.
	Copy Copy
}

// The values of Difference.copy.
const (
	differsChain  = "chain"
	differsStream = "stream"
	differsRows   = "rows"
	differsHead   = "head"
)

// verifyPage is how many events are read at a time; they are at most
// MaxReadBytes (and one event) together.
const verifyPage = 1_000

// Verify compares one log: each event with its hash and its predecessor, with
// the copy, and the last one with the log's head; then the fold of all events
// with the state rows. It stops at the first difference, which is an answer and
// not an error. progress, when not nil, is told how many events are compared so
// far.
//
// Events never change, so most of them are read in pages of transactions of
// their own, however long that takes. Only the events that were appended
// meanwhile, the head and the rows are then read in one snapshot: writes go on
// and give no false alarm, and the snapshot is short for a huge log too. The
// memory used does not grow with the log, except for what the folds keep.
//
// Kinds: "chain" an event is missing, changed or out of order; "stream" the copy
// lacks an event, or has another one, or one that the log does not have (events
// that wait in the outbox may be absent); "head" the log's row names another
// last event or home than there is, or its moves are not those of the events; "rows" an event cannot be folded, or the rows differ
// from the fold.
//
// Errors: NOT_FOUND, INVALID_FIELD, those of DB.Read, of the copy and of the
// folds.
func (v *Verifier) Verify(ctx context.Context, log string, progress func(events uint64)) (Result, error) {
	if !revision.ValidLog(log) {
		return Result{}, fault.Field("log", "log_id", "not the id of a log")
	}
	w := v.start(log, progress)
	err := w.run(ctx)
	if found, ok := errors.AsType[*differs](err); ok {
		w.result.Difference = found.difference
		err = nil
	}
	return w.result, err
}

// differs carries a difference up to Verify.
type differs struct{ difference *logv1.Difference }

func (d *differs) Error() string {
	return fmt.Sprintf("%s differs at %d: %s", d.difference.GetCopy(), d.difference.GetSequence(), d.difference.GetDetail())
}

// maxDetail is the size of the longest detail, in bytes.
const maxDetail = 1_000

func difference(where string, sequence uint64, detail string) error {
	if len(detail) > maxDetail {
		detail = detail[:maxDetail]
	}
	return &differs{&logv1.Difference{
		Copy: where, Sequence: sequence, Detail: string(bytes.ToValidUTF8([]byte(detail), nil)),
	}}
}

// walk is one run of Verify over one log.
type walk struct {
	*Verifier
	log      string
	progress func(uint64)
	folds    []namedFolding
	last     Recorded
	// moves are those that the events tell of.
	moves []departure
	// pendingFrom is the first sequence known to wait in the outbox of the region
	// pendingIn; 0: unknown.
	pendingFrom uint64
	pendingIn   string
	result      Result
}

type namedFolding struct {
	name string
	Folding
}

func (v *Verifier) start(log string, progress func(uint64)) *walk {
	w := &walk{Verifier: v, log: log, progress: progress}
	if progress == nil {
		w.progress = func(uint64) {}
	}
	for _, f := range v.Folds {
		if folding := f.Start(log); folding != nil {
			w.folds = append(w.folds, namedFolding{f.Name(), folding})
		}
	}
	return w
}

func (w *walk) run(ctx context.Context) error {
	head, err := w.head(ctx, w.Store.db.Pool())
	if err != nil {
		return err
	}
	w.result.Head = head.Sequence
	if err := w.upTo(ctx, w.Store.db.Pool(), head.Sequence); err != nil {
		return err
	}
	// When this runs again it goes on where it was: events that were committed
	// stay so.
	err = w.Store.db.Read(ctx, func(ctx context.Context, tx pgx.Tx) error {
		head, err := w.head(ctx, tx)
		if err != nil {
			return err
		}
		w.result.Head = head.Sequence
		if err := w.upTo(ctx, tx, head.Sequence); err != nil {
			return err
		}
		if err := w.compareHead(ctx, tx, head); err != nil {
			return err
		}
		return w.compareRows(ctx, tx)
	})
	if err != nil {
		return err
	}
	return w.compareEnd(ctx)
}

// head reads the log's row. Events without such a row are a difference.
func (w *walk) head(ctx context.Context, q sqldb.Querier) (Head, error) {
	head, err := w.Store.Head(ctx, q, w.log)
	f, ok := fault.As(err)
	switch {
	case err == nil:
		return head, nil
	case !ok || f.Kind == fault.Unavailable:
		return head, err
	case f.Kind == fault.Internal:
		return head, difference(differsHead, 0, f.Detail)
	case f.Kind != fault.NotFound:
		return head, err
	}
	rows, missing := stored(ctx, q, w.log, 1, 1)
	if missing == nil && len(rows) > 0 {
		return head, difference(differsHead, uint64(rows[0].sequence), "there are events but no head")
	}
	return head, errors.Join(missing, err)
}

// at is the sequence of the last event that was compared.
func (w *walk) at() uint64 { return w.last.Envelope.GetSequence() }

// upTo compares events up to the head's sequence.
func (w *walk) upTo(ctx context.Context, q sqldb.Querier, head uint64) error {
	for w.at() < head {
		from := w.at() + 1
		rows, err := stored(ctx, q, w.log, from, int(min(verifyPage, head-w.at())))
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return difference(differsHead, from, fmt.Sprintf("the head is %d, the last event is %d", head, w.at()))
		}
		for _, row := range rows {
			if err := w.step(ctx, row); err != nil {
				return err
			}
		}
		w.progress(w.result.Events)
	}
	return nil
}

// step compares one event and folds it.
func (w *walk) step(ctx context.Context, row storedEvent) error {
	sequence := w.at() + 1
	r, err := row.decode(w.log, sequence)
	if err == nil {
		err = Next(w.last, r)
	}
	if err != nil {
		return difference(differsChain, sequence, faultDetail(err))
	}
	switch {
	case w.last.Envelope != nil && !r.Time().After(w.last.Time()):
		return difference(differsChain, sequence, "the time is not after the predecessor's")
	case !row.recordedAt.Equal(r.Time()):
		return difference(differsChain, sequence, "recorded_at is not the envelope's time")
	}
	outbox := outboxOf(w.last, r)
	if err := w.compareCopy(ctx, r, outbox); err != nil {
		return err
	}
	if outbox != r.Envelope.GetRegion() {
		w.moves = append(w.moves, departure{int64(sequence), outbox})
	}
	for _, f := range w.folds {
		if err := f.Apply(r); err != nil {
			return difference(differsRows, sequence, f.name+" cannot fold the event: "+faultDetail(err))
		}
	}
	w.last = r
	w.result.Events++
	return nil
}

func faultDetail(err error) string {
	if f, ok := fault.As(err); ok {
		return f.Detail
	}
	return err.Error()
}

// compareHead compares the log's rows with the events.
func (w *walk) compareHead(ctx context.Context, q sqldb.Querier, head Head) error {
	if w.at() > head.Sequence {
		return difference(differsHead, w.at(), fmt.Sprintf("the head is %d, the last event is %d or later", head.Sequence, w.at()))
	}
	beyond, err := stored(ctx, q, w.log, head.Sequence+1, 1)
	switch {
	case err != nil:
		return err
	case len(beyond) > 0:
		return difference(differsHead, uint64(beyond[0].sequence),
			fmt.Sprintf("the head is %d, there is an event %d", head.Sequence, beyond[0].sequence))
	case head.Sequence == 0:
		return difference(differsHead, 0, "the log has no events")
	case head.Hash != w.last.Hash:
		return difference(differsHead, head.Sequence, "the head's hash is not that of the last event")
	case !head.Time.Equal(w.last.Time()):
		return difference(differsHead, head.Sequence, "the head's time is not that of the last event")
	case head.HomeRegion != w.last.Envelope.GetRegion():
		return difference(differsHead, head.Sequence, "the home region is not that of the last event")
	}
	moves, err := departures(ctx, q, w.log)
	if err != nil {
		return err
	}
	if !slices.Equal(moves[w.log], w.moves) {
		return difference(differsHead, head.Sequence, "the moves are not those that the events tell of")
	}
	return nil
}

func (w *walk) compareRows(ctx context.Context, q sqldb.Querier) error {
	for _, f := range w.folds {
		detail, err := f.Compare(ctx, q)
		if err != nil {
			return fmt.Errorf("compare rows of %s: %w", f.name, err)
		}
		if detail != "" {
			return difference(differsRows, w.at(), f.name+": "+detail)
		}
	}
	return nil
}
