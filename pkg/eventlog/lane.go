package eventlog

import (
	"context"
	"errors"
	"sync"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// lanes let the commits of one log through one after the other, first come,
// first served, inside this process. Commits of one log serialize in the
// database anyhow; there, all but one would do their work in vain and repeat
// it.
type lanes struct {
	mu    sync.Mutex
	byLog map[string]*lane
}

// lane is one log's.
type lane struct {
	turn  chan struct{} // holds the one that goes on
	users int           // those who go on or wait
}

// enter waits for the log's turn. leave gives it to the next.
//
// Errors: DEADLINE, CANCELLED.
func (l *lanes) enter(ctx context.Context, log string) (leave func(), err error) {
	l.mu.Lock()
	if l.byLog == nil {
		l.byLog = map[string]*lane{}
	}
	own := l.byLog[log]
	if own == nil {
		own = &lane{turn: make(chan struct{}, 1)}
		l.byLog[log] = own
	}
	own.users++
	l.mu.Unlock()
	select {
	case own.turn <- struct{}{}:
		return func() {
			<-own.turn
			l.drop(log, own)
		}, nil
	case <-ctx.Done():
		l.drop(log, own)
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, fault.New(fault.Cancelled, commonv1.Reason_CANCELLED, "the caller went away; nothing was written").Because(ctx.Err())
		}
		return nil, fault.New(fault.Deadline, commonv1.Reason_DEADLINE,
			"the deadline passed while earlier writes of the same log were committed; nothing was written").Because(ctx.Err())
	}
}

func (l *lanes) drop(log string, own *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(l.byLog, log)
	}
}
