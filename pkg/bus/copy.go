package bus

import (
	"context"
	"sync"

	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// Copy returns the streams as a copy of the log, for verifying. It remembers its
// place in the log that was asked for last, so asking for 1, 2, 3, … reads each
// message once. Calls are served one after the other.
func (b *Bus) Copy() eventlog.Copy { return &streamCopy{bus: b} }

type streamCopy struct {
	bus     *Bus
	mu      sync.Mutex
	log     string
	cursors []*cursor
}

// Event returns the bytes of an event as the streams hold it. found is false
// when no stream of this region has it.
//
// Errors: BUS_UNAVAILABLE.
func (c *streamCopy) Event(ctx context.Context, log string, sequence uint64) (bytes []byte, found bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if log != c.log || c.cursors == nil {
		c.log, c.cursors = log, c.bus.cursors(log)
	}
	m, found, err := find(ctx, c.cursors, sequence)
	for i := 0; err == nil && !found && i < len(c.cursors); i++ {
		m, found, err = c.cursors[i].scan(ctx, sequence)
	}
	return m.Bytes, found, err
}
