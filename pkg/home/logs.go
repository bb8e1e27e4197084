package home

import (
	"context"
	"sync"
	"time"
)

const (
	// maxKnown is how many logs are remembered; about 200 bytes each.
	maxKnown = 100_000
	// remembered is how long. A move is an event, which Learn is told of; this is
	// for the event that did not come.
	remembered = 5 * time.Minute
)

// Lookup reads where a log is at home, and its last sequence, from the database.
type Lookup func(ctx context.Context, log string) (region string, sequence uint64, err error)

// Logs remembers where logs are at home: from their events, and else from the
// database. It is safe for concurrent use.
type Logs struct {
	lookup Lookup

	mu    sync.Mutex
	known map[string]stay
}

// stay is where a log was at home as of a sequence.
type stay struct {
	region   string
	sequence uint64
	until    time.Time
}

// NewLogs returns Logs that know nothing yet.
func NewLogs(lookup Lookup) *Logs { return &Logs{lookup: lookup, known: map[string]stay{}} }

// Learn notes that the event of a log with a sequence names a region as the
// log's home. Events may come again, and late.
func (l *Logs) Learn(log, region string, sequence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, known := l.known[log]
	if known && sequence < before.sequence {
		return
	}
	if !known && len(l.known) >= maxKnown {
		for other := range l.known { // whichever comes first
			delete(l.known, other)
			break
		}
	}
	l.known[log] = stay{region, sequence, time.Now().Add(remembered)}
}

// of returns where a log is at home, or "" when that cannot be found out in a
// share of the time that is left.
func (l *Logs) of(ctx context.Context, log string) string {
	l.mu.Lock()
	found, known := l.known[log]
	l.mu.Unlock()
	if known && time.Now().Before(found.until) {
		return found.region
	}
	ctx, cancel := context.WithTimeout(ctx, share(ctx))
	defer cancel()
	region, sequence, err := l.lookup(ctx, log)
	if err != nil {
		return found.region // of old, or none: the commit says what is wrong
	}
	l.Learn(log, region, sequence)
	return region
}
