package authz_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault/faultconnect"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/relay"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	"github.com/meridian-iam/meridian/pkg/telemetry"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

const region = "eu-west"

const model = `model
  schema 1.1

type user

type group
  relations
    define member: [user, group#member]

type document
  relations
    define owner: [user]
    define reader: [user, user:*, group#member] or owner
    define banned: [user]
    define can_read: reader but not banned
`

var actor = &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_SERVICE, Id: "test"}

// fixture is the service with a database, NATS and a relay of its own.
type fixture struct {
	db     *sqldb.DB
	log    *eventlog.Store
	bus    *bus.Bus
	dir    string
	config authz.Config
	// region is where the service runs.
	region string
	// calls is the log of calls; nil: it is dropped. Metrics are those of the
	// service that runs.
	calls   *slog.Logger
	metrics *prometheus.Registry

	checks        authzv1connect.CheckServiceClient
	lookups       authzv1connect.LookupServiceClient
	relationships authzv1connect.RelationshipServiceClient
	models        authzv1connect.ModelServiceClient
	roles         authzv1connect.RoleServiceClient
	service       *authz.Service
	server        *serve.Server
	address       string
	stopService   func()
	stopRelay     func()
	wake          atomic.Pointer[relay.Relay]
	keys          atomic.Int64
	// ahead is how far the service's clock is ahead, in nanoseconds.
	ahead atomic.Int64
}

// clock is the service's clock.
func (f *fixture) clock() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) }

func newFixture(t testing.TB, config authz.Config) *fixture {
	t.Helper()
	return newFixtureOn(t, config, sqltest.New(t))
}

func newFixtureOn(t testing.TB, config authz.Config, db *sqldb.DB) *fixture {
	t.Helper()
	f := &fixture{db: db, dir: t.TempDir(), config: config, region: region}
	var err error
	f.bus, err = bus.Open(t.Context(), bus.Config{StoreDir: filepath.Join(f.dir, "nats"), Region: region}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.bus.Close)
	f.log = eventlog.New(eventlog.Config{DB: f.db, Region: region, Nudge: func(r string) {
		if relay := f.wake.Load(); relay != nil {
			relay.Nudge(r)
		}
	}})
	f.startRelay(t)
	f.startService(t)
	f.append(t, id.Platform, 0, &eventv1.ApiTokenCreated{Token: id.New(id.Token)})
	return f
}

func (f *fixture) startRelay(t testing.TB) {
	t.Helper()
	r := relay.New(relay.Config{DB: f.db, Store: f.log, Bus: f.bus, Region: region, Holder: "test"})
	f.wake.Store(r)
	f.stopRelay = run(t, "relay", r.Run)
}

// run runs a part until the returned function, or the test's end, stops it.
func run(t testing.TB, name string, part func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	var stopped atomic.Bool
	stop = func() {
		if stopped.Swap(true) {
			return
		}
		cancel()
		select {
		case err := <-done:
			if err != nil && ctx.Err() == nil {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%s does not stop", name)
		}
	}
	t.Cleanup(stop)
	return stop
}

// caller is whoever calls in these tests: the platform, or for an id and the id of an
// organization who would call with an access token.
type caller struct{}

func (caller) Verify(_ context.Context, bearer secret.String) (principal.Principal, error) {
	if subject, organization, ok := strings.Cut(bearer.Reveal(), "/"); ok {
		p := principal.Principal{Kind: principal.User, ID: subject, Organization: organization, By: "cli_1", Scopes: []string{principal.AllScopes}}
		if id.Valid(id.ServiceAccount, subject) {
			p.Kind = principal.ServiceAccount
		}
		return p, nil
	}
	return principal.Principal{Kind: principal.APIToken, ID: "tok_test", Level: commonv1.Level_LEVEL_ADMIN}, nil
}

// anyUser lets every user do what a procedure does: who may, is not the service's.
type anyUser struct{}

func (anyUser) Allowed(context.Context, string, string, string) (bool, error) { return true, nil }

// bearer sends some token with every call.
type bearer struct{}

func (bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if req.Header().Get("Authorization") == "" {
			req.Header().Set("Authorization", "Bearer test")
		}
		return next(ctx, req)
	}
}

func (bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer test")
		return conn
	}
}

