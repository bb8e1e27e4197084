package logout

import "time"

// Hurry bounds a call by another time.
func (t *Teller) Hurry(timeout time.Duration) { t.timeout = timeout }

// The times of a teller, for tests that move the clock.
const (
	Lease   = lease
	SlowFor = slowFor
)
