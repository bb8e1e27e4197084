package serve

import (
	"sync"

	"github.com/meridian-iam/meridian/pkg/principal"
)

// crowd counts the calls that run, by caller, so that none has all the places:
// one principal has at most half of those for unary calls and a quarter of those
// for streams, and one organization half of those for streams.
type crowd struct {
	metrics                  *metrics
	unary, streams, together int

	mu      sync.Mutex
	running map[place]int
}

// place is what is counted. An organization's has no id.
type place struct {
	kind             principal.Kind
	id, organization string
	stream           bool
}

func newCrowd(c Config) *crowd {
	return &crowd{
		unary: max(1, c.MaxConcurrent/2), streams: max(1, c.MaxStreams/4), together: max(1, c.MaxStreams/2),
		running: make(map[place]int),
	}
}

func placesOf(p principal.Principal, stream bool) (own, shared place) {
	return place{kind: p.Kind, id: p.ID, stream: stream}, place{organization: p.Organization, stream: stream}
}

// enter takes a place, if there is one.
func (c *crowd) enter(p principal.Principal, stream bool) bool {
	own, shared := placesOf(p, stream)
	c.mu.Lock()
	defer c.mu.Unlock()
	most := c.unary
	if stream {
		most = c.streams
		if p.Organization != "" && c.running[shared] >= c.together {
			return false
		}
	}
	if c.running[own] >= most {
		return false
	}
	c.running[own]++
	if stream && p.Organization != "" {
		c.running[shared]++
	}
	return true
}

func (c *crowd) leave(p principal.Principal, stream bool) {
	own, shared := placesOf(p, stream)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.less(own)
	if stream && p.Organization != "" {
		c.less(shared)
	}
}

func (c *crowd) less(of place) {
	if c.running[of]--; c.running[of] == 0 {
		delete(c.running, of)
	}
}
