// Package sweep removes relationships that have expired, so that rows, graphs
// and the log's readers do not keep them. No answer depends on it: checks look
// at the time themselves.
package sweep

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

const (
	// every is how often the index is looked at.
	every = time.Second
	// batch is how many relationships one look finds, and one commit removes at
	// most.
	batch = 500
	// commitTimeout bounds one commit, so that one organization does not hold up
	// all others.
	commitTimeout = 10 * time.Second
	// failedFor is how long an organization that failed is left out.
	failedFor = time.Minute
)

// actor is who removes them, as the log records it.
var actor = &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_SERVICE, Id: "authz"}

// Options are what a sweeper needs.
type Options struct {
	DB  *sqldb.DB
	Log *eventlog.Store
	// Region is where this process runs: the home region of what it removes.
	Region  string
	Clock   func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Sweeper removes what has expired. Several at once, in any number of
// processes, remove everything once.
type Sweeper struct {
	Options
	removed prometheus.Counter
	// failed are the organizations that are left out, and until when.
	failed map[string]time.Time
}

// New returns a sweeper.
func New(o Options) *Sweeper {
	s := &Sweeper{Options: o, failed: map[string]time.Time{}, removed: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "meridian_authz_relationships_expired_total", Help: "Relationships removed because they had expired.",
	})}
	if o.Metrics != nil {
		o.Metrics.MustRegister(s.removed)
	}
	return s
}

// Run sweeps until ctx ends. A database that is away is no error: what has
// expired is removed later.
func (s *Sweeper) Run(ctx context.Context) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for s.again(ctx) {
			continue
		}
	}
}

// again sweeps once and says whether there is more to do at once.
func (s *Sweeper) again(ctx context.Context) bool {
	found, removed, err := s.Sweep(ctx)
	if err != nil && ctx.Err() == nil {
		s.Logger.WarnContext(ctx, "expired relationships not removed", slog.Any("error", err))
	}
	// Another process may have removed some of what was found.
	return found == batch && removed > 0 && ctx.Err() == nil
}

// Sweep removes some of what has expired, the oldest first, in one commit for
// each organization, and says how many were found and removed. An organization
// that fails is left out for a minute, so that it does not keep others from
// being swept; the first error is returned.
func (s *Sweeper) Sweep(ctx context.Context) (found, removed int, err error) {
	now := s.Clock()
	maps.DeleteFunc(s.failed, func(_ string, until time.Time) bool { return now.After(until) })
	expired, err := store.FindExpired(ctx, s.DB.Pool(), s.Region, now, slices.Sorted(maps.Keys(s.failed)), batch)
	if err != nil {
		return 0, 0, err
	}
	byOrganization := map[string][]authzcore.Relationship{}
	for _, e := range expired {
		byOrganization[e.Organization] = append(byOrganization[e.Organization], e.Relationship)
	}
	for organization, relationships := range byOrganization {
		n, failed := s.remove(ctx, organization, relationships)
		if failed != nil {
			s.failed[organization] = now.Add(failedFor)
			if err == nil {
				err = fmt.Errorf("sweep %s: %w", organization, failed)
			}
		}
		removed += n
	}
	s.removed.Add(float64(removed))
	return len(expired), removed, err
}

// remove commits the removal of what is still there and still expired.
func (s *Sweeper) remove(ctx context.Context, organization string, relationships []authzcore.Relationship) (removed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	_, err = s.Log.Commit(ctx, eventlog.Request{Log: organization}, func(ctx context.Context, tx pgx.Tx) error {
		removed = 0
		if _, err := s.Log.Lock(ctx, tx, organization); err != nil {
			return err
		}
		deleted, err := store.DeleteExpired(ctx, tx, organization, relationships, s.Clock())
		if err != nil || len(deleted) == 0 {
			return err
		}
		events, err := relationship.Events(nil, nil, deleted)
		if err != nil {
			return err
		}
		removed = len(deleted)
		_, err = s.Log.Append(ctx, tx, eventlog.Append{
			Log: organization, Expected: eventlog.AnyHead, Actor: actor, Events: events,
		})
		return err
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}
