// Package lanes bounds how many long computations run at once, for each
// organization and in all, so that they starve neither each other nor what is
// over in a moment.
package lanes

import (
	"context"
	"sync"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// Config bounds the lanes.
type Config struct {
	// Running is how many compute at once in all, RunningEach of one organization.
	Running, RunningEach int
	// Present is how many run or wait in all, PresentEach of one organization.
	Present, PresentEach int
}

// Lanes admits computations. It is safe for concurrent use.
type Lanes struct {
	config Config
	all    chan struct{}

	mu      sync.Mutex
	present int
	byOwner map[string]*lane
}

// lane is one organization's.
type lane struct {
	present int
	running chan struct{}
}

// New returns lanes that nobody is in.
func New(c Config) *Lanes {
	return &Lanes{config: c, all: make(chan struct{}, c.Running), byOwner: map[string]*lane{}}
}

// retryAfter is what a caller is told who is one too many.
const retryAfter = 500 * time.Millisecond

// Enter waits for a place of an organization; leave gives it back.
//
// Errors: RATE_LIMITED when too many run or wait, or when ctx ends first.
func (l *Lanes) Enter(ctx context.Context, organization string) (leave func(), err error) {
	mine, ok := l.come(organization)
	if !ok {
		return nil, full()
	}
	// The organization's own place first: who waits for it holds none of all.
	for _, place := range []chan struct{}{mine.running, l.all} {
		select {
		case place <- struct{}{}:
			continue
		case <-ctx.Done():
		}
		if place == l.all {
			<-mine.running
		}
		l.part(organization)
		return nil, full()
	}
	return func() {
		<-l.all
		<-mine.running
		l.part(organization)
	}, nil
}

func full() *fault.Fault {
	return fault.New(fault.Exhausted, commonv1.Reason_RATE_LIMITED, "too many lists are being computed").Retry(retryAfter)
}

func (l *Lanes) come(organization string) (*lane, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := l.byOwner[organization]
	if l.present >= l.config.Present || mine != nil && mine.present >= l.config.PresentEach {
		return nil, false
	}
	if mine == nil {
		mine = &lane{running: make(chan struct{}, l.config.RunningEach)}
		l.byOwner[organization] = mine
	}
	mine.present++
	l.present++
	return mine, true
}

func (l *Lanes) part(organization string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.present--
	if mine := l.byOwner[organization]; mine.present == 1 {
		delete(l.byOwner, organization)
	} else {
		mine.present--
	}
}
