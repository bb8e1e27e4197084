package bus

import (
	"context"
	"maps"
	"sort"
)

// Tail reads the events of one log from a sequence on, in the order of the log,
// as far as this region's streams have them. It is for one goroutine.
type Tail struct {
	bus     *Bus
	log     string
	next    uint64
	cursors []*cursor
}

// Tail starts to read a log. from is the first sequence wanted, at least 1. Close
// ends it.
func (b *Bus) Tail(log string, from uint64) *Tail {
	t := &Tail{bus: b, log: log, next: max(1, from), cursors: b.cursors(log)}
	for _, c := range t.cursors {
		c.fast = true
	}
	return t
}

// Close gives back what the tail holds. It may be used again afterwards.
func (t *Tail) Close() {
	for _, c := range t.cursors {
		c.slow()
	}
}

func (b *Bus) cursors(log string) []*cursor {
	cursors := make([]*cursor, 0, len(b.streams))
	for _, s := range b.streams {
		cursors = append(cursors, &cursor{bus: b, stream: s.Name, log: log})
	}
	return cursors
}

// Next returns the following events without a gap, at most limit. None means
// that the streams do not have the next one: the end, or a gap.
//
// Errors: BUS_UNAVAILABLE.
func (t *Tail) Next(ctx context.Context, limit int) ([]Message, error) {
	var out []Message
	for len(out) < limit {
		m, found, err := find(ctx, t.cursors, t.next)
		if err != nil {
			return nil, err
		}
		if !found {
			break
		}
		out = append(out, m)
		t.next++
	}
	return out, nil
}

// find looks for an event in several streams, first in the one that had the
// last: it moves to the front.
func find(ctx context.Context, cursors []*cursor, sequence uint64) (Message, bool, error) {
	for i, c := range cursors {
		m, found, err := c.find(ctx, sequence)
		if found {
			cursors[0], cursors[i] = c, cursors[0]
		}
		if err != nil || found {
			return m, found, err
		}
	}
	return Message{}, false, nil
}

// maxAhead is how many messages a cursor keeps that came before their turn.
const maxAhead = 1024

// cursor is a place in one stream, for the events of one log. Reading them in
// the order of the log costs one pass; any other order costs a search for each.
type cursor struct {
	bus         *Bus
	stream, log string
	// due is the sequence that find expects next; 0 before the first.
	due uint64
	// position is the last stream sequence that was fetched.
	position uint64
	// fetched but not looked at yet.
	fetched []Message
	// fast allows a consumer where much follows; reader is the one in use.
	fast    bool
	reader  *Reader
	pending uint64
	// highest is the highest sequence seen; whole says that everything up to
	// position was looked at.
	highest uint64
	whole   bool
	// ahead holds messages that stand in the stream before their predecessors.
	ahead map[uint64]Message
}

// find returns the event with a sequence of the log. It looks on from where the
// last one was; false means that it is not there, or stands further back.
func (c *cursor) find(ctx context.Context, sequence uint64) (Message, bool, error) {
	if !c.follows(sequence) {
		if err := c.seek(ctx, sequence); err != nil {
			return Message{}, false, err
		}
	}
	if m, ok := c.ahead[sequence]; ok {
		delete(c.ahead, sequence)
		c.due = sequence + 1
		return m, true, nil
	}
	for len(c.ahead) < maxAhead {
		if len(c.fetched) == 0 {
			if err := c.fetch(ctx); err != nil || len(c.fetched) == 0 {
				return Message{}, false, err
			}
		}
		m := c.fetched[0]
		c.fetched = c.fetched[1:]
		switch {
		case m.Log != c.log || m.LogSequence < sequence:
		case m.LogSequence == sequence:
			c.due = sequence + 1
			return m, true, nil
		default:
			c.keep(m)
		}
	}
	return Message{}, false, nil
}

// follows says that the cursor need only go on to find a sequence: it looked at
// everything before, and kept what is ahead. So the events of a log that stand in
// several streams, because several relays published them, cost one pass of each.
func (c *cursor) follows(sequence uint64) bool {
	if c.whole && sequence > c.highest {
		return true
	}
	if c.due == 0 || sequence < c.due {
		return false
	}
	maps.DeleteFunc(c.ahead, func(kept uint64, _ Message) bool { return kept < sequence })
	return sequence == c.due || len(c.ahead) < maxAhead
}

