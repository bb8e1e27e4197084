// Package recheck looks once a day whether the records of verified domains are still
// there. A domain whose record was gone at three checks in a row lapses. A lookup
// that was not answered says nothing, and is repeated.
package recheck

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/emaildomain"
	"github.com/meridian-iam/meridian/services/identity/internal/proof"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

const (
	// every is how often the index is looked at.
	every = time.Minute
	// batch is how many domains one look claims, and atOnce how many of them are
	// looked up at once.
	batch  = 200
	atOnce = 16
	// putOff is how long a claim lasts: a process that ends leaves its domains for
	// that long.
	putOff = 15 * time.Minute
	// Between two checks of a domain, give or take jitter; after a lookup that was not
	// answered it is less.
	interval   = 24 * time.Hour
	jitter     = time.Hour
	unanswered = time.Hour
	// commitTimeout bounds one commit.
	commitTimeout = 10 * time.Second
)

// actor is who ends a proof, as the log records it.
var actor = &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_SERVICE, Id: "identity"}

// Next is when a domain that was checked at a time is to be checked next: a day
// later, give or take an hour, so that domains that were added together are not
// checked together for ever.
func Next(at time.Time) time.Time { return at.Add(interval - jitter + rand.N(2*jitter)) }

// Options are what a worker needs.
type Options struct {
	DB  *sqldb.DB
	Log *eventlog.Store
	// Region is where this process runs: the home region of the domains that it
	// checks.
	Region   string
	Resolver proof.Resolver
	Clock    func() time.Time
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// Worker checks verified domains. Several at once, in any number of processes, check
// each once.
type Worker struct {
	Options
	checks *prometheus.CounterVec
}

// New returns a worker.
func New(o Options) *Worker {
	w := &Worker{Options: o, checks: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_identity_domain_checks_total", Help: "Checks of verified domains, by what they came to.",
	}, []string{"outcome"})}
	if o.Metrics != nil {
		o.Metrics.MustRegister(w.checks)
	}
	return w
}

// Run checks until ctx ends. A database that is away is no error: what is due is
// checked later.
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

func (w *Worker) again(ctx context.Context) bool {
	claimed, err := w.Check(ctx)
	if err != nil && ctx.Err() == nil {
		w.Logger.WarnContext(ctx, "domains not checked", slog.Any("error", err))
	}
	return claimed == batch && ctx.Err() == nil
}

// Check checks some of the domains that are due, and says how many. The first error is
// returned after all of them.
func (w *Worker) Check(ctx context.Context) (claimed int, err error) {
	now := w.now()
	due, err := store.ClaimDomains(ctx, w.DB.Pool(), w.Region, now, now.Add(putOff), batch)
	if err != nil {
		return 0, err
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, d := range due {
		group.Go(func() error {
			if err := w.check(ctx, d); err != nil {
				return fmt.Errorf("check %s: %w", d.ID, err)
			}
			return nil
		})
	}
	return len(due), group.Wait()
}

// check looks for the record of a claimed domain, and writes what that came to.
func (w *Worker) check(ctx context.Context, d store.Domain) error {
	found, err := proof.Look(ctx, w.Resolver, d.RecordName(), d.RecordValue())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	after, now := d, w.now()
	switch {
	case err != nil:
		w.checks.WithLabelValues("unanswered").Inc()
		after.CheckAt = now.Add(unanswered)
		return store.SettleClaim(ctx, w.DB.Pool(), d, after)
	case found:
		w.checks.WithLabelValues("found").Inc()
		after.Misses = 0
	default:
		w.checks.WithLabelValues("missed").Inc()
		after.Misses++
	}
	after.CheckedAt, after.CheckAt = &now, Next(now)
	if len(emaildomain.Lapse{Misses: int(after.Misses)}.Decide(d.State)) > 0 {
		return w.lapse(ctx, d, after)
	}
	return store.SettleClaim(ctx, w.DB.Pool(), d, after)
}

// lapse commits the end of a proof, unless the domain was checked otherwise or
// removed meanwhile.
func (w *Worker) lapse(ctx context.Context, d, after store.Domain) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	_, err := w.Log.Commit(ctx, eventlog.Request{Log: d.Organization}, func(ctx context.Context, tx pgx.Tx) error {
		head, err := w.Log.Lock(ctx, tx, d.Organization)
		if err != nil {
			return err
		}
		row, err := store.FindDomain(ctx, tx, d.Organization, d.ID)
		if err != nil {
			return err
		}
		if !row.CheckAt.Equal(d.CheckAt) {
			return nil
		}
		events := emaildomain.Lapse{Misses: int(after.Misses)}.Decide(row.State)
		if len(events) == 0 {
			return nil
		}
		for _, e := range events {
			row.Apply(e)
		}
		row.CheckedAt, row.CheckAt, row.Misses = after.CheckedAt, after.CheckAt, 0
		if err := store.UpdateDomain(ctx, tx, row); err != nil {
			return err
		}
		_, err = w.Log.Append(ctx, tx, eventlog.Append{Log: d.Organization, Expected: head.Sequence, Actor: actor, Events: events})
		return err
	})
	if f, ok := errors.AsType[*fault.Fault](err); ok && f.Reason == commonv1.Reason_NOT_FOUND {
		return nil // it was removed
	}
	return err
}

func (w *Worker) now() time.Time { return w.Clock().UTC().Truncate(time.Microsecond) }
