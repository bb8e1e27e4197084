package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// The limits of reads.
const (
	// MaxRead is how many events one Read returns at most.
	MaxRead = 10_000
	// MaxReadBytes is the size of the envelopes that one Read or Outbox returns.
	// The event that crosses it is still returned.
	MaxReadBytes = 16 << 20
	// MaxHeads is how many heads one Heads returns at most.
	MaxHeads = 1_000
)

// Head is the state of a log: its last event.
type Head struct {
	Log, HomeRegion string
	// Sequence of the last event.
	Sequence uint64
	// Hash of the last event.
	Hash [32]byte
	// Time is the commit clock of the last event.
	Time time.Time
}

// scan reads home_region, head, head_hash and head_time.
func (h *Head) scan(scan func(...any) error) error {
	var sequence int64
	var hash []byte
	if err := scan(&h.HomeRegion, &sequence, &hash, &h.Time); err != nil {
		return err
	}
	if sequence < 0 || len(hash) != len(h.Hash) {
		return corrupt(h.Log, 0, "the head of the log is malformed")
	}
	h.Sequence, h.Hash, h.Time = uint64(sequence), [32]byte(hash), h.Time.UTC()
	return nil
}

const selectHead = `SELECT home_region, head, head_hash, head_time FROM log.logs WHERE log_id = $1`

// Lock locks a log until the transaction ends and returns its head. A work that
// reads state rows before it appends locks first: else it reads, and may do much
// more, only to find at its Append that another process was faster.
//
// Errors: NOT_FOUND.
func (s *Store) Lock(ctx context.Context, tx pgx.Tx, log string) (Head, error) {
	h := Head{Log: log}
	batch := &pgx.Batch{}
	s.queueLock(batch, &h)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return Head{}, failed(tx, "lock log", err)
	}
	if h.Sequence > 0 {
		return h, nil
	}
	if err := s.forget(ctx, tx, log); err != nil {
		return Head{}, err
	}
	return Head{}, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such log")
}

// LockAll is Lock for several logs at once. It locks them in the order of their
// ids, whatever the order of the arguments: those who lock several do not wait for
// each other in a circle. The heads come in that order; a log that is named twice
// is locked once.
//
// Errors: NOT_FOUND, with "log".
func (s *Store) LockAll(ctx context.Context, tx pgx.Tx, logs ...string) ([]Head, error) {
	logs = slices.Compact(slices.Sorted(slices.Values(logs)))
	heads := make([]Head, len(logs))
	batch := &pgx.Batch{}
	for i, log := range logs {
		heads[i].Log = log
		s.queueLock(batch, &heads[i])
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, failed(tx, "lock logs", err)
	}
	for _, h := range heads {
		if h.Sequence > 0 {
			continue
		}
		if err := s.forget(ctx, tx, h.Log); err != nil {
			return nil, err
		}
		return nil, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such log").With("log", h.Log)
	}
	return heads, nil
}

const selectHeads = `SELECT log_id, home_region, head, head_hash, head_time
FROM log.logs WHERE log_id > $1 ORDER BY log_id LIMIT $2`

// Head returns the head of a log. q may be a transaction or the pool.
//
// Errors: NOT_FOUND, DATABASE_UNAVAILABLE.
func (s *Store) Head(ctx context.Context, q sqldb.Querier, log string) (Head, error) {
	h := Head{Log: log}
	err := h.scan(q.QueryRow(ctx, selectHead, log).Scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return Head{}, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such log")
	}
	if err != nil {
		return Head{}, failed(q, "read head", err)
	}
	return h, nil
}

const selectHeadsOf = `SELECT log_id, home_region, head, head_hash, head_time
FROM log.logs WHERE log_id = ANY($1) ORDER BY log_id`

// HeadsOf is Head for several logs in one query, by the primary key. The heads come
// ordered by id; a log that is absent has none.
//
// Errors: DATABASE_UNAVAILABLE.
func (s *Store) HeadsOf(ctx context.Context, q sqldb.Querier, logs ...string) ([]Head, error) {
	rows, err := q.Query(ctx, selectHeadsOf, logs)
	if err != nil {
		return nil, failed(q, "read heads", err)
	}
	return collectHeads(q, rows)
}

// Heads returns the heads of up to limit (1 to MaxHeads) logs whose id is after
// the given one, ordered by id. Start with the empty id; a page that is not full
// is the last.
//
// Errors: INVALID_FIELD, DATABASE_UNAVAILABLE.
func (s *Store) Heads(ctx context.Context, q sqldb.Querier, after string, limit int) ([]Head, error) {
	if err := checkLimit(limit, MaxHeads); err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, selectHeads, after, limit)
	if err != nil {
		return nil, failed(q, "read heads", err)
	}
	return collectHeads(q, rows)
}