func (c *cursor) keep(m Message) {
	if c.ahead == nil {
		c.ahead = make(map[uint64]Message)
	}
	if _, ok := c.ahead[m.LogSequence]; !ok {
		c.ahead[m.LogSequence] = m
	}
}

// muchPending is from how many messages on a consumer is worth its making.
const muchPending = 4 * batchMessages

// fetch gets the messages that follow.
func (c *cursor) fetch(ctx context.Context) error {
	batch, err := c.read(ctx)
	if err != nil || len(batch) == 0 {
		return err
	}
	last := batch[len(batch)-1]
	c.fetched, c.position, c.pending = batch, last.Sequence, last.Pending
	for _, m := range batch {
		c.highest = max(c.highest, m.LogSequence)
	}
	return nil
}

// read reads by direct get, or by a consumer while much follows.
func (c *cursor) read(ctx context.Context) ([]Message, error) {
	if c.fast && c.reader == nil && c.pending >= muchPending {
		// Without a reader, direct get does.
		c.reader, _ = c.bus.Read(ctx, ReadOptions{Stream: c.stream, After: c.position, Filter: logFilter(c.log)})
	}
	if c.reader != nil {
		if batch := c.take(ctx); len(batch) > 0 {
			return batch, nil
		}
	}
	return c.bus.getBatch(ctx, c.stream, logFilter(c.log), c.position+1)
}

// take returns messages of the reader; none when it is interrupted.
func (c *cursor) take(ctx context.Context) []Message {
	if c.pending == 0 {
		c.slow()
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	m, err := c.reader.Next(ctx)
	var batch []Message
	for ok := true; ok && err == nil; m, ok, err = c.reader.Ready() {
		if batch = append(batch, m); len(batch) == batchMessages || m.Pending == 0 {
			return batch
		}
	}
	if err != nil {
		c.slow()
	}
	return batch
}

// slow ends the use of a consumer.
func (c *cursor) slow() {
	if c.reader != nil {
		c.reader.Close()
		c.reader = nil
	}
}

// seek finds where in the stream a sequence of the log stands: behind the log's
// last event there, if that comes before, and else by bisection. In a stream with
// repeats it may land too late; scan finds what it missed.
func (c *cursor) seek(ctx context.Context, sequence uint64) error {
	c.restart(sequence)
	if sequence == 1 {
		return nil
	}
	// Most logs have nothing in most streams, or nothing that is new.
	last, found, err := c.bus.getLast(ctx, c.stream, logFilter(c.log))
	if err != nil {
		return err
	}
	if !found || last.LogSequence < sequence {
		c.position = last.Sequence
		return nil
	}
	end, err := c.bus.End(ctx, c.stream)
	if err != nil {
		return err
	}
	var failed error
	position := sort.Search(int(min(end.Sequence, 1<<40)), func(i int) bool {
		if failed != nil {
			return true
		}
		m, found, err := c.bus.getNext(ctx, c.stream, logFilter(c.log), uint64(i)+1)
		failed = err
		return err == nil && (!found || m.LogSequence >= sequence)
	})
	c.position = uint64(position)
	return failed
}

// restart puts the cursor at the beginning of the stream.
func (c *cursor) restart(sequence uint64) {
	c.slow()
	c.due, c.position, c.pending, c.fetched, c.ahead = sequence, 0, 0, nil, nil
	c.highest, c.whole = 0, false
}

// scan looks for one event from the beginning of the stream, whatever the order
// there. The cursor stands behind it afterwards. Events after the newest of the
// stream are looked for once.
func (c *cursor) scan(ctx context.Context, sequence uint64) (Message, bool, error) {
	if c.whole && sequence > c.highest {
		return Message{}, false, nil
	}
	c.restart(sequence)
	for {
		if err := c.fetch(ctx); err != nil || len(c.fetched) == 0 {
			c.whole = err == nil
			return Message{}, false, err
		}
		for i, m := range c.fetched {
			if m.Log == c.log && m.LogSequence == sequence {
				c.fetched, c.due = c.fetched[i+1:], sequence+1
				return m, true, nil
			}
		}
		c.fetched = nil
	}
}
