package project

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// maxPrevious is how many logs' last events a writer remembers.
const maxPrevious = 4096

// stopped is an event that cannot be applied.
type stopped struct {
	log      string
	sequence uint64
	cause    error
}

// Error implements error.
func (s *stopped) Error() string {
	return fmt.Sprintf("event %d of %s cannot be applied: %v", s.sequence, s.log, s.cause)
}

// Unwrap returns the cause, so that the database's wish to retry stays visible.
func (s *stopped) Unwrap() error { return s.cause }

// write applies a batch in one transaction. A log that cannot go on is halted
// and the batch is repeated without it.
func (w *rowsWriter) write(ctx context.Context, key string, batch []bus.Message) error {
	for {
		var poison *stopped
		var run *rowsRun
		err := w.c.DB.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
			run = &rowsRun{c: w.c, rows: w.rows, tx: tx, known: w.previous, last: make(map[string]eventlog.Recorded)}
			err := run.batch(ctx, key, batch)
			poison = nil
			errors.As(err, &poison)
			return err
		})
		if err == nil {
			w.remember(run)
			return nil
		}
		if poison == nil || away(err) {
			return err
		}
		if err := haltLog(ctx, w.c, poison); err != nil {
			return err
		}
		w.metrics.halted.Inc()
		w.c.Log.ErrorContext(ctx, "projection halted", slog.String("log", poison.log),
			slog.Uint64("sequence", poison.sequence), slog.String("error", poison.cause.Error()))
	}
}

// remember keeps what committed.
func (w *rowsWriter) remember(run *rowsRun) {
	if len(w.previous)+len(run.last) > maxPrevious {
		clear(w.previous)
	}
	maps.Copy(w.previous, run.last)
	w.metrics.applied.Add(float64(run.applied))
	if run.filled > 0 {
		w.metrics.backfill.WithLabelValues("events").Add(float64(run.filled))
	}
}

// rowsRun is one attempt of a transaction.
type rowsRun struct {
	c       Config
	rows    Rows
	tx      pgx.Tx
	known   map[string]eventlog.Recorded
	last    map[string]eventlog.Recorded
	applied int
	filled  int
}

// batch applies messages and notes how far each log and the stream are.
func (r *rowsRun) batch(ctx context.Context, key string, batch []bus.Message) error {
	if err := lockProjection(ctx, r.tx, r.c.Name); err != nil {
		return err
	}
	logs, byLog := group(batch)
	reached, err := loadCheckpoints(ctx, r.tx, r.c.Name, logs)
	if err != nil {
		return err
	}
	halted, err := loadHalted(ctx, r.tx, r.c.Name, logs)
	if err != nil {
		return err
	}
	for _, log := range logs {
		if halted[log] {
			continue
		}
		if err := r.messages(ctx, log, reached[log], byLog[log]); err != nil {
			return err
		}
	}
	if err := storeCheckpoints(ctx, r.tx, r.c.Name, r.last); err != nil {
		return err
	}
	return storePosition(ctx, r.tx, r.c.Name, key, batch[len(batch)-1].Sequence)
}

// group sorts messages by log and leaves out those that the relay did not write.
func group(batch []bus.Message) (logs []string, byLog map[string][]bus.Message) {
	byLog = make(map[string][]bus.Message)
	for _, m := range batch {
		if m.Log == "" {
			continue
		}
		if _, ok := byLog[m.Log]; !ok {
			logs = append(logs, m.Log)
		}
		byLog[m.Log] = append(byLog[m.Log], m)
	}
	return logs, byLog
}

// messages applies what is new for one log and fills gaps from the events table.
func (r *rowsRun) messages(ctx context.Context, log string, last uint64, messages []bus.Message) error {
	for _, m := range messages {
		verdict := Judge(last, m.LogSequence)
		if verdict == Drop {
			continue
		}
		if verdict == Gap {
			r.filled++
			n, err := r.table(ctx, log, last, m.LogSequence-1)
			if err != nil {
				return err
			}
			last = n
		}
		e, err := m.Decode()
		if err != nil {
			return &stopped{log: log, sequence: m.LogSequence, cause: err}
		}
		if err := r.apply(ctx, log, last, e); err != nil {
			return err
		}
		last = m.LogSequence
	}
	return nil
}

// table applies events of the table after last up to a sequence (0: all) and
// returns the sequence that it reached.
func (r *rowsRun) table(ctx context.Context, log string, last, upTo uint64) (uint64, error) {
	for upTo == 0 || last < upTo {
		limit := readPage
		if upTo != 0 {
			limit = int(min(upTo-last, readPage))
		}
		events, err := r.c.Store.Read(ctx, r.tx, log, last+1, limit)
		for _, e := range events {
			if err := r.apply(ctx, log, last, e); err != nil {
				return last, err
			}
			last++
		}
		switch {
		case corrupt(err):
			return last, &stopped{log: log, sequence: last + 1, cause: err}
		case err != nil:
			return last, err
		case len(events) == 0 && upTo == 0:
			return last, nil
		case len(events) == 0:
			return last, &stopped{log: log, sequence: last + 1, cause: errAbsent}
		}
	}
	return last, nil
}

// apply checks the chain and applies one event.
func (r *rowsRun) apply(ctx context.Context, log string, last uint64, e eventlog.Recorded) error {
	previous, err := r.predecessor(ctx, log, last)
	if err != nil {
		return err
	}
	sequence := e.Envelope.GetSequence()
	if err := eventlog.Next(previous, e); err != nil {
		return &stopped{log: log, sequence: sequence, cause: err}
	}
	if err := r.rows.Apply(ctx, r.tx, e); err != nil {
		return &stopped{log: log, sequence: sequence, cause: err}
	}
	r.last[log] = e
	r.applied++
	return nil
}

// predecessor returns the event with a sequence of the log: it is remembered, or
// in the table.
func (r *rowsRun) predecessor(ctx context.Context, log string, sequence uint64) (eventlog.Recorded, error) {
	if sequence == 0 {
		return eventlog.Recorded{}, nil
	}
	for _, events := range []map[string]eventlog.Recorded{r.last, r.known} {
		if e, ok := events[log]; ok && e.Envelope.GetSequence() == sequence {
			return e, nil
		}
	}
	events, err := r.c.Store.Read(ctx, r.tx, log, sequence, 1)
	if err != nil && !corrupt(err) {
		return eventlog.Recorded{}, err
	}
	if err != nil || len(events) == 0 {
		return eventlog.Recorded{}, &stopped{
			log: log, sequence: sequence + 1,
			cause: fmt.Errorf("its predecessor cannot be read: %w", errors.Join(err, errAbsent)),
		}
	}
	return events[0], nil
}

var errAbsent = errors.New("the events table does not have it")
