// Package forget removes what is kept of users who were erased: where their sessions
// were, and on what device. Their tokens are refused for another reason: the log says
// that they are gone.
//
// It hears of users from the live events. One that it missed, because the process was
// down, is forgotten when the session expires.
package forget

import (
	"context"
	"log/slog"
	"time"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

const (
	// erased is the event that ends a user's log.
	erased = "meridian.identity.event.v1.UserErased"
	// queue is how many users may wait.
	queue = 1024
	// tries is how often a database that is away is asked again, pause apart.
	tries = 20
	pause = 3 * time.Second
)

// Forgetter forgets.
type Forgetter struct {
	DB     *sqldb.DB
	Logger *slog.Logger

	users chan string
}

// New returns a forgetter.
func New(db *sqldb.DB, logger *slog.Logger) *Forgetter {
	return &Forgetter{DB: db, Logger: logger, users: make(chan string, queue)}
}

// Hear takes an event, whatever it is about. It does not wait.
func (f *Forgetter) Hear(r eventlog.Recorded) {
	if r.Envelope.GetType() != erased {
		return
	}
	select {
	case f.users <- r.Envelope.GetLog():
	default:
	}
}

// Run forgets until ctx ends.
func (f *Forgetter) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case user := <-f.users:
			f.forget(ctx, user)
		}
	}
}

func (f *Forgetter) forget(ctx context.Context, user string) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for range tries {
		err := store.ForgetUser(ctx, f.DB, user)
		if err == nil || ctx.Err() != nil {
			return
		}
		f.Logger.WarnContext(ctx, "rows of an erased user not removed", slog.Any("error", err))
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
}