func collectHeads(q sqldb.Querier, rows pgx.Rows) ([]Head, error) {
	heads, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Head, error) {
		var h Head
		err := h.scan(func(into ...any) error { return row.Scan(append([]any{&h.Log}, into...)...) })
		return h, err
	})
	if err != nil {
		return nil, failed(q, "read heads", err)
	}
	return heads, nil
}

func checkLimit(limit, most int) error {
	if limit < 1 || limit > most {
		return fault.Field("limit", "range", fmt.Sprintf("must be 1 to %d", most))
	}
	return nil
}

// storedEvent is a row of log.events, not checked yet.
type storedEvent struct {
	sequence   int64
	envelope   []byte // nil when larger than MaxEventBytes
	hash       []byte
	recordedAt time.Time
}

// selectEvents reads a range by the primary key. The running sum stops it at a
// number of bytes; the event that crosses the number is the last. An envelope
// that is larger than any event can be stays in the database.
const selectEvents = `SELECT sequence, CASE WHEN size <= $5 THEN envelope END, hash, recorded_at
FROM (
  SELECT sequence, envelope, hash, recorded_at, size, sum(size) OVER (ORDER BY sequence) AS total
  FROM (
    SELECT sequence, envelope, hash, recorded_at, octet_length(envelope) AS size
    FROM log.events WHERE log_id = $1 AND sequence >= $2
    ORDER BY sequence LIMIT $3
  ) AS page
) AS summed
WHERE total - size < $4 ORDER BY sequence`

// stored reads rows of a log from a sequence on: at most limit, and no more
// after MaxReadBytes.
func stored(ctx context.Context, q sqldb.Querier, log string, from uint64, limit int) ([]storedEvent, error) {
	rows, err := q.Query(ctx, selectEvents, log, int64(from), limit, int64(MaxReadBytes), MaxEventBytes)
	if err != nil {
		return nil, failed(q, "read events", err)
	}
	events := make([]storedEvent, 0, min(limit, 256))
	var e storedEvent
	_, err = pgx.ForEachRow(rows, []any{&e.sequence, &e.envelope, &e.hash, &e.recordedAt}, func() error {
		events = append(events, e)
		e = storedEvent{}
		return nil
	})
	if err != nil {
		return nil, failed(q, "read events", err)
	}
	return events, nil
}

// decode reads the row of a log that must have the sequence.
func (e storedEvent) decode(log string, sequence uint64) (Recorded, error) {
	if e.sequence != int64(sequence) {
		return Recorded{}, corrupt(log, sequence, "the event is missing")
	}
	if e.envelope == nil {
		return Recorded{}, corrupt(log, sequence, "the envelope is too large")
	}
	r, err := Decode(e.envelope)
	if err != nil {
		f, _ := fault.As(err)
		return Recorded{}, f.With("log", log).With("sequence", fmt.Sprint(sequence))
	}
	switch {
	case string(e.hash) != string(r.Hash[:]):
		return Recorded{}, corrupt(log, sequence, "the stored hash is not the hash of the envelope")
	case r.Envelope.GetLog() != log:
		return Recorded{}, corrupt(log, sequence, "the envelope is of another log")
	case r.Envelope.GetSequence() != sequence:
		return Recorded{}, corrupt(log, sequence, "the envelope has another sequence")
	}
	return r, nil
}

// Read returns events of a log in order, from the sequence from (0 means 1) on:
// up to limit (1 to MaxRead), and fewer when they are larger than MaxReadBytes
// together. No events means that from is after the head, or that there is no
// such log. q may be a transaction or the pool.
//
// Errors: INVALID_FIELD; DATABASE_UNAVAILABLE; EVENT_CORRUPT with "log" and
// "sequence" of the first event that cannot be read, is missing or does not
// follow its predecessor: the events before it are returned as well.
func (s *Store) Read(ctx context.Context, q sqldb.Querier, log string, from uint64, limit int) ([]Recorded, error) {
	if !revision.ValidLog(log) {
		return nil, fault.Field("log", "log_id", "not the id of a log")
	}
	if err := checkLimit(limit, MaxRead); err != nil {
		return nil, err
	}
	from = max(from, 1)
	if from > maxSequence {
		return nil, nil
	}
	rows, err := stored(ctx, q, log, from, limit)
	if err != nil {
		return nil, err
	}
	events := make([]Recorded, 0, len(rows))
	for i, row := range rows {
		r, err := row.decode(log, from+uint64(i))
		if err == nil && (i > 0 || from == 1) {
			var previous Recorded
			if i > 0 {
				previous = events[i-1]
			}
			err = Next(previous, r)
		}
		if err != nil {
			return events, err
		}
		events = append(events, r)
	}
	return events, nil
}

// maxSequence is the largest sequence that the database can hold.
const maxSequence = 1<<63 - 1
