package bus

import (
	"sync"
	"time"
)

// forgetAfter is how long the outcome of the last publish says something: a
// relay that fails repeats more often than that, unless it lost its lease.
const forgetAfter = 30 * time.Second

// writes is what is known of the stream's writing: the outcome of the last
// publish, and since when all of them failed.
type writes struct {
	mu          sync.Mutex
	since, last time.Time
	err         error
	worked      bool
}

// note takes the outcome of a publish while the connection was up. first says
// that it is another than before.
func (w *writes) note(err error, now time.Time) (first bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first = (err == nil) != (w.err == nil)
	if err != nil && (w.err == nil || now.Sub(w.last) >= forgetAfter) {
		w.since = now
	}
	w.err, w.last, w.worked = err, now, err == nil
	return first
}

// failing returns why publishing fails, and since when; nil when it works, or
// when nothing is known.
func (w *writes) failing(now time.Time) (since time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil || now.Sub(w.last) >= forgetAfter {
		return time.Time{}, nil
	}
	return w.since, w.err
}

// work says that the last publish worked.
func (w *writes) work() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.worked
}

// again begins to count anew: the server is another one. Until a publish works,
// the bus stays unready.
func (w *writes) again(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since = now
}
