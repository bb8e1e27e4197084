package feed

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	enforced prometheus.Histogram
	canary   *prometheus.HistogramVec // by home region
	unread   prometheus.Counter
}

// delays are the buckets of how long it takes from a commit to its being enforced.
var delays = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 15, 60}

// newMetrics registers the metrics of a feed; two of one process cannot share them.
func newMetrics(registry prometheus.Registerer, f *Feed) *metrics {
	m := &metrics{
		enforced: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "meridian_revocation_enforced_seconds",
			Help:    "Time from the commit of a revocation to its being enforced by this process.",
			Buckets: delays,
		}),
		canary: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "meridian_revocation_canary_seconds",
			Help:    "Time from the commit clock of a region's heartbeat to all revocations before it being enforced by this process.",
			Buckets: delays,
		}, []string{"home_region"}),
		unread: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_revocation_unread_total",
			Help: "Events that may revoke something and that this process cannot read.",
		}),
	}
	if registry == nil {
		return m
	}
	entries := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "meridian_revocation_entries", Help: "Revocations that access tokens are compared with.",
	}, func() float64 { return float64(f.c.Deny.Len()) })
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "meridian_revocation_age_seconds", Help: "How old what this process knows of revocations may be; +Inf: it is not known.",
	}, func() float64 {
		if age, known := f.Age(); known {
			return age.Seconds()
		}
		return math.Inf(1)
	})
	registry.MustRegister(m.enforced, m.canary, m.unread, entries, age)
	return m
}
