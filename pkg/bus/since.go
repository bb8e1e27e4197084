package bus

import (
	"context"
	"time"
)

// Since returns the place in a stream before the first message that was stored at a time
// or later, as ReadOptions take it, and where the stream ends now. A mirror keeps the
// times of its origin. An event was committed before it was stored.
//
// Errors: BUS_UNAVAILABLE.
func (b *Bus) Since(ctx context.Context, stream string, at time.Time) (before, end Position, err error) {
	if end, err = b.End(ctx, stream); err != nil {
		return Position{}, Position{}, err
	}
	before = end
	at = at.UTC()
	// Not any replica: one that is behind would say that there is none.
	m, found, err := b.getOfLeader(ctx, stream, directGet{StartTime: &at, NextBy: ">"})
	if err != nil {
		return Position{}, Position{}, err
	}
	if found {
		before.Sequence = m.Sequence - 1
	}
	return before, end, nil
}
