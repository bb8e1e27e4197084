package serve_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	jwx "github.com/go-jose/go-jose/v4"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
)

const api = "https://api.example.com"

// provider makes access tokens, and takes them back.
type provider struct {
	*accesstoken.Verifier
	t     testing.TB
	key   *ecdsa.PrivateKey
	deny  *accesstoken.Deny
	stale atomic.Bool
	user  string
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jwx.JSONWebKeySet{Keys: []jwx.JSONWebKey{{Key: key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jose.ParseKeys("jwks", string(set))
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key, deny: accesstoken.NewDeny(nil), user: id.New(id.User)}
	p.Verifier = accesstoken.NewVerifier(accesstoken.Config{
		Keys: func() jose.Keys { return keys }, Issuers: []string{"https://id.example.com"}, Audience: []string{api}, Deny: p.deny,
		Age: func() (time.Duration, bool) { return 0, !p.stale.Load() },
	})
	return p
}

// token is one of the user for acme, which lives for a minute.
func (p *provider) token(change ...func(map[string]any)) string {
	p.t.Helper()
	claims := map[string]any{
		"iss": "https://id.example.com", "sub": p.user, "aud": []string{api}, "exp": time.Now().Unix() + 60, "iat": time.Now().Unix(),
		"jti": id.New(id.Token), "client_id": "cli_1", "scope": "meridian", "sid": "ses_1", "org": acme,
	}
	for _, f := range change {
		f(claims)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	signer, err := jwx.NewSigner(jwx.SigningKey{Algorithm: jwx.ES256, Key: jwx.JSONWebKey{Key: p.key, KeyID: "k1"}}, (&jwx.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		p.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

func claim(name string, value any) func(map[string]any) {
	return func(c map[string]any) { c[name] = value }
}

// settings lets one subject manage the settings of acme.
type settings string

func (s settings) Allowed(ctx context.Context, subject, organization, permission string) (bool, error) {
	caller, ok := principal.From(ctx)
	return ok && caller.Subject() == subject && subject == string(s) && organization == acme && permission == "can_manage_settings", nil
}

// updater says who updates.
type updater struct {
	identityv1connect.UnimplementedOrganizationServiceHandler
	caller atomic.Pointer[principal.Principal]
}

func (u *updater) UpdateOrganization(ctx context.Context, _ *identityv1.UpdateOrganizationRequest) (*identityv1.UpdateOrganizationResponse, error) {
	caller, _ := principal.From(ctx)
	u.caller.Store(&caller)
	return &identityv1.UpdateOrganizationResponse{}, nil
}

func update(t *testing.T, s *server, token, organization string, headers ...string) error {
	t.Helper()
	transport := httpClient(t, token, true)
	if len(headers) > 0 {
		transport.Transport = forUser{transport.Transport}
	}
	_, err := identityv1connect.NewOrganizationServiceClient(transport, s.url).UpdateOrganization(t.Context(),
		&identityv1.UpdateOrganizationRequest{Organization: organization, IdempotencyKey: "k"})
	return err
}

// startUpdating serves UpdateOrganization, which takes a permission, and the same as a
// stream.
func startUpdating(t *testing.T, p *provider, with setup) (*server, *updater) {
	t.Helper()
	u := new(updater)
	with.tokens = p
	if with.delegation == nil {
		with.delegation = settings(p.user)
	}
	with.prepare = func(s *serve.Server) {
		schema := identityv1.File_meridian_identity_v1_organization_service_proto.Services().ByName("OrganizationService").Methods().ByName("UpdateOrganization")
		options := append(s.HandlerOptions(), connect.WithSchema(schema))
		s.Mount("/meridian.authz.v1.LookupService/", connect.NewBidiStreamHandler(updating,
			func(ctx context.Context, stream *connect.BidiStream[identityv1.UpdateOrganizationRequest, identityv1.UpdateOrganizationResponse]) error {
				for {
					if _, err := stream.Receive(); err != nil {
						return err
					}
					if err := stream.Send(&identityv1.UpdateOrganizationResponse{}); err != nil {
						return err
					}
				}
			}, options...))
		s.Mount("/meridian.identity.v1.OrganizationService/UpdateOrganization", connect.NewUnaryHandlerSimple(
			identityv1connect.OrganizationServiceUpdateOrganizationProcedure, u.UpdateOrganization, options...))
	}
	return start(t, with), u
}

// updating is the path of a procedure that is a stream.
const updating = "/meridian.authz.v1.LookupService/StreamObjects"

func TestAccessTokens(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s, u := startUpdating(t, p, setup{})
	const (
		denied, absent, rejected = commonv1.Reason_ACCESS_DENIED, commonv1.Reason_NOT_FOUND, commonv1.Reason_TOKEN_REJECTED
	)
	for name, tc := range map[string]struct {
		token, organization string
		want                commonv1.Reason
	}{
		"may":                            {p.token(), acme, 0},
		"limited to the procedure":       {p.token(claim("scope", identityv1connect.OrganizationServiceUpdateOrganizationProcedure[1:])), acme, 0},
		"another organization":           {p.token(), other, absent},
		"the token's is another":         {p.token(claim("org", other)), acme, absent},
		"the token's is another, for it": {p.token(claim("org", other)), other, denied},
		"no organization":                {p.token(claim("org", "")), acme, absent},
		"none named":                     {p.token(), "", denied},
		"another user":                   {p.token(claim("sub", id.New(id.User))), acme, denied},
		"a service account":              {p.token(claim("sub", id.New(id.ServiceAccount))), acme, denied},
		"without the scope":              {p.token(claim("scope", "openid")), acme, denied},
		"limited to another":             {p.token(claim("scope", "meridian.authz.v1.CheckService")), acme, denied},
		"bound to a key":                 {p.token(claim("cnf", map[string]string{"jkt": "x"})), acme, rejected},
		"a client's own":                 {p.token(claim("sub", id.New(id.Client))), acme, denied},
		"for another resource":           {p.token(claim("aud", []string{"https://b.example.com"})), acme, rejected},
		"of another issuer":              {newProvider(t).token(), acme, rejected},
		"expired":                        {p.token(claim("iat", time.Now().Unix()-100), claim("exp", time.Now().Unix()-1)), acme, rejected},
	} {
		u.caller.Store(nil)
		if err := update(t, s, tc.token, tc.organization); reason(err) != tc.want || (err == nil) != (tc.want == 0) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if (u.caller.Load() != nil) != (tc.want == 0) {
			t.Errorf("%s: the handler was reached: %v", name, u.caller.Load())
		}
	}
	if err := update(t, s, p.token(), acme); err != nil {
		t.Fatal(err)
	}
	caller := u.caller.Load()
	if caller.Kind != principal.User || caller.ID != p.user || caller.Level != 0 || caller.By != "cli_1" || caller.Organization != acme {
		t.Errorf("%+v", caller)
	}
	if !strings.Contains(s.log.String(), `"principal":"`+p.user+`"`) || !strings.Contains(s.log.String(), `"by":"cli_1"`) {
		t.Error("the access log does not say who called")
	}
	if err := get(t.Context(), s.client(t, p.token()), acme); reason(err) != denied {
		t.Errorf("a procedure that takes no permission: %v", err)
	}
	if err := update(t, s, p.token(), acme, "for a user"); reason(err) != commonv1.Reason_INVALID_FIELD {
		t.Errorf("a user on behalf of a user: %v", err)
	}
	if err := update(t, start(t, setup{}), p.token(), acme); reason(err) != rejected {
		t.Errorf("a server that knows no access tokens: %v", err)
	}
}

// Revoked means revoked: the next call is refused, and open streams end.
func TestRevokedAccessToken(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s, _ := startUpdating(t, p, setup{})
	token := p.token()
	if err := update(t, s, token, acme); err != nil {
		t.Fatal(err)
	}
	stream := p.stream(s, token)
	p.deny.Add(accesstoken.Entry{Kind: accesstoken.Session, ID: "ses_1", NotBefore: time.Now()})
	began := time.Now()
	if err := update(t, s, token, acme); reason(err) != commonv1.Reason_TOKEN_REJECTED {
		t.Errorf("the next call: %v", err)
	}
	if _, err := stream.Receive(); reason(err) != commonv1.Reason_TOKEN_REJECTED {
		t.Errorf("the stream ended with %v", err)
	}
	t.Logf("the stream ended after %s", time.Since(began))
}

func TestStreamEndsWithItsAccessToken(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s, _ := startUpdating(t, p, setup{})
	stream := p.stream(s, p.token(claim("exp", time.Now().Unix()+2)))
	if _, err := stream.Receive(); reason(err) != commonv1.Reason_TOKEN_REJECTED {
		t.Errorf("the stream ended with %v", err)
	}
}

// stream opens the stream and sends a message, which is answered.
func (p *provider) stream(s *server, token string) *connect.BidiStreamForClient[identityv1.UpdateOrganizationRequest, identityv1.UpdateOrganizationResponse] {
	p.t.Helper()
	c := connect.NewClient[identityv1.UpdateOrganizationRequest, identityv1.UpdateOrganizationResponse](httpClient(p.t, token, true), s.url+updating, connect.WithGRPC())
	stream := c.CallBidiStream(p.t.Context())
	if err := stream.Send(&identityv1.UpdateOrganizationRequest{Organization: acme, IdempotencyKey: "k"}); err != nil {
		p.t.Fatal(err)
	}
	if _, err := stream.Receive(); err != nil {
		p.t.Fatal(err)
	}
	return stream
}

// While it is not known what was revoked, nobody comes in, and says so.
func TestStaleRevocations(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	s, _ := startUpdating(t, p, setup{})
	token := p.token()
	for _, stale := range []bool{true, false, true} {
		p.stale.Store(stale)
		want := commonv1.Reason_REASON_UNSPECIFIED
		if stale {
			want = commonv1.Reason_SERVICE_UNAVAILABLE
		}
		if err := update(t, s, token, acme); reason(err) != want {
			t.Errorf("stale %t: %v", stale, err)
		}
	}
	if err := get(t.Context(), s.client(t, "acme-read"), acme); err != nil {
		t.Errorf("an API token: %v", err)
	}
}

// Users are counted as owners of API tokens are, and tokens that are made up as guesses.
// One that has ended is no guess.
func TestLimitsOfAccessTokens(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	frozen := time.Now()
	s, _ := startUpdating(t, p, setup{
		clock:  func() time.Time { return frozen },
		config: serve.Config{Limits: serve.Limits{Manage: serve.Rate{PerSecond: 0.001, Burst: 2}, Guess: serve.Rate{PerSecond: 0.001, Burst: 3}}},
	})
	for i, want := range []commonv1.Reason{0, 0, commonv1.Reason_RATE_LIMITED} {
		if err := update(t, s, p.token(), acme); reason(err) != want {
			t.Errorf("call %d: %v", i, err)
		}
	}
	ended := p.token(claim("iat", time.Now().Unix()-100), claim("exp", time.Now().Unix()-1))
	for range 10 {
		if err := update(t, s, ended, acme); reason(err) != commonv1.Reason_TOKEN_REJECTED {
			t.Fatalf("ended: %v", err)
		}
	}
	used := p.token(claim("sub", id.New(id.User)), claim("org", other))
	if err := update(t, s, used, other); reason(err) != commonv1.Reason_ACCESS_DENIED {
		t.Errorf("%v", err)
	}
	for i, want := range []commonv1.Reason{commonv1.Reason_TOKEN_REJECTED, commonv1.Reason_TOKEN_REJECTED, commonv1.Reason_TOKEN_REJECTED, commonv1.Reason_RATE_LIMITED} {
		if err := update(t, s, newProvider(t).token(), acme); reason(err) != want {
			t.Errorf("guess %d: %v", i, err)
		}
	}
	if err := update(t, s, used, other); reason(err) != commonv1.Reason_ACCESS_DENIED {
		t.Errorf("a token that is known, from the address of who guesses: %v", err)
	}
}

// What a service does for a user, it does as that user: who is called asks again.
func TestAccessTokenPassedOn(t *testing.T) {
	t.Parallel()
	key, err := principal.GenerateServiceKey()
	if err != nil {
		t.Fatal(err)
	}
	p := newProvider(t)
	s, u := startUpdating(t, p, setup{key: key})
	for subject, want := range map[string]commonv1.Reason{p.user: 0, id.New(id.User): commonv1.Reason_ACCESS_DENIED} {
		caller := principal.Principal{Kind: principal.User, ID: subject, Organization: acme, By: "cli_1"}
		for _, organization := range []string{acme, other} {
			bearer, err := key.Mint("authz", "meridian.identity.v1.OrganizationService", &caller)
			if err != nil {
				t.Fatal(err)
			}
			expected := want
			if organization == other {
				expected = commonv1.Reason_NOT_FOUND
			}
			if err := update(t, s, bearer.Reveal(), organization); reason(err) != expected {
				t.Errorf("%s: %v, want %v", organization, err, expected)
			}
		}
	}
	if caller := u.caller.Load(); caller.Via != "authz" || caller.ID != p.user || caller.Actor().GetKind() != logv1.ActorKind_ACTOR_KIND_USER {
		t.Errorf("%+v", caller)
	}
}

// A handler that is not Connect holds subjects to the same.
func TestPlainWithAccessToken(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	for permission, want := range map[string]int{"can_manage_settings": http.StatusOK, "can_manage_members": http.StatusForbidden, "": http.StatusForbidden} {
		s := start(t, setup{tokens: p, delegation: settings(p.user), prepare: func(s *serve.Server) {
			s.Mount("/x", s.Plain(serve.Plain{
				Procedure: "/x.v1/X", Audience: "x",
				Access:       &commonv1.Access{Scope: commonv1.Scope_SCOPE_ORGANIZATION, Level: commonv1.Level_LEVEL_READ, Permission: permission},
				Organization: func(*http.Request) string { return acme },
				Answer:       func(http.ResponseWriter, *http.Request) error { return nil },
				Refuse: func(w http.ResponseWriter, _ *http.Request, f *fault.Fault) {
					if f.Reason == commonv1.Reason_ACCESS_DENIED {
						w.WriteHeader(http.StatusForbidden)
						return
					}
					w.WriteHeader(http.StatusTeapot)
				},
			}))
		}})
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := httpClient(t, p.token(), false).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("permission %q: %d, want %d", permission, answer.StatusCode, want)
		}
	}
}
