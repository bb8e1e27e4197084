package dial

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one target.
type metrics struct {
	retries prometheus.Counter
	open    prometheus.Gauge
}

func newMetrics(target string, registry prometheus.Registerer) *metrics {
	labels := prometheus.Labels{"target": target}
	return &metrics{
		retries: registered(registry, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_dial_retries_total", Help: "Calls that were repeated.", ConstLabels: labels,
		})),
		open: registered(registry, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_dial_breaker_open", Help: "1 while the breaker refuses calls or tries one.", ConstLabels: labels,
		})),
	}
}

// registered returns the collector, or the one that a client of the same target
// registered before.
func registered[C prometheus.Collector](registry prometheus.Registerer, c C) C {
	var before prometheus.AlreadyRegisteredError
	if err := registry.Register(c); errors.As(err, &before) {
		if existing, ok := before.ExistingCollector.(C); ok {
			return existing
		}
	}
	return c
}