func (bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// startService starts the service, as a process that just started.
func (f *fixture) startService(t testing.TB) {
	t.Helper()
	f.startServiceAt(t, f.clock)
}

// startServiceAt starts it with a clock of its own.
func (f *fixture) startServiceAt(t testing.TB, clock func() time.Time) {
	t.Helper()
	follower := project.NewFollower(project.Config{Bus: f.bus, Store: f.log, DB: f.db})
	f.metrics = prometheus.NewRegistry()
	service, err := authz.New(authz.Options{
		Config: f.config, DB: f.db, Log: f.log, Follower: follower, Region: f.region, StreamHead: f.bus.Last,
		Dir: filepath.Join(f.dir, "graphs"), Clock: clock, Logger: slog.New(slog.DiscardHandler),
		Metrics: f.metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := principal.GenerateServiceKey()
	if err != nil {
		t.Fatal(err)
	}
	server := serve.New(serve.Options{
		// A benchmark asks more often than any caller may.
		Config:   serve.Config{Limits: serve.Limits{Read: serve.Rate{PerSecond: -1}}},
		Verifier: principal.NewCache(principal.CacheConfig{Upstream: caller{}}), ServiceKey: key, Delegation: anyUser{}, Telemetry: telemetry.Discard(), Log: f.calls,
	})
	service.Mount(server.Mount, server.HandlerOptions()...)
	service.MountHTTP(server)
	address, err := server.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.server, f.address = server, "http://"+address.String()
	stopFollower := run(t, "follower", follower.Run)
	stopGraphs := run(t, "service", service.Run)
	stopServer := run(t, "server", server.Run)
	f.stopService = func() { stopServer(); stopGraphs(); stopFollower() }
	t.Cleanup(f.stopService)
	f.service = service
	client := server.Client()
	as := connect.WithInterceptors(bearer{})
	f.lookups = authzv1connect.NewLookupServiceClient(client, "http://in-process", as)
	f.checks = authzv1connect.NewCheckServiceClient(client, "http://in-process", as)
	f.relationships = authzv1connect.NewRelationshipServiceClient(client, "http://in-process", as)
	f.models = authzv1connect.NewModelServiceClient(client, "http://in-process", as)
	f.roles = authzv1connect.NewRoleServiceClient(client, "http://in-process", as)
}

func (f *fixture) key() string { return fmt.Sprintf("key-%d", f.keys.Add(1)) }

func (f *fixture) append(t testing.TB, log string, expected uint64, events ...proto.Message) {
	t.Helper()
	_, err := f.log.Commit(t.Context(), eventlog.Request{}, func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.log.Append(ctx, tx, eventlog.Append{Log: log, Expected: expected, HomeRegion: region, Actor: actor, Events: events})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// organization opens an organization's log and assigns the test's model.
func (f *fixture) organization(t testing.TB) string {
	t.Helper()
	org := id.New(id.Organization)
	f.append(t, org, 0, &eventv1.OrganizationCreated{Organization: org, Slug: org, Name: org, HomeRegion: region})
	f.assign(t, org, model)
	return org
}

func (f *fixture) assign(t testing.TB, org, source string) string {
	t.Helper()
	published, err := f.models.PublishModel(t.Context(), &authzv1.PublishModelRequest{
		Name: "test", Files: []*authzv1.ModelFile{{Path: "model.fga", Content: source}}, IdempotencyKey: f.key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	assigned, err := f.models.AssignModel(t.Context(), &authzv1.AssignModelRequest{
		Organization: org, Choice: &authzv1.AssignModelRequest_Model{Model: published.GetModel().GetId()}, IdempotencyKey: f.key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return assigned.GetRevision()
}

func relationship(resource, relation, subject string) *authzv1.Relationship {
	return &authzv1.Relationship{Resource: resource, Relation: relation, Subject: subject}
}

func (f *fixture) write(t testing.TB, org string, op authzv1.Operation, r *authzv1.Relationship) string {
	t.Helper()
	written, err := f.relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
		Organization: org, IdempotencyKey: f.key(), Updates: []*authzv1.RelationshipUpdate{{Operation: op, Relationship: r}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return written.GetRevision()
}

func atLeast(token string) *commonv1.Freshness {
	return &commonv1.Freshness{Level: &commonv1.Freshness_AtLeast{AtLeast: token}}
}

func fullyConsistent() *commonv1.Freshness {
	return &commonv1.Freshness{Level: &commonv1.Freshness_FullyConsistent{FullyConsistent: true}}
}

func (f *fixture) check(ctx context.Context, org, subject, permission, resource string, fresh *commonv1.Freshness) (bool, error) {
	answer, err := f.checks.Check(ctx, &authzv1.CheckRequest{
		Organization: org, Subject: subject, Permission: permission, Resource: resource, Freshness: fresh,
	})
	return answer.GetDecision() == authzv1.Decision_DECISION_ALLOW, err
}

// wantReason fails the test unless err has the reason.
func wantReason(t testing.TB, err error, want commonv1.Reason) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v", want)
	}
	if f := faultconnect.FromConnect(err); f.Reason != want {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func fromConnect(err error) map[string]string { return faultconnect.FromConnect(err).Meta }
