package project

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// lockRow is the stream name of the row that orders the transactions of one
// projection: those of its streams, of other processes and of a rebuild.
const lockRow = ""

const (
	takeLock = `INSERT INTO log.stream_positions (projection, stream, position) VALUES ($1, $2, 1)
ON CONFLICT (projection, stream) DO UPDATE SET position = log.stream_positions.position + 1`
	selectPosition = `SELECT position FROM log.stream_positions WHERE projection = $1 AND stream = $2`
	upsertPosition = `INSERT INTO log.stream_positions (projection, stream, position) VALUES ($1, $2, $3)
ON CONFLICT (projection, stream) DO UPDATE SET position = excluded.position`
	selectCheckpoints = `SELECT log_id, sequence FROM log.checkpoints WHERE projection = $1 AND log_id = ANY($2)`
	upsertCheckpoints = `INSERT INTO log.checkpoints (projection, log_id, sequence)
SELECT $1, c.log_id, c.sequence FROM unnest($2::TEXT[], $3::INT8[]) AS c (log_id, sequence)
ON CONFLICT (projection, log_id) DO UPDATE SET sequence = excluded.sequence`
	selectHalted = `SELECT log_id FROM log.halts WHERE projection = $1 AND log_id = ANY($2)`
	insertHalt   = `INSERT INTO log.halts (projection, log_id, sequence, reason, halted_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (projection, log_id) DO NOTHING`
	selectHalts = `SELECT log_id, sequence, reason, halted_at FROM log.halts WHERE projection = $1 AND log_id > $2
ORDER BY log_id LIMIT 1000`
	deleteHalt        = `DELETE FROM log.halts WHERE projection = $1 AND log_id = $2`
	deleteHalts       = `DELETE FROM log.halts WHERE projection = $1`
	deleteCheckpoints = `DELETE FROM log.checkpoints WHERE projection = $1`
)

// positionKey names one life of a stream: a stream that is made anew starts at 1
// again.
func positionKey(stream string, created int64) string {
	return stream + "@" + strconv.FormatInt(created, 10)
}

// lockProjection orders this transaction after the others of the projection.
func lockProjection(ctx context.Context, tx pgx.Tx, projection string) error {
	if _, err := tx.Exec(ctx, takeLock, projection, lockRow); err != nil {
		return fmt.Errorf("lock projection: %w", err)
	}
	return nil
}

func loadPosition(ctx context.Context, q sqldb.Querier, projection, key string) (uint64, error) {
	var position int64
	err := q.QueryRow(ctx, selectPosition, projection, key).Scan(&position)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, sqldb.Unavailable(fmt.Errorf("read position: %w", err))
	}
	return uint64(max(0, position)), nil
}

func storePosition(ctx context.Context, tx pgx.Tx, projection, key string, position uint64) error {
	if _, err := tx.Exec(ctx, upsertPosition, projection, key, int64(position)); err != nil {
		return fmt.Errorf("store position: %w", err)
	}
	return nil
}

func loadCheckpoints(ctx context.Context, tx pgx.Tx, projection string, logs []string) (map[string]uint64, error) {
	rows, err := tx.Query(ctx, selectCheckpoints, projection, logs)
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	reached := make(map[string]uint64, len(logs))
	var log string
	var sequence int64
	_, err = pgx.ForEachRow(rows, []any{&log, &sequence}, func() error {
		reached[log] = uint64(max(0, sequence))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read checkpoints: %w", err)
	}
	return reached, nil
}

func storeCheckpoints(ctx context.Context, tx pgx.Tx, projection string, last map[string]eventlog.Recorded) error {
	if len(last) == 0 {
		return nil
	}
	logs, sequences := make([]string, 0, len(last)), make([]int64, 0, len(last))
	for log, e := range last {
		logs = append(logs, log)
		sequences = append(sequences, int64(e.Envelope.GetSequence()))
	}
	if _, err := tx.Exec(ctx, upsertCheckpoints, projection, logs, sequences); err != nil {
		return fmt.Errorf("store checkpoints: %w", err)
	}
	return nil
}

func loadHalted(ctx context.Context, tx pgx.Tx, projection string, logs []string) (map[string]bool, error) {
	rows, err := tx.Query(ctx, selectHalted, projection, logs)
	if err != nil {
		return nil, fmt.Errorf("read halts: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read halts: %w", err)
	}
	halted := make(map[string]bool, len(names))
	for _, log := range names {
		halted[log] = true
	}
	return halted, nil
}

// maxReason is the size of the reason of a halt, in bytes.
const maxReason = 1000

// haltLog notes that a log cannot go on.
func haltLog(ctx context.Context, c Config, s *stopped) error {
	reason := s.cause.Error()
	return c.DB.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, insertHalt, c.Name, s.log, int64(s.sequence), reason[:min(len(reason), maxReason)], c.Clock().UTC())
		return err
	})
}

// Halts lists the logs at which a projection stopped, by log id, at most 1,000
// after the given one.
//
// Errors: DATABASE_UNAVAILABLE.
func Halts(ctx context.Context, q sqldb.Querier, projection, after string) ([]Halt, error) {
	rows, err := q.Query(ctx, selectHalts, projection, after)
	if err != nil {
		return nil, sqldb.Unavailable(fmt.Errorf("read halts: %w", err))
	}
	halts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Halt, error) {
		var h Halt
		var sequence int64
		err := row.Scan(&h.Log, &sequence, &h.Reason, &h.Time)
		h.Sequence, h.Time = uint64(max(0, sequence)), h.Time.UTC()
		return h, err
	})
	if err != nil {
		return nil, sqldb.Unavailable(fmt.Errorf("read halts: %w", err))
	}
	return halts, nil
}
