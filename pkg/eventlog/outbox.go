package eventlog

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// MaxOutbox is how many entries one Outbox returns at most.
const MaxOutbox = 1_000

// Pending is one append that the relay has not published yet.
type Pending struct {
	// RecordedAt is the time of the first event. It increases strictly inside a
	// log.
	RecordedAt time.Time
	Log        string
	// First and Last are the sequences of Events.
	First, Last uint64
	// Events are in order and chained.
	Events []Recorded
}

const selectClock = `SELECT clock_timestamp()`

// selectOutbox reads a region's entries by the primary key and the events of
// each, as one statement: one snapshot. The running sum stops it at a number of
// bytes; the event that crosses the number is the last.
const selectOutbox = `SELECT recorded_at, log_id, first_sequence, last_sequence, sequence,
  CASE WHEN size <= $4 THEN envelope END, hash
FROM (
  SELECT o.recorded_at, o.log_id, o.first_sequence, o.last_sequence,
    COALESCE(e.sequence, 0) AS sequence, e.envelope, COALESCE(e.hash, '') AS hash,
    COALESCE(octet_length(e.envelope), 0) AS size,
    sum(COALESCE(octet_length(e.envelope), 0))
      OVER (ORDER BY o.recorded_at, o.log_id, o.first_sequence, e.sequence) AS total
  FROM (
    SELECT recorded_at, log_id, first_sequence, last_sequence FROM log.outbox
    WHERE home_region = $1 ORDER BY recorded_at, log_id, first_sequence LIMIT $2
  ) AS o
  LEFT JOIN log.events AS e
    ON e.log_id = o.log_id AND e.sequence BETWEEN o.first_sequence AND o.last_sequence
) AS p
WHERE total - size < $3
ORDER BY recorded_at, log_id, first_sequence, sequence`

// deleteOutbox removes entries only while the lease is held and the stream is
// the one that was filled. FOR SHARE keeps the lease from being taken meanwhile.
const deleteOutbox = `WITH held AS (
  SELECT 1 FROM log.relay_leases
  WHERE home_region = $1 AND holder = $5 AND epoch = $6 AND expires_at > clock_timestamp()
  FOR SHARE
), filled AS (
  UPDATE log.stream_fills SET sequence = $9
  WHERE home_region = $1 AND stream = $7 AND created = $8 AND EXISTS (SELECT 1 FROM held)
  RETURNING 1
), gone AS (
  DELETE FROM log.outbox
  WHERE home_region = $1 AND EXISTS (SELECT 1 FROM filled) AND (recorded_at, log_id, first_sequence) IN (
    SELECT p.recorded_at, p.log_id, p.first_sequence
    FROM unnest($2::TIMESTAMPTZ[], $3::TEXT[], $4::INT8[]) AS p (recorded_at, log_id, first_sequence))
  RETURNING 1
)
SELECT count(*) FROM filled`

const countOutbox = `SELECT count(*), min(recorded_at) FROM log.outbox WHERE home_region = $1`

// nextOutbox finds the region after another by the primary key.
const nextOutbox = `SELECT home_region FROM log.outbox WHERE home_region > $1 ORDER BY home_region LIMIT 1`

// maxOutboxes is how many regions Outboxes names at most.
const maxOutboxes = 100

// Outboxes names the regions whose outbox has entries, sorted, at most 100.
//
// Errors: DATABASE_UNAVAILABLE.
func (s *Store) Outboxes(ctx context.Context) (regions []string, err error) {
	pool := s.db.Pool()
	for next := ""; len(regions) < maxOutboxes; regions = append(regions, next) {
		err := pool.QueryRow(ctx, nextOutbox, next).Scan(&next)
		if errors.Is(err, pgx.ErrNoRows) {
			break
		}
		if err != nil {
			return nil, failed(pool, "look for outboxes", err)
		}
	}
	return regions, nil
}

// Outbox returns a region's entries that were not marked as published, the
// oldest first and each log in order, with their events: up to limit (1 to
// MaxOutbox), and fewer when they are larger than MaxReadBytes together.
//
// asOf is the database's clock, read by a statement of its own that ended before
// the one that read the outbox began. The claim: every append that went to the
// region's outbox and whose commit was acknowledged before the database's clock
// showed asOf is in pending, or was marked as published. So, once pending is
// published, nothing of it committed before asOf is missing from what has been
// published. A transaction that was open at asOf and commits later may bring
// events whose own time is before asOf; they are not covered, because age counts
// from the commit.
// When more is pending than was returned there is no such claim, and asOf is the
// zero time.
//
// Errors: INVALID_FIELD; DATABASE_UNAVAILABLE; EVENT_CORRUPT when events of an
// entry cannot be read: pending then has the entries of all other logs, and of
// that log those before it, and asOf is the zero time.
func (s *Store) Outbox(ctx context.Context, region string, limit int) (pending []Pending, asOf time.Time, err error) {
	if err := checkLimit(limit, MaxOutbox); err != nil {
		return nil, time.Time{}, err
	}
	pool := s.db.Pool()
	if err := pool.QueryRow(ctx, selectClock).Scan(&asOf); err != nil {
		return nil, time.Time{}, failed(pool, "read clock", err)
	}
	rows, err := pool.Query(ctx, selectOutbox, region, limit+1, int64(MaxReadBytes), MaxEventBytes)
	if err != nil {
		return nil, time.Time{}, failed(pool, "read outbox", err)
	}
	entries, size, err := readEntries(rows)
	if err != nil {
		return nil, time.Time{}, failed(pool, "read outbox", err)
	}
	more := len(entries) > limit || size >= MaxReadBytes
	if more && len(entries) > 1 {
		// The last may be cut off.
		entries = entries[:len(entries)-1]
	}
	if pending, err = decodeEntries(entries); err != nil || more {
		return pending, time.Time{}, err
	}
	return pending, asOf.UTC(), nil
}

