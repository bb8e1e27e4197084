package eventlog

import (
	"bytes"
	"context"
	"fmt"
)

const selectPending = `SELECT min(first_sequence) FROM log.outbox
WHERE home_region = $1 AND log_id = $2`

// compareCopy compares an event, which went to the outbox of a region, with the
// copy's.
func (w *walk) compareCopy(ctx context.Context, r Recorded, outbox string) error {
	if w.Copy == nil {
		return nil
	}
	sequence := r.Envelope.GetSequence()
	found, err := w.sameInCopy(ctx, r)
	if found || err != nil {
		return err
	}
	if w.pendingIn != outbox || w.pendingFrom == 0 || sequence < w.pendingFrom {
		if err := w.findPending(ctx, outbox); err != nil {
			return err
		}
		// The relay may have published it before the outbox was read.
		if found, err = w.sameInCopy(ctx, r); found || err != nil {
			return err
		}
	}
	// A relay publishes a log in order: what went to its outbox after a pending
	// event waits as well.
	if w.pendingFrom == 0 || sequence < w.pendingFrom {
		return difference(differsStream, sequence, "the stream does not have the event")
	}
	w.result.Pending++
	return nil
}

func (w *walk) sameInCopy(ctx context.Context, r Recorded) (found bool, err error) {
	sequence := r.Envelope.GetSequence()
	b, found, err := w.Copy.Event(ctx, w.log, sequence)
	if err != nil {
		return false, fmt.Errorf("read copy of event %d: %w", sequence, err)
	}
	if found && !bytes.Equal(b, r.Bytes) {
		return true, difference(differsStream, sequence, "the stream has other bytes for the event")
	}
	return found, nil
}

func (w *walk) findPending(ctx context.Context, region string) error {
	var first *int64
	pool := w.Store.db.Pool()
	if err := pool.QueryRow(ctx, selectPending, region, w.log).Scan(&first); err != nil {
		return failed(pool, "read outbox", err)
	}
	w.pendingIn, w.pendingFrom = region, 0
	if first != nil && *first > 0 {
		w.pendingFrom = uint64(*first)
	}
	return nil
}

// compareEnd looks for an event after the last that only the copy has: a log
// that was set back.
func (w *walk) compareEnd(ctx context.Context) error {
	if w.Copy == nil {
		return nil
	}
	next := w.at() + 1
	_, found, err := w.Copy.Event(ctx, w.log, next)
	if err != nil {
		return fmt.Errorf("read copy of event %d: %w", next, err)
	}
	if !found {
		return nil
	}
	// It may have been appended and published since.
	head, err := w.head(ctx, w.Store.db.Pool())
	if err != nil || head.Sequence >= next {
		return err
	}
	return difference(differsStream, next, "the stream has an event that the log does not have")
}
