package serve_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1/logv1connect"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/telemetry"
)

const (
	acme  = "org_00000000000000000000000001"
	other = "org_00000000000000000000000002"
)

// tokens knows the bearers of these tests.
type tokens map[string]principal.Principal

var known = tokens{
	"platform-admin": {Kind: principal.APIToken, ID: "tok_platform", Level: commonv1.Level_LEVEL_ADMIN},
	"acme-read":      {Kind: principal.APIToken, ID: "tok_read", Organization: acme, Level: commonv1.Level_LEVEL_READ},
	"acme-admin":     {Kind: principal.APIToken, ID: "tok_admin", Organization: acme, Level: commonv1.Level_LEVEL_ADMIN},
	"acme-scoped": {
		Kind: principal.APIToken, ID: "tok_scoped", Organization: acme, Level: commonv1.Level_LEVEL_ADMIN,
		Scopes: []string{"meridian.identity.v1.OrganizationService/GetOrganization", "meridian.authz.v1.RelationshipService", "plain"},
	},
	"other-admin": {Kind: principal.APIToken, ID: "tok_other", Organization: other, Level: commonv1.Level_LEVEL_ADMIN},
}

func (k tokens) Verify(_ context.Context, bearer secret.String) (principal.Principal, error) {
	p, ok := k[bearer.Reveal()]
	if !ok {
		return principal.Principal{}, fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_REJECTED, "the token is unknown, expired or revoked")
	}
	return p, nil
}

// organizations answers with functions; a nil one echoes.
type organizations struct {
	identityv1connect.UnimplementedOrganizationServiceHandler
	get    func(ctx context.Context, organization string) error
	create func(ctx context.Context, r *identityv1.CreateOrganizationRequest) error
}

func (o *organizations) GetOrganization(ctx context.Context, r *identityv1.GetOrganizationRequest) (*identityv1.GetOrganizationResponse, error) {
	if o.get != nil {
		if err := o.get(ctx, r.GetOrganization()); err != nil {
			return nil, err
		}
	}
	return &identityv1.GetOrganizationResponse{Organization: &identityv1.Organization{Id: r.GetOrganization()}}, nil
}

func (o *organizations) CreateOrganization(ctx context.Context, r *identityv1.CreateOrganizationRequest) (*identityv1.CreateOrganizationResponse, error) {
	if o.create != nil {
		if err := o.create(ctx, r); err != nil {
			return nil, err
		}
	}
	return &identityv1.CreateOrganizationResponse{}, nil
}

// relationships counts what an import sends.
type relationships struct {
	authzv1connect.UnimplementedRelationshipServiceHandler
}

func (relationships) ImportRelationships(_ context.Context, s *connect.ClientStream[authzv1.ImportRelationshipsRequest]) (*authzv1.ImportRelationshipsResponse, error) {
	answer := new(authzv1.ImportRelationshipsResponse)
	for s.Receive() {
		answer.Created += uint64(len(s.Msg().GetRelationships()))
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	return answer, nil
}

// tail sends one message and waits for the end of its context.
type tail struct {
	logv1connect.UnimplementedLogServiceHandler
}

func (tail) TailLog(ctx context.Context, _ *logv1.TailLogRequest, s *connect.ServerStream[logv1.TailLogResponse]) error {
	if err := s.Send(&logv1.TailLogResponse{Json: "{}"}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// server is a running server of a test.
type server struct {
	*serve.Server
	url   string
	log   *buffer
	stop  func()     // begins to stop
	ended chan error // Run's answer
	stats *prometheus.Registry
}

// buffer is a log that may be written and read at the same time.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

type setup struct {
	config  serve.Config
	handler organizations
	key     *principal.ServiceKey
	clock   func() time.Time
	prepare func(s *serve.Server)
	// verifier; nil: known.
	verifier   principal.Verifier
	delegation principal.Delegation
	tokens     serve.AccessTokens
	resource   *serve.Resource
	// asking are the hosts whose callers are asked for certificates.
	asking []string
	scheme string
	quiet  bool
}

func start(t testing.TB, with setup) *server {
	t.Helper()
	log := new(buffer)
	observed, shutdown, err := telemetry.New(telemetry.Config{Output: log, Level: "debug"})
	if err != nil {
		t.Fatal(err)
	}
	if with.quiet {
		observed.Log = slog.New(slog.DiscardHandler)
	}
	if with.verifier == nil {
		with.verifier = known
	}
	s := serve.New(serve.Options{
		Config: with.config, Verifier: with.verifier, ServiceKey: with.key, Delegation: with.delegation, AccessTokens: with.tokens, Telemetry: observed, Clock: with.clock,
		Resource: with.resource, CertificateHosts: with.asking,
	})
	s.Mount(identityv1connect.NewOrganizationServiceHandler(&with.handler, s.HandlerOptions()...))
	s.Mount(authzv1connect.NewRelationshipServiceHandler(relationships{}, s.HandlerOptions()...))
	s.Mount(logv1connect.NewLogServiceHandler(tail{}, s.HandlerOptions()...))
	if with.prepare != nil {
		with.prepare(s)
	}
	address, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if with.scheme == "" {
		with.scheme = "http"
	}
	ctx, cancel := context.WithCancel(t.Context())
	running := &server{Server: s, url: with.scheme + "://" + address.String(), log: log, stop: cancel, ended: make(chan error, 1), stats: observed.Registry}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		running.ended <- s.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-finished
		_ = shutdown(context.Background())
	})
	return running
}

// bearing sends a bearer token with every request.
type bearing struct {
	token string
	next  http.RoundTripper
}

func (b bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if b.token != "" {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}

func httpClient(t testing.TB, token string, http2 bool) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	transport := &http.Transport{Protocols: protocols, MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: bearing{token, transport}}
}

func (s *server) client(t testing.TB, token string, options ...connect.ClientOption) identityv1connect.OrganizationServiceClient {
	t.Helper()
	return identityv1connect.NewOrganizationServiceClient(httpClient(t, token, true), s.url, options...)
}

func get(ctx context.Context, c identityv1connect.OrganizationServiceClient, organization string) error {
	_, err := c.GetOrganization(ctx, &identityv1.GetOrganizationRequest{Organization: organization})
	return err
}
