package project

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// Rows is a projection that keeps rows in the database. The rows and the note of
// how far each log was applied commit in one transaction.
type Rows interface {
	// Name is unique and never changes: progress is kept under it. The metrics
	// use it as a label.
	Name() string
	// Apply changes the rows by one event. It gets each event of a log once, in
	// order, except that a transaction may be run again. An error that is not the
	// database's being away halts this log and no other.
	Apply(ctx context.Context, tx pgx.Tx, e eventlog.Recorded) error
	// Reset removes all rows of the projection.
	Reset(ctx context.Context, tx pgx.Tx) error
}

// RunRows keeps a projection up to date until ctx ends. It goes on where it
// stopped; the first time it reads the streams from the beginning. The database
// or the bus being away is no error. Several processes may run the same
// projection: each event is applied once.
//
// A log whose event cannot be applied is noted in log.halts and left alone;
// Resume takes it up again.
//
// Errors: a configuration that cannot work.
func RunRows(ctx context.Context, c Config, rows Rows) error {
	c.Name = rows.Name()
	c = c.withDefaults(rows.Name())
	if err := c.check(); err != nil {
		return err
	}
	m := newMetrics(c.Metrics, c.Name)
	var group errgroup.Group
	for _, s := range c.Bus.Streams() {
		group.Go(func() error {
			w := &rowsWriter{c: c, rows: rows, metrics: m, previous: make(map[string]eventlog.Recorded)}
			w.follow(ctx, s)
			return nil
		})
	}
	return group.Wait()
}

// rowsWriter applies one stream to the rows.
type rowsWriter struct {
	c       Config
	rows    Rows
	metrics *metrics
	// previous has the last event of logs that were applied lately.
	previous map[string]eventlog.Recorded
}

// follow reads the stream until ctx ends.
func (w *rowsWriter) follow(ctx context.Context, s bus.Stream) {
	pause := firstPause
	for ctx.Err() == nil {
		reader, err := w.open(ctx, s)
		if err == nil {
			err = w.read(ctx, reader)
			reader.Close()
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, bus.ErrReplaced):
			// The stream begins anew; what was applied is dropped.
			err = w.forget(ctx, s)
			w.c.Log.ErrorContext(ctx, "stream was lost and is read from its beginning", slog.String("stream", s.Name))
		}
		if err != nil {
			w.c.Log.WarnContext(ctx, "projection interrupted", slog.String("stream", s.Name), slog.String("error", err.Error()))
			pause = sleep(ctx, pause)
			continue
		}
		pause = firstPause
	}
}

func (w *rowsWriter) open(ctx context.Context, s bus.Stream) (*bus.Reader, error) {
	end, err := w.c.Bus.End(ctx, s.Name)
	if err != nil {
		return nil, err
	}
	after, err := loadPosition(ctx, w.c.DB.Pool(), w.c.Name, positionKey(s.Name, end.Created))
	if err != nil {
		return nil, err
	}
	return w.c.Bus.Read(ctx, bus.ReadOptions{Stream: s.Name, After: after, Created: end.Created})
}

// forget makes the next open read from the beginning.
func (w *rowsWriter) forget(ctx context.Context, s bus.Stream) error {
	end, err := w.c.Bus.End(ctx, s.Name)
	if err != nil {
		return err
	}
	return w.c.DB.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return storePosition(ctx, tx, w.c.Name, positionKey(s.Name, end.Created), 0)
	})
}

// read applies batches until something breaks.
func (w *rowsWriter) read(ctx context.Context, reader *bus.Reader) error {
	key := positionKey(reader.Start().Stream, reader.Start().Created)
	for {
		batch, err := collect(ctx, reader)
		if len(batch) > 0 {
			if err := w.write(ctx, key, batch); err != nil {
				return err
			}
			w.lag(batch[len(batch)-1])
		}
		if err != nil && !errors.Is(err, bus.ErrResumed) {
			return err
		}
	}
}

// collect waits for a message and takes those that are there.
func collect(ctx context.Context, reader *bus.Reader) ([]bus.Message, error) {
	m, err := reader.Next(ctx)
	if err != nil {
		return nil, err
	}
	batch, size := []bus.Message{m}, len(m.Bytes)
	for len(batch) < maxBatch && size < queueBytes {
		m, ok, err := reader.Ready()
		if !ok || err != nil {
			return batch, err
		}
		batch = append(batch, m)
		size += len(m.Bytes)
	}
	return batch, nil
}

// lag sets the metrics after a batch.
func (w *rowsWriter) lag(last bus.Message) {
	w.metrics.lagEvents.WithLabelValues(last.Stream).Set(float64(last.Pending))
	seconds := 0.0
	if last.Pending > 0 {
		if e, err := last.Decode(); err == nil {
			seconds = max(0, w.c.Clock().Sub(e.Time()).Seconds())
		}
	}
	w.metrics.lagSeconds.WithLabelValues(last.Stream).Set(seconds)
}

// Halt is a log that a projection stopped at.
type Halt struct {
	Log string
	// Sequence of the event that cannot be applied.
	Sequence uint64
	// Reason is the error's text, at most 1,000 bytes, for operators.
	Reason string
	Time   time.Time
}
