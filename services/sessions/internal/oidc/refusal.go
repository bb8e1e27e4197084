package oidc

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/device"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/interaction"
)

// Refusals record what was refused by a protocol: an answer to its client, and no error
// of ours, so that the access log has it as answered.
type Refusals struct {
	log   *slog.Logger
	total *prometheus.CounterVec
}

// NewRefusals records refusals in a log, and counts them in metrics; nil: nobody counts.
func NewRefusals(log *slog.Logger, metrics prometheus.Registerer) *Refusals {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_sessions_refused_total", Help: "Requests to the provider that were refused, by endpoint and error.",
	}, []string{"endpoint", "error"})
	if metrics != nil {
		metrics.MustRegister(total)
	}
	return &Refusals{log: log, total: total}
}

// ordinary are errors by which the protocols go on.
var ordinary = map[string]bool{
	answer.UseNonce: true, answer.SlowDown: true, device.Pending: true,
	interaction.LoginRequired: true, interaction.InteractionRequired: true, interaction.ConsentRequired: true,
}

// record records that a request was refused: where, why, and by which client it says
// that it is sent. Nothing else that a request says is in the record.
func (r *Refusals) record(req *http.Request, issuer, code, description string) {
	if ordinary[code] {
		return
	}
	r.total.WithLabelValues(req.Pattern, code).Inc()
	r.log.LogAttrs(req.Context(), slog.LevelInfo, "refused", slog.String("endpoint", req.Pattern), slog.String("issuer", issuer),
		slog.String("client", named(req)), slog.String("error", code), slog.String("description", description))
}

// named is the client that a request says it is of, or "" for what can be none.
func named(req *http.Request) string {
	name := req.Form.Get("client_id") // what was read of it
	if name == "" {
		name = req.URL.Query().Get("client_id")
	}
	if user, _, ok := req.BasicAuth(); ok && name == "" {
		name = user
	}
	if !id.Valid(id.Client, name) && !id.Valid(id.Trust, name) && !client.IsDocument(name) {
		return ""
	}
	return name
}
