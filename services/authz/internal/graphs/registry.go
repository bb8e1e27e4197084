package graphs

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/models"
)

// Options are what a registry needs.
type Options struct {
	DB       *sqldb.DB
	Store    *eventlog.Store
	Follower *project.Follower
	// StreamHead is the last sequence of a log in the region's streams.
	StreamHead func(ctx context.Context, log string) (sequence uint64, found bool, err error)
	Models     *models.Registry
	// Dir holds the snapshots.
	Dir string
	// MaxGraphBytes bounds one graph, MaxBytes all graphs of the process, and
	// IdleAfter is when a graph that nobody asks about is evicted.
	MaxGraphBytes uint64
	MaxBytes      uint64
	IdleAfter     time.Duration
	Clock         func() time.Time
	Log           *slog.Logger
	Metrics       prometheus.Registerer
}

// Registry holds the graphs of a process. It is safe for concurrent use.
type Registry struct {
	Options
	metrics metrics

	heads heads
	// life ends when the registry closes; loads end with it.
	life context.Context //nolint:containedctx // the life of the registry, not of a call
	end  context.CancelFunc

	mu       sync.RWMutex
	replicas map[string]*replica
	closed   bool
}

// loadTimeout bounds one load, however long its callers wait. It is for what
// hangs: a long log takes its time.
const loadTimeout = 30 * time.Minute

// New returns an empty registry.
func New(o Options) *Registry {
	life, end := context.WithCancel(context.Background())
	return &Registry{Options: o, metrics: newMetrics(o.Metrics), life: life, end: end, replicas: map[string]*replica{}}
}

func (r *Registry) clock() time.Time { return r.Clock() }

// replica returns an organization's graph and loads it when it is not here.
func (r *Registry) replica(ctx context.Context, organization string) (*replica, error) {
	r.mu.RLock()
	rep := r.replicas[organization]
	r.mu.RUnlock()
	if rep == nil {
		rep = r.start(organization)
	}
	select {
	case <-rep.ready:
	default:
		select {
		case <-rep.ready:
		case <-ctx.Done():
			return nil, fault.New(fault.Deadline, commonv1.Reason_DEADLINE,
				"the organization's graph is still being loaded; try again").Retry(time.Second).Because(ctx.Err())
		}
	}
	if rep.err != nil {
		return nil, rep.err
	}
	rep.used.Store(r.clock().UnixNano())
	return rep, nil
}

// start begins to load a graph, once however many ask.
func (r *Registry) start(organization string) *replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rep := r.replicas[organization]; rep != nil {
		return rep
	}
	rep := &replica{organization: organization, models: r.Models, maxBytes: r.MaxGraphBytes, clock: r.clock, ready: make(chan struct{})}
	if r.closed {
		rep.err = fault.New(fault.Unavailable, commonv1.Reason_STOPPING, "the process is stopping")
		close(rep.ready)
		return rep
	}
	r.replicas[organization] = rep
	go r.load(rep)
	return rep
}

func (r *Registry) load(rep *replica) {
	ctx, cancel := context.WithTimeout(r.life, loadTimeout)
	defer cancel()
	began := r.clock()
	rep.err = r.fill(ctx, rep)
	if rep.attachment != nil && rep.halted() != nil {
		rep.err = nil // kept, and every question is told why
	}
	if rep.err != nil {
		// Not kept: the next question tries again.
		r.mu.Lock()
		delete(r.replicas, rep.organization)
		r.mu.Unlock()
		if rep.attachment != nil {
			rep.attachment.Close()
		}
		if !fault.Is(rep.err, commonv1.Reason_NOT_FOUND) {
			r.Log.Error("graph not loaded", slog.String("organization", rep.organization), slog.Any("error", rep.err))
		}
	} else {
		r.metrics.loads.Observe(r.clock().Sub(began).Seconds())
	}
	close(rep.ready)
}

// fill loads a graph up to the log's head.
func (r *Registry) fill(ctx context.Context, rep *replica) error {
	head, err := r.Store.Head(ctx, r.DB.Pool(), rep.organization)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return principal.OrganizationNotFound()
	}
	databaseAway := err != nil
	from := r.restore(ctx, rep, databaseAway)
	rep.attachment = r.Follower.Attach(rep.organization, from, rep.apply)
	if !databaseAway {
		return rep.wait(ctx, head.Sequence)
	}
	// Without the database the streams are all there is to read.
	last, found, busErr := r.StreamHead(ctx, rep.organization)
	if busErr != nil || !found {
		return err
	}
	return rep.wait(ctx, last)
}

// Run evicts cold graphs and writes snapshots until ctx ends; then it writes
// the last snapshots and lets all graphs go.
func (r *Registry) Run(ctx context.Context) error {
	// Often enough for the shortest idle time that makes sense.
	ticker := time.NewTicker(min(5*time.Second, max(r.IdleAfter/2, 100*time.Millisecond)))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			r.close()
			return nil
		case <-ticker.C:
			r.tend()
		}
	}
}

// all returns the graphs that are loaded.
func (r *Registry) all() []*replica {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []*replica
	for _, rep := range r.replicas {
		select {
		case <-rep.ready:
			if rep.err == nil {
				out = append(out, rep)
			}
		default:
		}
	}
	return out
}

func (r *Registry) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.end()
	for _, rep := range r.all() {
		r.evict(rep)
	}
}

// evict writes a graph's snapshot and lets it go. Questions that hold a view
// of it finish undisturbed.
func (r *Registry) evict(rep *replica) {
	if err := r.save(rep); err != nil {
		r.Log.Warn("snapshot not written", slog.String("organization", rep.organization), slog.Any("error", err))
	}
	r.mu.Lock()
	delete(r.replicas, rep.organization)
	r.mu.Unlock()
	rep.attachment.Close()
	r.metrics.evictions.Inc()
}
