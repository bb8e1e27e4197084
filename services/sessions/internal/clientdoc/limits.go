package clientdoc

import (
	"sync"
	"time"
)

// How much is fetched: whoever asks for a client chooses the URL, and must not make this
// process a burden to others, or busy with them.
const (
	// atOnce is how many fetches there are at a time, atOnceOfHost of one host.
	atOnce       = 32
	atOnceOfHost = 4
	// perMinute is how many there are in a minute, perMinuteOfHost of one host.
	perMinute       = 600
	perMinuteOfHost = 60
)

// limits count fetches. The zero limits have counted nothing.
type limits struct {
	mu sync.Mutex
	// running are the fetches of now, by host.
	running map[string]int
	// all are those of the minute that began then, by host.
	began      time.Time
	all        map[string]int
	now, total int
}

// enter lets one more fetch begin, which leaves when it has ended; false: there are too
// many.
func (l *limits) enter(host string, at time.Time) (leave func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == nil {
		l.running = map[string]int{}
	}
	if l.all == nil || at.Sub(l.began) >= time.Minute {
		l.began, l.all, l.total = at, map[string]int{}, 0
	}
	if l.now >= atOnce || l.running[host] >= atOnceOfHost || l.total >= perMinute || l.all[host] >= perMinuteOfHost {
		return nil, false
	}
	l.now++
	l.total++
	l.running[host]++
	l.all[host]++
	return func() { l.leave(host) }, true
}

func (l *limits) leave(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now--
	if l.running[host]--; l.running[host] == 0 {
		delete(l.running, host)
	}
}
