// Package sweep removes the rows of what has expired.
package sweep

import (
	"context"
	"log/slog"
	"time"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

const (
	// every is how often the indexes are looked at.
	every = time.Minute
	// batch is how many rows of each table one statement deletes.
	batch = 1000
)

// Sweeper sweeps. Several at once, in any number of processes, are fine.
type Sweeper struct {
	DB     *sqldb.DB
	Clock  func() time.Time
	Logger *slog.Logger
	// Unused deletes clients of this region that nobody uses, up to so many, and says how
	// many those were; nil: none is deleted.
	Unused func(ctx context.Context, limit int) (deleted int, err error)
}

// Run sweeps until ctx ends. A database that is away is no error: what is old is swept
// later.
func (s *Sweeper) Run(ctx context.Context) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.Logger.WarnContext(ctx, "expired rows of sessions not swept", slog.Any("error", err))
		}
	}
}

// Sweep removes all that has expired, and says how many rows that were.
//
// Errors: DATABASE_UNAVAILABLE.
func (s *Sweeper) Sweep(ctx context.Context) (deleted int64, err error) {
	for more := true; more; {
		var n int64
		n, more, err = store.Sweep(ctx, s.DB, s.Clock(), batch)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	if s.Unused == nil {
		return deleted, nil
	}
	n, err := s.Unused(ctx, batch)
	return deleted + int64(n), err
}
