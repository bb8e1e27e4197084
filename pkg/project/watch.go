package project

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// watchQueue is how many events a slow watcher may be behind.
const watchQueue = 1024

type watcher struct {
	events chan eventlog.Recorded
	missed func()
}

// offer hands an event on without waiting.
func (w *watcher) offer(r eventlog.Recorded) {
	select {
	case w.events <- r:
	default:
		w.missed()
	}
}

// Watch calls fn, from one goroutine, for every live event of every log. It is
// best effort: an event may come twice or, when fn is slow or the bus was away,
// not at all. It is for caches whose entries also end by time.
func (f *Follower) Watch(fn func(eventlog.Recorded)) (stop func()) {
	w := &watcher{events: make(chan eventlog.Recorded, watchQueue), missed: f.metrics.unwatched.Inc}
	ctx, cancel := context.WithCancel(f.ctx)
	f.mu.Lock()
	f.watchers[w] = struct{}{}
	f.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case r := <-w.events:
				fn(r)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		f.mu.Lock()
		delete(f.watchers, w)
		f.mu.Unlock()
		cancel()
		<-done
	}
}
