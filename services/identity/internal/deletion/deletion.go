// Package deletion deletes the organizations whose time has come: first what they
// have, by and by, and then they themselves. Until the last event their tokens and
// sign-ins are refused, since they are suspended.
package deletion

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/organization"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

const (
	// every is how often the index is looked at.
	every = time.Minute
	// found is how many organizations one look finds.
	found = 100
	// batch is how many events one commit has, but for the last and for those of a
	// thing that has more.
	batch = eventlog.MaxAppendEvents - 1
	// commitTimeout bounds one commit.
	commitTimeout = 10 * time.Second
	// failedFor is how long an organization that failed is left out.
	failedFor = 5 * time.Minute
)

// actor is who deletes, as the log records it.
var actor = &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_SERVICE, Id: "identity"}

// Removal removes one kind of thing from an organization.
type Removal interface {
	// Remove removes up to limit (1 or more) things of the organization, whose log is
	// locked, and returns their events: about limit, and all of one thing's. more says
	// that some may be left. When there are none left it returns nothing, and reads by
	// an index.
	Remove(ctx context.Context, tx pgx.Tx, organization string, limit int) (events []proto.Message, more bool, err error)
}

// Options are what a worker needs.
type Options struct {
	DB  *sqldb.DB
	Log *eventlog.Store
	// Region is where this process runs: the home region of the organizations that it
	// deletes.
	Region string
	// Removals are run in this order, each until nothing is left.
	Removals []Removal
	Clock    func() time.Time
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// Worker deletes organizations. Several at once, in any number of processes, delete
// everything once.
type Worker struct {
	Options
	deleted prometheus.Counter
	// failed are the organizations that are left out, and until when.
	failed map[string]time.Time
}

// New returns a worker.
func New(o Options) *Worker {
	w := &Worker{Options: o, failed: map[string]time.Time{}, deleted: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "meridian_identity_organizations_deleted_total", Help: "Organizations deleted because their time had come.",
	})}
	if o.Metrics != nil {
		o.Metrics.MustRegister(w.deleted)
	}
	return w
}

// Run deletes until ctx ends. A database that is away is no error: what is due is
// deleted later.
func (w *Worker) Run(ctx context.Context) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for w.again(ctx) {
			continue
		}
	}
}

// again deletes some and says whether there is more to do at once.
func (w *Worker) again(ctx context.Context) bool {
	due, deleted, err := w.Delete(ctx)
	if err != nil && ctx.Err() == nil {
		w.Logger.WarnContext(ctx, "organizations not deleted", slog.Any("error", err))
	}
	return due == found && deleted > 0 && ctx.Err() == nil
}

// Delete deletes organizations that are due, the longest due first, each in as many
// commits as it takes, and says how many were found and deleted. One that fails is
// left out for a while, so that it does not hold up the others; the first error is
// returned.
func (w *Worker) Delete(ctx context.Context) (due, deleted int, err error) {
	now := w.Clock()
	maps.DeleteFunc(w.failed, func(_ string, until time.Time) bool { return now.After(until) })
	all, err := store.DueOrganizations(ctx, w.DB.Pool(), w.Region, now, slices.Sorted(maps.Keys(w.failed)), found)
	if err != nil {
		return 0, 0, err
	}
	for _, id := range all {
		done, failed := w.delete(ctx, id)
		switch {
		case failed != nil && ctx.Err() != nil:
			return len(all), deleted, failed
		case failed != nil:
			w.failed[id] = now.Add(failedFor)
			if err == nil {
				err = fmt.Errorf("delete %s: %w", id, failed)
			}
		case done:
			deleted++
			w.deleted.Inc()
		}
	}
	return len(all), deleted, err
}

// delete commits until the organization is deleted, or is not due any more.
func (w *Worker) delete(ctx context.Context, id string) (deleted bool, err error) {
	for {
		more, deleted, err := w.commit(ctx, id)
		if err != nil || !more {
			return deleted, err
		}
	}
}

// commit removes one batch and, when it was the last, the organization.
func (w *Worker) commit(ctx context.Context, id string) (more, deleted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	_, err = w.Log.Commit(ctx, eventlog.Request{Log: id}, func(ctx context.Context, tx pgx.Tx) error {
		more, deleted = false, false
		head, err := w.Log.Lock(ctx, tx, id)
		if err != nil {
			return err
		}
		row, err := store.FindOrganization(ctx, tx, id)
		if err != nil {
			return err
		}
		last, err := organization.Remove{At: w.Clock()}.Decide(row.State)
		if err != nil || len(last) == 0 {
			return err
		}
		events, left, err := w.remove(ctx, tx, id)
		if err != nil {
			return err
		}
		if more, deleted = left, !left; deleted {
			for _, e := range last {
				row.Apply(e)
			}
			if err := store.UpdateOrganization(ctx, tx, row.State); err != nil {
				return err
			}
			events = append(events, last...)
		}
		for some := range slices.Chunk(events, eventlog.MaxAppendEvents) {
			rev, err := w.Log.Append(ctx, tx, eventlog.Append{Log: id, Expected: head.Sequence, Actor: actor, Events: some})
			if err != nil {
				return err
			}
			head.Sequence = rev.Sequence
		}
		return nil
	})
	if err != nil {
		return false, false, err
	}
	return more, deleted, nil
}

// remove removes one batch of what the organization has.
func (w *Worker) remove(ctx context.Context, tx pgx.Tx, id string) (events []proto.Message, more bool, err error) {
	for _, removal := range w.Removals {
		if len(events) >= batch {
			return events, true, nil
		}
		removed, left, err := removal.Remove(ctx, tx, id, batch-len(events))
		if err != nil {
			return nil, false, err
		}
		if events = append(events, removed...); left {
			if len(events) == 0 {
				return nil, false, fmt.Errorf("%T leaves things and removes none", removal)
			}
			return events, true, nil
		}
	}
	return events, false, nil
}
