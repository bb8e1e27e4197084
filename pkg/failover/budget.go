package failover

import (
	"sync"
	"time"
)

const (
	// budgetOfCall is how many repetitions a call pays for: one in ten.
	budgetOfCall = 0.1
	// budgetOfSecond is how many a second does, for what is called seldom.
	budgetOfSecond = 1
	// budgetMost is how many can be saved up.
	budgetMost = 10
)

// budget bounds repetitions, so that calls to a lost region do not double the
// load of the others.
type budget struct {
	mu    sync.Mutex
	saved float64
	seen  time.Time
}

// call pays in for one call.
func (b *budget) call() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if !b.seen.IsZero() {
		b.saved += now.Sub(b.seen).Seconds() * budgetOfSecond
	}
	b.saved, b.seen = min(budgetMost, b.saved+budgetOfCall), now
}

// spend takes one repetition out, if there is one.
func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.saved < 1 {
		return false
	}
	b.saved--
	return true
}

// empty says whether the next spend would fail.
func (b *budget) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.saved < 1
}
