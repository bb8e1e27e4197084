package meridian

import "time"

// OpenAgainAfter sets how long a watch may be silent.
func (c *Client) OpenAgainAfter(silence time.Duration) { c.silence = silence }
