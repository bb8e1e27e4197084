package serve

import (
	"fmt"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of all calls. Labels are procedures, codes and reasons: never ids.
type metrics struct {
	duration *prometheus.HistogramVec
	failed   *prometheus.CounterVec
	shed     prometheus.Counter
	closed   prometheus.Counter
	running  prometheus.GaugeFunc
}

func newMetrics(running func() float64) *metrics {
	return &metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "meridian_rpc_duration_seconds",
			Help:    "Time from the first byte of a call to its answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 3, 10, 60},
		}, []string{"procedure", "code"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_rpc_failures_total",
			Help: "Calls that were answered with an error, by reason.",
		}, []string{"procedure", "reason"}),
		shed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_rpc_shed_total",
			Help: "Calls that were refused because too many were running.",
		}),
		closed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_connections_refused_total",
			Help: "Connections that were closed at once because too many were open.",
		}),
		running: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "meridian_rpc_running",
			Help: "Calls that are running.",
		}, running),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, collector := range []prometheus.Collector{m.duration, m.failed, m.shed, m.closed, m.running} {
		if err := r.Register(collector); err != nil {
			return fmt.Errorf("register server metrics: %w", err)
		}
	}
	return nil
}

// observers are the metrics of one procedure that every call needs.
type observers struct{ ok prometheus.Observer }

func (m *metrics) observe(of *method, code connect.Code, reason string, seconds float64) {
	if code == 0 {
		seen := of.seen.Load()
		if seen == nil {
			seen = &observers{m.duration.WithLabelValues(of.procedure, "ok")}
			of.seen.Store(seen)
		}
		seen.ok.Observe(seconds)
		return
	}
	m.duration.WithLabelValues(of.procedure, code.String()).Observe(seconds)
	m.failed.WithLabelValues(of.procedure, reason).Inc()
}
