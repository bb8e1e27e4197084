package project

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	lagEvents, lagSeconds *prometheus.GaugeVec // by stream
	halted, attached      prometheus.Gauge
	applied, unwatched    prometheus.Counter
	overflowed            prometheus.Counter
	backfill              *prometheus.CounterVec // by source: stream, events
	breaker               prometheus.Gauge
}

// newMetrics registers the metrics of one projection. Several of one name in a
// process share them.
func newMetrics(registry prometheus.Registerer, name string) *metrics {
	labels := prometheus.Labels{"projection": name}
	gauge := func(name, help string) prometheus.Gauge {
		return register(registry, prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}))
	}
	counter := func(name, help string) prometheus.Counter {
		return register(registry, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}))
	}
	byStream := func(name, help string) *prometheus.GaugeVec {
		return register(registry, prometheus.NewGaugeVec(
			prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, []string{"stream"}))
	}
	return &metrics{
		lagEvents:  byStream("meridian_projection_lag_events", "Messages of the stream that were not read yet."),
		lagSeconds: byStream("meridian_projection_lag_seconds", "How far this projection is behind the commits."),
		halted:     gauge("meridian_projection_halted", "Logs that stopped at an event that cannot be applied."),
		attached:   gauge("meridian_projection_attached", "Replicas of logs that are kept."),
		applied:    counter("meridian_projection_applied_total", "Events applied."),
		unwatched:  counter("meridian_projection_watch_missed_total", "Live events that a slow watcher missed."),
		overflowed: counter("meridian_projection_overflow_total", "Times that a slow replica dropped its queue, to read it again."),
		breaker:    gauge("meridian_projection_breaker_open", "1 while the events table is not asked, because it failed."),
		backfill: register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_projection_backfill_total", Help: "Reads that filled a replica, by source.", ConstLabels: labels,
		}, []string{"source"})),
	}
}

// register returns the collector that is registered already, if there is one.
func register[T prometheus.Collector](registry prometheus.Registerer, collector T) T {
	if registry == nil {
		return collector
	}
	var known prometheus.AlreadyRegisteredError
	if err := registry.Register(collector); errors.As(err, &known) {
		if same, ok := known.ExistingCollector.(T); ok {
			return same
		}
	}
	return collector
}
