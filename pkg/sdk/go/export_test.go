package meridian

import "time"

// OpenAgainAfter sets how long a watch may be silent.
func (c *Client) OpenAgainAfter(silence time.Duration) { c.silence = silence }

// StepClock does as if this machine's wall clock were set ahead.
func (t *AccessTokens) StepClock(by time.Duration) {
	r := t.revoked.clock.read.Load()
	t.revoked.clock.set(r.theirs, r.ours.Round(0).Add(-by))
}
