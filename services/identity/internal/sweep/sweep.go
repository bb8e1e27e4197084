// Package sweep removes the rows of authentications that are over, of what was counted
// long ago, and ends invitations that nobody answered.
package sweep

import (
	"context"
	"log/slog"
	"time"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
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
	// Expire ends the invitations of Region that have long expired.
	Expire func(ctx context.Context, region string) (int, error)
	Region string
}

// Run sweeps until ctx ends. A database that is away is no error: what is old is
// swept later.
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
			s.Logger.WarnContext(ctx, "old authentications not swept", slog.Any("error", err))
		}
		if s.Expire == nil {
			continue
		}
		if _, err := s.Expire(ctx, s.Region); err != nil && ctx.Err() == nil {
			s.Logger.WarnContext(ctx, "expired invitations not ended", slog.Any("error", err))
		}
	}
}

// Sweep removes all that is old, and says how many rows that were.
//
// Errors: DATABASE_UNAVAILABLE.
func (s *Sweeper) Sweep(ctx context.Context) (deleted int64, err error) {
	for {
		n, more, err := store.SweepAuthentications(ctx, s.DB, s.Clock(), batch)
		deleted += n
		if err != nil || !more {
			return deleted, err
		}
	}
}
