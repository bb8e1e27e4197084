package bus

import (
	"context"
	"sync"
	"time"
)

// hooks are called when the connection is back.
type hooks struct {
	mu    sync.Mutex
	next  int
	hooks map[int]func()
}

func (l *hooks) add(fn func()) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hooks == nil {
		l.hooks = make(map[int]func())
	}
	key := l.next
	l.next++
	l.hooks[key] = fn
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.hooks, key)
	}
}

func (l *hooks) call() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, fn := range l.hooks {
		fn()
	}
}

// Reconnected calls fn each time that the connection is back after a cut. fn
// must not block, and must not call stop.
func (b *Bus) Reconnected(fn func()) (stop func()) { return b.back.add(fn) }

// line is the connection from one reconnect to the next cut.
type line struct {
	mu     sync.Mutex
	ctx    context.Context //nolint:containedctx // the life of the connection, not of a call
	cancel context.CancelFunc
}

// up begins a new connection.
func (l *line) up() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
}

// cut ends the requests that wait for an answer: it would not come any more.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
}

// request bounds a request by a time and by the connection.
func (l *line) request(ctx context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	l.mu.Lock()
	current := l.ctx
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, bound)
	stop := context.AfterFunc(current, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}
