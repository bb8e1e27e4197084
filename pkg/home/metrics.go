package home

import "github.com/prometheus/client_golang/prometheus"

// outcome is what became of a write that is at home in another region.
type outcome string

const (
	// answered: the home region did it, or refused to.
	answered outcome = "answered"
	// unreachable: nothing was done there, so it was done from here.
	unreachable outcome = "unreachable"
	// unanswered: what was done there is not known.
	unanswered outcome = "unanswered"
	// received: another region sent it here.
	received outcome = "received"
)

func newForwarded(registry prometheus.Registerer, service string) *prometheus.CounterVec {
	forwarded := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name:        "meridian_forwarded_total",
		Help:        "Writes that were sent to their home region, by what came of it, and those received from others.",
		ConstLabels: prometheus.Labels{"service": service},
	}, []string{"outcome"})
	for _, o := range []outcome{answered, unreachable, unanswered, received} {
		forwarded.WithLabelValues(string(o))
	}
	registry.MustRegister(forwarded)
	return forwarded
}

func (r *Router) count(o outcome) { r.forwarded.WithLabelValues(string(o)).Inc() }
