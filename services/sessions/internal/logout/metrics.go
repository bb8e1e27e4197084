package logout

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/services/sessions/internal/domain/logout"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

type metrics struct {
	attempts *prometheus.CounterVec
	waiting  prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_sessions_logout_attempts_total",
			Help: "Attempts to tell clients that a session has ended: delivered, failed for good, waiting for the next attempt.",
		}, []string{"outcome"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_sessions_logout_waiting_age_seconds",
			Help: "Time since the end of the session whose clients wait longest to be told of it; 0: none waits.",
		}),
	}
	for _, status := range []logout.Status{logout.Delivered, logout.Failed, logout.Waiting} {
		m.attempts.WithLabelValues(outcome(status))
	}
	if registry != nil {
		registry.MustRegister(m.attempts, m.waiting)
	}
	return m
}

func (m *metrics) attempted(status logout.Status) { m.attempts.WithLabelValues(outcome(status)).Inc() }

func outcome(status logout.Status) string {
	switch status {
	case logout.Delivered:
		return "delivered"
	case logout.Failed:
		return "failed"
	default:
		return "waiting"
	}
}

// look measures what waits.
//
// Errors: DATABASE_UNAVAILABLE.
func (t *Teller) look(ctx context.Context) error {
	oldest, waits, err := store.OldestLogout(ctx, t.DB, t.Region)
	if err != nil {
		return err
	}
	t.metrics.waiting.Set(0)
	if waits {
		t.metrics.waiting.Set(t.now().Sub(oldest).Seconds())
	}
	return nil
}
