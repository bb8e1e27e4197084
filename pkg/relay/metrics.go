package relay

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	entries, age, lead  prometheus.Gauge
	published, failures prometheus.Counter
	publish, visible    prometheus.Histogram
}

// newMetrics registers the metrics of one home region. Two relays of one region
// in one process share them.
func newMetrics(registry prometheus.Registerer, region string) *metrics {
	labels := prometheus.Labels{"home_region": region}
	gauge := func(name, help string) prometheus.Gauge {
		return register(registry, prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}))
	}
	counter := func(name, help string) prometheus.Counter {
		return register(registry, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}))
	}
	histogram := func(name, help string, start float64) prometheus.Histogram {
		return register(registry, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: help, ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(start, 2, 16),
		}))
	}
	return &metrics{
		entries:   gauge("meridian_relay_outbox_entries", "Appends that are not published yet."),
		age:       gauge("meridian_relay_outbox_age_seconds", "Age of the oldest append that is not published yet."),
		lead:      gauge("meridian_relay_lease_held", "1 while this process relays the region."),
		published: counter("meridian_relay_published_total", "Events that JetStream acknowledged, repeats included."),
		failures:  counter("meridian_relay_failures_total", "Rounds that failed."),
		publish:   histogram("meridian_relay_publish_seconds", "Time to publish one event.", 25e-6),
		visible:   histogram("meridian_relay_commit_to_published_seconds", "Time from an append's commit clock to its acknowledgement.", 1e-3),
	}
}

func (m *metrics) leading(held bool) {
	if held {
		m.lead.Set(1)
	} else {
		m.lead.Set(0)
	}
}

func (m *metrics) backlog(entries int64, oldest, now time.Time) {
	m.entries.Set(float64(entries))
	if oldest.IsZero() {
		m.age.Set(0)
		return
	}
	m.age.Set(max(0, now.Sub(oldest).Seconds()))
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
