package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/e2e/load/workset"
	"github.com/meridian-iam/meridian/pkg/secret"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// MeridianOptions say where Meridian is and what to use of it.
type MeridianOptions struct {
	URL string
	// Token is the platform's, with level admin.
	Token secret.String
	// Organization is used instead of a new one; may be empty.
	Organization string
	// State is the file in which Settle keeps what Restore needs; may be empty.
	State string
	// Split makes an organization for each one of the work set.
	Split bool
	// HTTP2 is HTTP/2 without TLS (h2c) instead of HTTP/1.1.
	HTTP2 bool
	// Pages lists with ListObjects instead of StreamObjects.
	Pages bool
	// Connections is how many calls there are at the same time.
	Connections int
}

// Meridian is a running Meridian, asked through the generated Connect client in
// binary protobuf.
type Meridian struct {
	o         MeridianOptions
	run       string // makes slugs and idempotency keys those of this run
	writes    atomic.Uint64
	transport *http.Transport
	wire      *wire
	model     string
	split     bool

	mu     sync.Mutex // while loading
	places map[string]location

	organizations identityv1connect.OrganizationServiceClient
	models        authzv1connect.ModelServiceClient
	relationships authzv1connect.RelationshipServiceClient
	checks        authzv1connect.CheckServiceClient
	lookups       authzv1connect.LookupServiceClient
	imports       authzv1connect.RelationshipServiceClient
	listings      authzv1connect.LookupServiceClient
}

// location is where relationships of the work set are in Meridian.
type location struct {
	Organization string `json:"organization"`
	// Revision is that of the load; checks are at least as fresh.
	Revision string `json:"revision"`

	// sample is one of the relationships.
	sample workset.Tuple
}

// NewMeridian returns a client; it calls nothing yet.
func NewMeridian(o MeridianOptions) *Meridian {
	t := newTransport(o.HTTP2, o.Connections)
	streams := &http.Client{Transport: t}
	w := newWire(o.Connections)
	var unary connect.HTTPClient = streams
	if !o.HTTP2 && strings.HasPrefix(o.URL, "http:") {
		unary = tripper{w}
	}
	// Compressing small messages costs more than it saves.
	// No answer is compressed: OpenFGA's are not either.
	options := connect.WithClientOptions(connect.WithInterceptors(newBearer(o.Token)),
		connect.WithCompressMinBytes(1024), connect.WithAcceptCompression("gzip", nil, nil))
	return &Meridian{
		o: o, split: o.Split, run: strconv.FormatInt(time.Now().UnixNano(), 36), places: make(map[string]location), transport: t, wire: w,
		organizations: identityv1connect.NewOrganizationServiceClient(unary, o.URL, options),
		models:        authzv1connect.NewModelServiceClient(unary, o.URL, options),
		relationships: authzv1connect.NewRelationshipServiceClient(unary, o.URL, options),
		checks:        authzv1connect.NewCheckServiceClient(unary, o.URL, options),
		lookups:       authzv1connect.NewLookupServiceClient(unary, o.URL, options),
		imports:       authzv1connect.NewRelationshipServiceClient(streams, o.URL, options),
		listings:      authzv1connect.NewLookupServiceClient(streams, o.URL, options),
	}
}

// Close implements [Target].
func (m *Meridian) Close() {
	m.wire.close()
	m.transport.CloseIdleConnections()
}

// Place implements [Target].
func (m *Meridian) Place(o workset.Object) string {
	if m.split {
		return placeOf(o)
	}
	return ""
}

func (m *Meridian) of(o workset.Object) (location, error) {
	place := m.Place(o)
	in, found := m.places[place]
	if !found {
		return in, fmt.Errorf("the state has no organization %q", place)
	}
	return in, nil
}

// Check implements [Target].
func (m *Meridian) Check(ctx context.Context, q workset.Check, f Freshness) (bool, error) {
	in, err := m.of(q.Object)
	if err != nil {
		return false, err
	}
	answer, err := m.checks.Check(ctx, &authzv1.CheckRequest{
		Organization: in.Organization,
		Subject:      q.Subject.String(),
		Permission:   q.Permission,
		Resource:     q.Object.String(),
		Freshness:    freshnessOf(f),
	})
	if err != nil {
		return false, fmt.Errorf("check: %w", err)
	}
	return allowed(answer.GetDecision())
}

// Batch implements [Target].
func (m *Meridian) Batch(ctx context.Context, questions []workset.Check, f Freshness) ([]bool, error) {
	in, err := m.of(questions[0].Object)
	if err != nil {
		return nil, err
	}
	items := make([]*authzv1.BatchCheckItem, len(questions))
	for i, q := range questions {
		items[i] = &authzv1.BatchCheckItem{Subject: q.Subject.String(), Permission: q.Permission, Resource: q.Object.String()}
	}
	answer, err := m.checks.BatchCheck(ctx, &authzv1.BatchCheckRequest{
		Organization: in.Organization, Items: items, Freshness: freshnessOf(f),
	})
	if err != nil {
		return nil, fmt.Errorf("batch check: %w", err)
	}
	if len(answer.GetResults()) != len(questions) {
		return nil, fmt.Errorf("batch check: %d answers to %d questions", len(answer.GetResults()), len(questions))
	}
	answers := make([]bool, len(questions))
	for i, r := range answer.GetResults() {
		if r.GetError() != nil {
			return nil, fmt.Errorf("batch check: %s: %s", r.GetError().GetReason(), r.GetError().GetMessage())
		}
		if answers[i], err = allowed(r.GetDecision()); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// Change implements [Target].
func (m *Meridian) Change(ctx context.Context, t workset.Tuple, present bool) (string, error) {
	in, err := m.of(t.Object)
	if err != nil {
		return "", err
	}
	operation := authzv1.Operation_OPERATION_DELETE
	if present {
		operation = authzv1.Operation_OPERATION_TOUCH
	}
	answer, err := m.relationships.WriteRelationships(ctx, &authzv1.WriteRelationshipsRequest{
		Organization:   in.Organization,
		Updates:        []*authzv1.RelationshipUpdate{{Operation: operation, Relationship: relationshipOf(t)}},
		IdempotencyKey: fmt.Sprintf("load-change-%s-%d", m.run, m.writes.Add(1)),
	})
	if err != nil {
		return "", fmt.Errorf("write relationship: %w", err)
	}
	return answer.GetRevision(), nil
}

func allowed(d authzv1.Decision) (bool, error) {
	switch d {
	case authzv1.Decision_DECISION_ALLOW:
		return true, nil
	case authzv1.Decision_DECISION_DENY:
		return false, nil
	default:
		return false, fmt.Errorf("decision is %v", d)
	}
}

func freshnessOf(f Freshness) *commonv1.Freshness {
	switch {
	case f.Token != "":
		return &commonv1.Freshness{Level: &commonv1.Freshness_AtLeast{AtLeast: f.Token}}
	case f.Strong:
		return &commonv1.Freshness{Level: &commonv1.Freshness_FullyConsistent{FullyConsistent: true}}
	default:
		return nil // minimize_latency
	}
}

func relationshipOf(t workset.Tuple) *authzv1.Relationship {
	return &authzv1.Relationship{Resource: t.Object.String(), Relation: t.Relation, Subject: t.Subject.String()}
}

var errSplit = errors.New("lists are of the whole work set: load it without -split")
