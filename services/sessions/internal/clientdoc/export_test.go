package clientdoc

import "time"

// Hurry bounds a fetch by another time.
func (d *Documents) Hurry(timeout time.Duration) { d.timeout = timeout }

// Held is how many URLs something is held of.
func (d *Documents) Held() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.held)
}

// MaxHeld is how many there may be.
const MaxHeld = maxHeld

// Limits are those of fetches, for tests.
type Limits = limits

// Enter is enter.
func (l *limits) Enter(host string, at time.Time) (leave func(), ok bool) { return l.enter(host, at) }
