package eventlog

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// A log moves to another home region by one event (Append.MoveTo).
//
// A region's relay publishes that region's outbox, and its heartbeats say up to
// which commit clock it did. A replica of a log believes the heartbeats of the
// region that the envelope of its last event names. Therefore the event that
// moves a log goes to the outbox of the home that the log leaves, and its
// envelope names the one that it goes to. A replica that does not have the event
// yet waits for the old home's heartbeats, which cover it; one that has it waits
// for the new home's, which cover all that follows. With the event in the new
// outbox, or the old region in its envelope, heartbeats that know nothing of an
// event would vouch for a replica that lacks it.
//
// Append takes the home from the log's row, which it has locked: no event goes
// to the outbox of a home that the log has left.

const moveHome = `UPDATE log.logs SET home_region = $2 WHERE log_id = $1`

const insertMove = `INSERT INTO log.moves (log_id, sequence, home_region, to_region, moved_at)
VALUES ($1, $2, $3, $4, $5)`

// queueMove notes that the event with a sequence takes a log from its home to
// another region.
func queueMove(batch *pgx.Batch, head Head, to string, sequence int64, at time.Time) {
	batch.Queue(moveHome, head.Log, to)
	batch.Queue(insertMove, head.Log, sequence, head.HomeRegion, to, at)
}

// outboxOf is the region whose outbox an event went to: where the log was at
// home before it.
func outboxOf(previous, r Recorded) string {
	if previous.Envelope == nil {
		return r.Envelope.GetRegion()
	}
	return previous.Envelope.GetRegion()
}

// departure is a move of a log: the last event of its stay at a home.
type departure struct {
	sequence int64
	from     string
}

// selectMoves reads the moves of logs by the primary key.
const selectMoves = `SELECT log_id, sequence, home_region FROM log.moves
WHERE log_id = ANY($1) ORDER BY log_id, sequence`

// departures reads the moves of logs, those of each log in order.
func departures(ctx context.Context, q sqldb.Querier, logs ...string) (map[string][]departure, error) {
	rows, err := q.Query(ctx, selectMoves, logs)
	if err != nil {
		return nil, failed(q, "read moves", err)
	}
	moves := make(map[string][]departure)
	var log string
	var d departure
	_, err = pgx.ForEachRow(rows, []any{&log, &d.sequence, &d.from}, func() error {
		moves[log] = append(moves[log], d)
		return nil
	})
	if err != nil {
		return nil, failed(q, "read moves", err)
	}
	return moves, nil
}

// Stay is a run of events of a log that went to the outbox of one region.
type Stay struct{ First, Last uint64 }

// Stays returns, for each of the logs that ever was at home in a region, the
// events up to its head that went to that region's outbox, in order. heads are
// what Heads returned.
//
// Errors: DATABASE_UNAVAILABLE.
func (s *Store) Stays(ctx context.Context, q sqldb.Querier, region string, heads []Head) (map[string][]Stay, error) {
	logs := make([]string, len(heads))
	for i, h := range heads {
		logs[i] = h.Log
	}
	moves, err := departures(ctx, q, logs...)
	if err != nil {
		return nil, err
	}
	stays := make(map[string][]Stay)
	for _, h := range heads {
		if own := h.stays(region, moves[h.Log]); len(own) > 0 {
			stays[h.Log] = own
		}
	}
	return stays, nil
}

// stays cuts a log at its moves, which are in order, and returns what went to a
// region's outbox. Moves after the head are not looked at.
func (h Head) stays(region string, moves []departure) []Stay {
	var stays []Stay
	first := uint64(1)
	for _, m := range moves {
		last := uint64(m.sequence)
		if last > h.Sequence {
			break
		}
		if m.from == region {
			stays = append(stays, Stay{first, last})
		}
		first = last + 1
	}
	if h.HomeRegion == region && first <= h.Sequence {
		stays = append(stays, Stay{first, h.Sequence})
	}
	return stays
}
