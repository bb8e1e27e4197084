package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/e2e/load/workset"
	"github.com/meridian-iam/meridian/pkg/secret"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// callTimeout ends a call that hangs.
const callTimeout = 30 * time.Second

// client is the services that drive calls.
type client struct {
	organizations identityv1connect.OrganizationServiceClient
	models        authzv1connect.ModelServiceClient
	relationships authzv1connect.RelationshipServiceClient
	checks        authzv1connect.CheckServiceClient
}

func newClient(url string, token secret.String, connections int) *client {
	transport := &http.Transport{
		MaxIdleConnsPerHost: connections + 1,
		IdleConnTimeout:     time.Minute,
	}
	h := &http.Client{Transport: bearer{token: token, next: transport}}
	// Compressing small messages costs more than it saves.
	small := connect.WithCompressMinBytes(1024)
	return &client{
		organizations: identityv1connect.NewOrganizationServiceClient(h, url, small),
		models:        authzv1connect.NewModelServiceClient(h, url, small),
		relationships: authzv1connect.NewRelationshipServiceClient(h, url, small),
		checks:        authzv1connect.NewCheckServiceClient(h, url, small),
	}
}

// bearer sends the token with every request.
type bearer struct {
	token secret.String
	next  http.RoundTripper
}

// RoundTrip sends a copy of the request: the caller's stays as it is.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token.Reveal())
	return b.next.RoundTrip(r)
}

// location is where relationships of the work set are in Meridian.
type location struct {
	Organization string `json:"organization"`
	// Revision is that of the load; checks are at least as fresh.
	Revision string `json:"revision"`
}

// state is what load tells the other modes: the location of each organization
// of the work set, or under "" that of all.
type state map[string]location

func readState(o options) (state, error) {
	if o.organization != "" {
		return state{"": {Organization: o.organization}}, nil
	}
	text, err := os.ReadFile(o.state)
	if err != nil {
		return nil, fmt.Errorf("read -state: %w", err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read -state %s: %w", o.state, err)
	}
	return s, nil
}

func (s state) write(path string) error {
	if path == "" {
		return nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write -state: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("write -state: %w", err)
	}
	return nil
}

// of is where an object's relationships are. Ids begin with the organization's,
// as o3 or o3-s1-d0.
func (s state) of(object workset.Object) (location, error) {
	if p, all := s[""]; all {
		return p, nil
	}
	organization, _, _ := strings.Cut(object.ID, "-")
	p, found := s[organization]
	if !found {
		return location{}, fmt.Errorf("-state has no organization %s", organization)
	}
	return p, nil
}

// allowed asks one check.
func (c *client) allowed(ctx context.Context, in location, q workset.Check, freshness *commonv1.Freshness) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := c.checks.Check(ctx, &authzv1.CheckRequest{
		Organization: in.Organization,
		Subject:      q.Subject.String(),
		Permission:   q.Permission,
		Resource:     q.Object.String(),
		Freshness:    freshness,
	})
	if err != nil {
		return false, fmt.Errorf("check: %w", err)
	}
	switch answer.GetDecision() {
	case authzv1.Decision_DECISION_ALLOW:
		return true, nil
	case authzv1.Decision_DECISION_DENY:
		return false, nil
	default:
		return false, fmt.Errorf("check: decision is %v", answer.GetDecision())
	}
}

func (o options) freshness() *commonv1.Freshness {
	if o.strong {
		return &commonv1.Freshness{Level: &commonv1.Freshness_FullyConsistent{FullyConsistent: true}}
	}
	return &commonv1.Freshness{Level: &commonv1.Freshness_MinimizeLatency{MinimizeLatency: true}}
}

func atLeast(revision string) *commonv1.Freshness {
	return &commonv1.Freshness{Level: &commonv1.Freshness_AtLeast{AtLeast: revision}}
}

func relationshipOf(t workset.Tuple) *authzv1.Relationship {
	return &authzv1.Relationship{Resource: t.Object.String(), Relation: t.Relation, Subject: t.Subject.String()}
}
