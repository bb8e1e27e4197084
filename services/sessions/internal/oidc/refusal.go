package oidc

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/meridian-iam/meridian/pkg/activity"
	"github.com/meridian-iam/meridian/pkg/id"
	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/device"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/interaction"
	"github.com/meridian-iam/meridian/services/sessions/internal/party"
)

// Refusals record what was refused by a protocol: an answer to its client, and no error
// of ours, so that the access log has it as answered.
type Refusals struct {
	log      *slog.Logger
	total    *prometheus.CounterVec
	activity func(activity.Observation)
}

// NewRefusals records refusals in a log and as activity, and counts them in metrics; nil:
// nobody records, nobody counts.
func NewRefusals(log *slog.Logger, metrics prometheus.Registerer, record func(activity.Observation)) *Refusals {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_sessions_refused_total", Help: "Requests to the provider that were refused, by endpoint and error.",
	}, []string{"endpoint", "error"})
	if metrics != nil {
		metrics.MustRegister(total)
	}
	if record == nil {
		record = func(activity.Observation) {}
	}
	return &Refusals{log: log, total: total, activity: record}
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
	of := party.Of(req.Context())
	r.activity(activity.Observation{
		Kind: auditv1.ActivityKind_ACTIVITY_KIND_REQUEST_REFUSED, Organization: of.Organization,
		Client: observed(req, of), Registered: of.Registered(), Issuer: issuer, Endpoint: req.Pattern,
		Error: code, Description: description, Trace: trace(req.Context()),
	})
}

// observed is whom a refused request is recorded to be of: who was found, else what it
// says, if that is an id. A URL at which nothing was found is text of a stranger's.
func observed(req *http.Request, of party.Party) string {
	if of.ID != "" {
		return of.ID
	}
	name := named(req)
	if client.IsDocument(name) {
		return ""
	}
	return strings.Clone(name) // not the whole request, of which it is a part
}

// trace is the id of the trace that a request is in, or "".
func trace(ctx context.Context) string {
	span := oteltrace.SpanContextFromContext(ctx)
	if !span.HasTraceID() {
		return ""
	}
	return span.TraceID().String()
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
