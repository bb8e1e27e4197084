package project

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// table reads the events table behind a circuit breaker, with a deadline and a
// bound on how many read at once.
type table struct {
	c       Config
	breaker *gobreaker.CircuitBreaker[[]eventlog.Recorded]
	places  chan struct{}
}

func newTable(c Config, m *metrics) *table {
	return &table{c: c, places: make(chan struct{}, tableReaders), breaker: gobreaker.NewCircuitBreaker[[]eventlog.Recorded](gobreaker.Settings{
		Name:        "events",
		MaxRequests: 1,
		Timeout:     2 * time.Second,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= 5 },
		IsSuccessful: func(err error) bool {
			return err == nil || !away(err) || errors.Is(err, context.Canceled)
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			m.breaker.Set(0)
			if to == gobreaker.StateOpen {
				m.breaker.Set(1)
			}
			c.Log.Warn("breaker of the events table changed", slog.String("from", from.String()), slog.String("to", to.String()))
		},
	})}
}

// read returns the next events of a log. Events may come with an EVENT_CORRUPT
// error: they are those before it.
func (t *table) read(ctx context.Context, log string, from uint64, limit int) ([]eventlog.Recorded, error) {
	select {
	case t.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-t.places }()
	return t.breaker.Execute(func() ([]eventlog.Recorded, error) {
		ctx, cancel := context.WithTimeout(ctx, readDeadline)
		defer cancel()
		return t.c.Store.Read(ctx, t.c.DB.Pool(), log, from, limit)
	})
}

// away says whether an error means that something cannot be reached now, so that
// it is worth to try again; else the event itself is the trouble.
func away(err error) bool {
	if f, ok := fault.As(err); ok {
		switch f.Kind {
		case fault.Unavailable, fault.Deadline, fault.Cancelled, fault.Conflict, fault.Exhausted, fault.UnknownOutcome:
			return true
		default:
			return false
		}
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests)
}

// corrupt says whether a stored event cannot be read.
func corrupt(err error) bool { return fault.Is(err, commonv1.Reason_EVENT_CORRUPT) }

// unreadable is the EVENT_CORRUPT fault of an event.
func unreadable(log string, sequence uint64, err error) error {
	return fault.New(fault.Internal, commonv1.Reason_EVENT_CORRUPT, "an event cannot be applied").
		With("log", log).With("sequence", strconv.FormatUint(sequence, 10)).Because(err)
}
