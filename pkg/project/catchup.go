package project

import (
	"fmt"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// catchUp applies everything that exists. The events table has the last word;
// when it cannot be reached, the streams have it, unless they may have lost
// something.
func (a *Attachment) catchUp(from source) error {
	if err := a.begin(); err != nil {
		return err
	}
	if from == fromStream {
		if err := a.readStream(); err != nil && !away(err) {
			return err
		}
	}
	err := a.readTable()
	if err == nil || !away(err) || a.ctx.Err() != nil {
		return err
	}
	if a.confirmed.Load() < a.follower.strict.Load() {
		return err
	}
	return a.onlyStream()
}

// begin finds the event that the replica starts after: the next one must name
// its hash.
func (a *Attachment) begin() error {
	from := a.sequence.Load()
	if from == 0 || a.previous.Envelope != nil {
		return nil
	}
	events, err := a.follower.table.read(a.ctx, a.log, from, 1)
	if len(events) == 0 && err != nil && away(err) {
		tail := a.follower.c.Bus.Tail(a.log, from)
		defer tail.Close()
		messages, streamErr := tail.Next(a.ctx, 1)
		if streamErr != nil {
			return err
		}
		if events, streamErr = decode(messages); streamErr != nil {
			return streamErr
		}
	}
	switch {
	case len(events) > 0:
		a.previous = events[0]
		a.locate(a.previous)
		return nil
	case err != nil:
		return err
	default:
		return a.fail(from, fmt.Errorf("the replica starts after event %d, which the log does not have", from))
	}
}

// fail halts with an EVENT_CORRUPT fault.
func (a *Attachment) fail(sequence uint64, err error) error {
	f := unreadable(a.log, sequence, err)
	a.halt(sequence, f)
	return f
}

// readTable applies what the events table has.
func (a *Attachment) readTable() error {
	for {
		events, err := a.follower.table.read(a.ctx, a.log, a.sequence.Load()+1, readPage)
		if len(events) > 0 {
			a.follower.metrics.backfill.WithLabelValues("events").Inc()
			if applied := a.applyAll(events); applied != nil {
				return applied
			}
		}
		if err != nil {
			if corrupt(err) {
				a.halt(a.sequence.Load()+1, err)
			}
			return err
		}
		if len(events) == 0 {
			return nil
		}
	}
}

// readStream applies what the streams have without a gap.
func (a *Attachment) readStream() error {
	tail := a.follower.c.Bus.Tail(a.log, a.sequence.Load()+1)
	defer tail.Close()
	for {
		messages, err := tail.Next(a.ctx, maxBatch)
		if err != nil || len(messages) == 0 {
			return err
		}
		a.follower.metrics.backfill.WithLabelValues("stream").Inc()
		events, broken := decode(messages)
		if err := a.applyAll(events); err != nil {
			return err
		}
		if broken != nil {
			a.halt(a.sequence.Load()+1, broken)
			return broken
		}
	}
}

// onlyStream completes the replica while the database is away.
func (a *Attachment) onlyStream() error {
	last, _, err := a.follower.c.Bus.Last(a.ctx, a.log)
	if err != nil {
		return err
	}
	if a.sequence.Load() >= last {
		return nil
	}
	if err := a.readStream(); err != nil {
		return err
	}
	if have := a.sequence.Load(); have < last {
		return fmt.Errorf("the database is away and the stream has event %d but not all after %d", last, have)
	}
	return nil
}

// decode decodes messages up to the first that is not what it should be.
func decode(messages []bus.Message) ([]eventlog.Recorded, error) {
	events := make([]eventlog.Recorded, 0, len(messages))
	for _, m := range messages {
		e, err := m.Decode()
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
	return events, nil
}
