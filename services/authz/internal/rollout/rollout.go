// Package rollout moves the organizations that follow a line of models to the
// model that they should use, one after another, each by an event in its own
// log. It begins where a change of a model's state has left a row of
// authz.rollouts, goes on where it was after a restart, and does nothing while
// there is none. Any number of workers may run: what one has done the other
// finds done.
package rollout

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/assignment"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

const (
	// lookEvery is how soon a change of state is noticed.
	lookEvery = time.Second
	// batch is how many organizations lie between two marks of progress.
	batch = 100
	// oneTimeout bounds the move of one organization, so that one that hangs does
	// not stop the others for good.
	oneTimeout = 2 * time.Minute
	// againAfter is how long those wait that could not be moved for a while.
	againAfter = 10 * time.Second
)

// Worker moves organizations.
type Worker struct {
	DB       *sqldb.DB
	Assigner *assignment.Assigner
	Log      *slog.Logger

	metrics metrics
	// away: the last look at the database failed.
	away bool
	// notBefore is when a line with organizations that could not be moved is
	// tried again.
	notBefore map[string]time.Time
}

type metrics struct {
	organizations *prometheus.CounterVec
	lines         prometheus.Gauge
}

// New returns a worker. registerer may be nil.
func New(db *sqldb.DB, assigner *assignment.Assigner, log *slog.Logger, registerer prometheus.Registerer) *Worker {
	m := metrics{
		organizations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_authz_rollout_organizations_total",
			Help: "Organizations that a roll-out moved, left because of orphans, or could not move.",
		}, []string{"outcome"}),
		lines: prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_authz_rollouts", Help: "Lines that are being rolled out."}),
	}
	if registerer != nil {
		registerer.MustRegister(m.organizations, m.lines)
	}
	return &Worker{DB: db, Assigner: assigner, Log: log, metrics: m, notBefore: map[string]time.Time{}}
}

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for w.round(ctx) {
			continue
		}
	}
}

// round takes every line a batch further and says whether there is more to do
// at once.
func (w *Worker) round(ctx context.Context) (more bool) {
	lines, err := store.Unfinished(ctx, w.DB.Pool())
	if err != nil {
		if !w.away && ctx.Err() == nil {
			w.Log.WarnContext(ctx, "roll-outs not read", slog.Any("error", err))
		}
		w.away = true
		return false
	}
	w.away = false
	w.metrics.lines.Set(float64(len(lines)))
	for _, line := range lines {
		if time.Now().Before(w.notBefore[line.Line]) {
			continue
		}
		goesOn, err := w.advance(ctx, line)
		if err != nil && ctx.Err() == nil {
			w.Log.WarnContext(ctx, "roll-out interrupted", slog.String("line", line.Line), slog.Any("error", err))
		}
		more = more || goesOn
	}
	return more && ctx.Err() == nil
}

// advance looks at one batch of the organizations that follow a line.
func (w *Worker) advance(ctx context.Context, from store.Rollout) (more bool, err error) {
	line, err := store.FindLine(ctx, w.DB.Pool(), from.Line)
	if err != nil {
		return false, err
	}
	followers, err := store.Followers(ctx, w.DB.Pool(), from.Line, from.Position, batch)
	if err != nil {
		return false, err
	}
	to := from
	for _, f := range followers {
		if wanted := line.For(f.Organization); wanted != f.Model {
			w.count(ctx, f, wanted, &to)
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		to.Position = f.Organization
	}
	return w.mark(ctx, from, to, len(followers) < batch)
}

// mark writes progress: at the end of the organizations either that, or that it
// begins again.
func (w *Worker) mark(ctx context.Context, from, to store.Rollout, end bool) (more bool, err error) {
	again := end && to.Again
	if again {
		to.Position, to.Again, to.Left = "", false, 0 // those that are left are met again
		w.notBefore[to.Line] = time.Now().Add(againAfter)
	}
	mine, err := store.MoveRollout(ctx, w.DB.Pool(), from, to, end && !again)
	if err != nil || !mine {
		return err == nil, err // another worker was faster, or the line changed again
	}
	if end && !again {
		delete(w.notBefore, to.Line)
	}
	w.Log.InfoContext(ctx, "roll-out of a model", slog.String("line", to.Line), slog.Uint64("revision", to.Revision),
		slog.Bool("finished", end && !again), slog.Uint64("moved", to.Moved), slog.Uint64("left", to.Left))
	return !again, nil
}

// count moves one organization to the model that it should use, and counts what
// became of it.
func (w *Worker) count(ctx context.Context, f store.Assignment, wanted string, r *store.Rollout) {
	moved, err := w.move(ctx, f, r.Revision)
	switch {
	case ctx.Err() != nil:
		return
	case err == nil && moved:
		r.Moved++
		w.metrics.organizations.WithLabelValues("moved").Inc()
		return
	case err == nil:
		return // another worker, or the organization follows the line no more
	}
	outcome := "failed"
	switch {
	case fault.Is(err, commonv1.Reason_MODEL_ORPHANS):
		r.Left++
		outcome = "orphans"
	case passing(err):
		r.Again = true
	default:
		r.Left++
	}
	w.metrics.organizations.WithLabelValues(outcome).Inc()
	w.Log.WarnContext(ctx, "organization not moved to another model", slog.String("organization", f.Organization),
		slog.String("line", f.Line), slog.String("model_now", f.Model), slog.String("model_wanted", wanted), slog.Any("error", err))
	if outcome == "orphans" || !passing(err) {
		w.keep(ctx, f, wanted, *r, err)
	}
}

// keep writes down whom the roll-out leaves, for those who ask.
func (w *Worker) keep(ctx context.Context, f store.Assignment, wanted string, r store.Rollout, why error) {
	left := store.Left{
		Organization: f.Organization, Now: f.Model, Wanted: wanted,
		Reason: commonv1.Reason_DEFECT.String(), Why: "the move failed; the service's log has the error",
	}
	if f, ok := fault.As(why); ok {
		left.Reason, left.Why = f.Reason.String(), f.Detail
	}
	if err := store.PutLeft(ctx, w.DB.Pool(), r, left); err != nil && ctx.Err() == nil {
		w.Log.WarnContext(ctx, "organization that was left not kept", slog.String("organization", f.Organization), slog.Any("error", err))
	}
}

func (w *Worker) move(ctx context.Context, f store.Assignment, revision uint64) (moved bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, oneTimeout)
	defer cancel()
	err = w.Assigner.Assign(ctx, eventlog.Request{}, assignment.Command{
		Organization: f.Organization, Line: f.Line, Following: true,
		Actor: &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_SERVICE, Id: "authz"},
		Cause: fmt.Sprintf("platform/%d", revision),
	}, func(r assignment.Result) error {
		moved = r.Changed
		return nil
	})
	return moved, err
}

// passing says whether an error may be gone in a while. A graph that stopped at
// an event, or is too large, stays so.
func passing(err error) bool {
	f, ok := fault.As(err)
	if !ok || f.Reason == commonv1.Reason_EVENT_CORRUPT {
		return false
	}
	switch f.Kind {
	case fault.Unavailable, fault.Deadline, fault.Cancelled, fault.Conflict, fault.UnknownOutcome:
		return true
	default:
		return f.Reason == commonv1.Reason_REVISION_NOT_VISIBLE
	}
}