// entry is an outbox row with the rows of its events, not checked yet.
type entry struct {
	at          time.Time
	log         string
	first, last int64
	events      []storedEvent
}

func (e entry) same(o entry) bool { return e.at.Equal(o.at) && e.log == o.log && e.first == o.first }

func readEntries(rows pgx.Rows) (entries []entry, size int, err error) {
	var e entry
	var row storedEvent
	fields := []any{&e.at, &e.log, &e.first, &e.last, &row.sequence, &row.envelope, &row.hash}
	_, err = pgx.ForEachRow(rows, fields, func() error {
		if n := len(entries); n == 0 || !entries[n-1].same(e) {
			entries = append(entries, e)
		}
		newest := &entries[len(entries)-1]
		if row.sequence != 0 {
			newest.events = append(newest.events, row)
		}
		size += len(row.envelope)
		row = storedEvent{}
		return nil
	})
	return entries, size, err
}

// decodeEntries decodes what it can. A log with an event that cannot be read
// stops there; the first such fault is returned.
func decodeEntries(entries []entry) (pending []Pending, err error) {
	stopped := map[string]bool{}
	for _, e := range entries {
		if stopped[e.log] {
			continue
		}
		p, fault := e.decode()
		if fault != nil {
			stopped[e.log] = true
			if err == nil {
				err = fault
			}
			continue
		}
		pending = append(pending, p)
	}
	return pending, err
}

func (e entry) decode() (Pending, error) {
	p := Pending{RecordedAt: e.at.UTC(), Log: e.log, First: uint64(e.first), Last: uint64(e.last)}
	if e.first < 1 || e.last < e.first || e.last-e.first >= MaxAppendEvents {
		return p, corrupt(e.log, p.First, "the outbox entry is malformed")
	}
	for i := range int(e.last-e.first) + 1 {
		if i >= len(e.events) {
			return p, corrupt(e.log, p.First+uint64(i), "the event is missing")
		}
		r, err := e.events[i].decode(e.log, p.First+uint64(i))
		if err == nil && i > 0 {
			err = Next(p.Events[i-1], r)
		}
		if err != nil {
			return p, err
		}
		p.Events = append(p.Events, r)
	}
	return p, nil
}

// Publisher says who published, and where to.
type Publisher struct {
	// Holder and Epoch are of the lease, as given to and returned by Acquire.
	Holder string
	Epoch  uint64
	// Fill is the stream that was published to, with where it ends now.
	Fill Fill
}

// MarkPublished removes exactly these entries from a region's outbox, and notes
// where the stream ends. Doing it again changes nothing. It does nothing, and
// marked is false, when the publisher does not hold the lease any more, or when
// its stream is not the one that RecordFill noted.
//
// Errors: INVALID_FIELD; DATABASE_UNAVAILABLE: it may or may not be done.
func (s *Store) MarkPublished(ctx context.Context, region string, by Publisher, published []Pending) (marked bool, err error) {
	times := make([]time.Time, len(published))
	logs, firsts := make([]string, len(published)), make([]int64, len(published))
	for i, p := range published {
		if p.First > maxSequence {
			return false, fault.Field("published", "range", "a sequence is out of range")
		}
		times[i], logs[i], firsts[i] = p.RecordedAt, p.Log, int64(p.First)
	}
	if by.Epoch > maxSequence || by.Fill.Sequence > maxSequence {
		return false, fault.Field("by", "range", "an epoch or a sequence is out of range")
	}
	var noted int
	pool := s.db.Pool()
	err = pool.QueryRow(ctx, deleteOutbox, region, times, logs, firsts,
		by.Holder, int64(by.Epoch), by.Fill.Stream, by.Fill.Created, int64(by.Fill.Sequence)).Scan(&noted)
	if err != nil {
		return false, failed(pool, "delete outbox", err)
	}
	return noted > 0, nil
}

// Backlog counts a region's pending entries and says when the oldest was
// recorded: the zero time when there is none.
//
// Errors: DATABASE_UNAVAILABLE.
func (s *Store) Backlog(ctx context.Context, region string) (entries int64, oldest time.Time, err error) {
	var first *time.Time
	pool := s.db.Pool()
	if err := pool.QueryRow(ctx, countOutbox, region).Scan(&entries, &first); err != nil {
		return 0, time.Time{}, failed(pool, "count outbox", err)
	}
	if first != nil {
		oldest = first.UTC()
	}
	return entries, oldest, nil
}
