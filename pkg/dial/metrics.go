package dial

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one target.
type metrics struct {
	repetitions prometheus.Counter
	paused      *prometheus.GaugeVec
}

func newMetrics(target string, registry prometheus.Registerer) *metrics {
	labels := prometheus.Labels{"target": target}
	return &metrics{
		repetitions: registered(registry, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_dial_repetitions_total", Help: "Calls that were sent again, or to another region too.", ConstLabels: labels,
		})),
		paused: registered(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_dial_paused", Help: "1 while calls to a region are refused or one is tried.", ConstLabels: labels,
		}, []string{"url", "kind"})),
	}
}

func (m *metrics) pause(url, kind string, paused bool) {
	m.paused.WithLabelValues(url, kind).Set(map[bool]float64{true: 1}[paused])
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
