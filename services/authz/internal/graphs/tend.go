package graphs

import (
	"cmp"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// snapshotEvery is how many events make a new snapshot worth its writing.
const snapshotEvery = 1000

// tooLargeFor is how long a graph that has no room is not tried again.
const tooLargeFor = time.Minute

type metrics struct {
	loads         prometheus.Histogram
	evictions     prometheus.Counter
	graphs        prometheus.Gauge
	tooLarge      prometheus.Gauge
	bytes         prometheus.Gauge
	relationships prometheus.Gauge
	snapshots     prometheus.Counter
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		loads: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meridian_authz_graph_load_seconds", Help: "Time to load one organization's graph.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}),
		evictions:     prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_authz_graph_evictions_total", Help: "Graphs let go."}),
		graphs:        prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_authz_graphs", Help: "Graphs in memory."}),
		tooLarge:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_authz_graphs_too_large", Help: "Organizations whose graph has no room; their checks fail with GRAPH_TOO_LARGE."}),
		bytes:         prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_authz_graph_bytes", Help: "Memory of all graphs."}),
		relationships: prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_authz_graph_relationships", Help: "Relationships in memory."}),
		snapshots:     prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_authz_graph_snapshots_total", Help: "Snapshots written."}),
	}
	if r != nil {
		r.MustRegister(m.loads, m.evictions, m.graphs, m.tooLarge, m.bytes, m.relationships, m.snapshots)
	}
	return m
}

// tend writes snapshots that are due and evicts what is cold or too much,
// the longest unused first.
func (r *Registry) tend() {
	replicas := r.all()
	slices.SortFunc(replicas, func(a, b *replica) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	var bytes, relationships uint64
	for _, rep := range replicas {
		size := rep.graph.Load().View().Size()
		bytes += size.Bytes
		relationships += size.Relationships
	}
	cold := r.clock().Add(-r.IdleAfter).UnixNano()
	kept, tooLarge := 0, 0
	for _, rep := range replicas {
		if since := rep.tooLarge.Load(); since != 0 {
			if since < r.clock().Add(-tooLargeFor).UnixNano() {
				r.evict(rep) // the next question tries again
			} else {
				tooLarge++
			}
			continue
		}
		size := rep.graph.Load().View().Size()
		if rep.used.Load() < cold || bytes > r.MaxBytes {
			r.evict(rep)
			bytes -= size.Bytes
			relationships -= size.Relationships
			continue
		}
		kept++
		if rep.attachment.Sequence() >= rep.snapshot.Load()+snapshotEvery {
			if err := r.save(rep); err != nil {
				r.Log.Warn("snapshot not written", slog.String("organization", rep.organization), slog.Any("error", err))
			}
		}
	}
	r.metrics.graphs.Set(float64(kept))
	r.metrics.tooLarge.Set(float64(tooLarge))
	r.metrics.bytes.Set(float64(bytes))
	r.metrics.relationships.Set(float64(relationships))
}
