package home_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/telemetry"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func TestMain(m *testing.M) {
	// Connections that are kept for the next call.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"))
}

const (
	acme = "org_00000000000000000000000001"
	east = "us-east"
	west = "eu-west"
)

func writer() principal.Principal {
	return principal.Principal{Kind: principal.APIToken, ID: "tok_writer", Organization: acme, Level: commonv1.Level_LEVEL_WRITE}
}

// tokens knows the bearers of these tests.
type tokens map[string]principal.Principal

func (k tokens) Verify(_ context.Context, bearer secret.String) (principal.Principal, error) {
	p, ok := k[bearer.Reveal()]
	if !ok {
		return principal.Principal{}, fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_REJECTED, "rejected")
	}
	return p, nil
}

// region is a service in a region: it remembers whom it executed writes for.
type region struct {
	authzv1connect.UnimplementedRelationshipServiceHandler

	name    string
	address string
	ways    *home.Router
	metrics *prometheus.Registry
	peers   *home.Peers[authzv1connect.RelationshipServiceClient]

	mu     sync.Mutex
	answer func(ctx context.Context) error
	seen   []principal.Principal
	left   time.Duration // of the last call's time
}

func (r *region) WriteRelationships(
	ctx context.Context, req *authzv1.WriteRelationshipsRequest,
) (*authzv1.WriteRelationshipsResponse, error) {
	return home.Send(ctx, r.peers, req.GetOrganization(), req,
		authzv1connect.RelationshipServiceClient.WriteRelationships, r.commit)
}

func (r *region) commit(ctx context.Context, req *authzv1.WriteRelationshipsRequest) (*authzv1.WriteRelationshipsResponse, error) {
	caller, _ := principal.From(ctx)
	r.mu.Lock()
	r.seen = append(r.seen, caller)
	if end, named := ctx.Deadline(); named {
		r.left = time.Until(end)
	}
	answer := r.answer
	r.mu.Unlock()
	if answer != nil {
		if err := answer(ctx); err != nil {
			return nil, err
		}
	}
	return &authzv1.WriteRelationshipsResponse{Revision: r.name + " " + req.GetIdempotencyKey()}, nil
}

func (r *region) answers(answer func(ctx context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *region) calls() []principal.Principal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func serviceKey(t *testing.T) *principal.ServiceKey {
	t.Helper()
	key, err := principal.GenerateServiceKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func at(region string) home.Lookup {
	return func(context.Context, string) (string, uint64, error) { return region, 1, nil }
}

// start runs a region's service. There is one peer.
func start(t *testing.T, r *region, key *principal.ServiceKey, lookup home.Lookup, peer, url string) {
	t.Helper()
	observed := telemetry.Discard()
	r.metrics = observed.Registry
	r.ways = home.NewRouter(home.Options{
		Region: r.name, Service: "authz", Key: key, URLs: map[string]string{peer: url, r.name: "http://127.0.0.1:1"},
		Logs: home.NewLogs(lookup), Telemetry: observed,
	})
	r.peers = home.Clients(r.ways, authzv1connect.NewRelationshipServiceClient)
	s := serve.New(serve.Options{
		Config: serve.Config{Listen: r.address, Limits: serve.Limits{Write: serve.Rate{PerSecond: 0.001, Burst: 50}}}, ServiceKey: key,
		Verifier: tokens{
			"writer":   writer(),
			"reader":   {Kind: principal.APIToken, ID: "tok_reader", Organization: acme, Level: commonv1.Level_LEVEL_READ},
			"stranger": {Kind: principal.APIToken, ID: "tok_stranger", Organization: "org_00000000000000000000000002", Level: commonv1.Level_LEVEL_ADMIN},
		},
		Telemetry: observed,
	})
	s.Mount(authzv1connect.NewRelationshipServiceHandler(r, s.HandlerOptions()...))
	if _, err := s.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// pair starts two regions that call each other. They believe that acme is at home
// in firstSays and in secondSays.
func pair(t *testing.T, firstSays, secondSays string) (first, second *region) {
	t.Helper()
	key := serviceKey(t)
	first, second = &region{name: east, address: freeAddress(t)}, &region{name: west, address: freeAddress(t)}
	start(t, first, key, at(firstSays), west, "http://"+second.address)
	start(t, second, key, at(secondSays), east, "http://"+first.address)
	return first, second
}

type bearing struct {
	token string
	next  http.RoundTripper
}

func (b bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

// write writes through a region.
func (r *region) write(t *testing.T, token, key string) (string, error) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	client := authzv1connect.NewRelationshipServiceClient(&http.Client{Transport: bearing{token, transport}}, "http://"+r.address)
	answer, err := client.WriteRelationships(t.Context(), request(key))
	return answer.GetRevision(), err
}

func request(key string) *authzv1.WriteRelationshipsRequest {
	return &authzv1.WriteRelationshipsRequest{
		Organization: acme, IdempotencyKey: key,
		Updates: []*authzv1.RelationshipUpdate{{
			Operation:    authzv1.Operation_OPERATION_TOUCH,
			Relationship: &authzv1.Relationship{Resource: "document:plan", Relation: "viewer", Subject: "user:anna"},
		}},
	}
}

// forwarded is how often a region's counter has an outcome.
func (r *region) forwarded(t *testing.T, outcome string) int {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "meridian_forwarded_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "outcome" && l.GetValue() == outcome {
					return int(m.GetCounter().GetValue())
				}
			}
		}
	}
	t.Fatalf("meridian_forwarded_total has no outcome %q", outcome)
	return 0
}

// stub stands for a client of the home region whose answers are known.
type stub struct{ err error }

func (s stub) write(context.Context, *authzv1.WriteRelationshipsRequest) (*authzv1.WriteRelationshipsResponse, error) {
	if s.err != nil {
		return nil, s.err
	}
	return &authzv1.WriteRelationshipsResponse{Revision: "there"}, nil
}

// sent sends a write to a home region that answers with err, and returns what
// came of it, and whether it was executed here.
func sent(ctx context.Context, t *testing.T, key string, there, here error) (revision string, executed bool, err error) {
	t.Helper()
	ways := home.NewRouter(home.Options{
		Region: east, Service: "authz", Key: serviceKey(t), URLs: map[string]string{west: "http://127.0.0.1:1"}, Logs: home.NewLogs(at(west)),
	})
	peers := home.Clients(ways, func(connect.HTTPClient, string, ...connect.ClientOption) stub { return stub{there} })
	answer, err := home.Send(principal.With(ctx, writer()), peers, acme, request(key), stub.write,
		func(context.Context, *authzv1.WriteRelationshipsRequest) (*authzv1.WriteRelationshipsResponse, error) {
			executed = true
			if here != nil {
				return nil, here
			}
			return &authzv1.WriteRelationshipsResponse{Revision: "here"}, nil
		})
	return answer.GetRevision(), executed, err
}

var errNone = errors.New("none")
