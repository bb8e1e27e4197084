package provider_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// reports is the product of this test: an API that verifies access tokens by itself.
const reports = "https://reports.example.com"

// product has two processes of the deployment to hear from, and the tokens of an
// application for it.
type product struct {
	*world

	second *harness.Node
	app    application
	user   string
	tokens *meridian.AccessTokens
	// organization is one that the user is a member of.
	organization string
}

func startProduct(t *testing.T) *product {
	t.Helper()
	w := start(t)
	p := &product{world: w, user: w.user(t, "ada@example.com")}
	p.second = w.deployment.Node(t, "second", w.mail.Identity(t, "Example", w.issuer)+"sessions:\n  issuers: ["+w.issuer+"]\n")
	p.second.Start(t)
	made, err := w.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: "acme", Name: "Acme", IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	p.organization = made.GetOrganization().GetId()
	p.join(t)
	s := w.settings(basic)
	s.Resources, s.Scopes = []string{reports}, append(s.Scopes, "read")
	s.GrantTypes = append(s.GrantTypes, sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS)
	id, secret := w.client(t, s)
	p.app = application{id, secret}
	p.tokens = p.verifies(t, meridian.Open(meridian.Config{URLs: []string{w.url, p.second.URL()}, Token: w.token.Reveal()}), reports)
	return p
}

func (p *product) join(t *testing.T) {
	t.Helper()
	_, err := p.Memberships.AddMember(t.Context(), &identityv1.AddMemberRequest{
		Organization: p.organization, User: p.user, Role: identityv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER, IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// verifies runs what verifies the tokens for a resource.
func (p *product) verifies(t *testing.T, c *meridian.Client, resource string) *meridian.AccessTokens {
	t.Helper()
	tokens, err := c.AccessTokens(meridian.AccessTokensConfig{Issuers: []string{p.issuer}, Resources: []string{resource}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tokens.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("verifying ended with %v", err)
		}
	})
	harness.Eventually(t, "tokens can be verified", tokens.Ready)
	return tokens
}

// signedIn is a token of a new session, for the product and, if one is named, an
// organization.
func (p *product) signedIn(t *testing.T, organization string) string {
	t.Helper()
	q := p.request(p.app, "scope", "openid offline_access read", "resource", reports, "organization", organization)
	r := p.redeem(t, p.app, p.code(t, p.visitor(t), q, "ada@example.com"))
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.text)
	}
	return r.str("access_token")
}

// own is a token of the client itself.
func (p *product) own(t *testing.T) string {
	t.Helper()
	r := p.post(t, p.app, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}, "resource": {reports}})
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.text)
	}
	return r.str("access_token")
}

// until waits until the product answers for a reason, and says how long that took.
func (p *product) until(t *testing.T, token string, want commonv1.Reason) time.Duration {
	t.Helper()
	from := time.Now()
	eventually(t, want.String(), func() bool {
		_, err := p.tokens.Verify(token)
		return reason(err) == want && (err == nil) == (want == 0)
	})
	return time.Since(from).Round(time.Millisecond)
}

// good is a token that the product takes: one that is made in the second of a revocation
// is refused with those before.
func (p *product) good(t *testing.T, token func() string) (made string) {
	t.Helper()
	eventually(t, "a new token is taken", func() bool {
		made = token()
		_, err := p.tokens.Verify(made)
		return err == nil
	})
	return made
}

// TestProductVerifies: a product that embeds the SDK verifies tokens from memory, and what
// is revoked ends there, too.
func TestProductVerifies(t *testing.T) {
	p := startProduct(t)
	token := p.signedIn(t, p.organization)
	c, err := p.tokens.Verify(token)
	if err != nil || c.Subject != p.user || c.Organization != p.organization || c.Client != p.app.id || c.Scope != "openid offline_access read" {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := p.tokens.Verify(token[:len(token)-2] + "AA"); reason(err) != commonv1.Reason_TOKEN_REJECTED {
		t.Errorf("a token with other letters: %v", err)
	}
	elsewhere := p.verifies(t, p.Client, "https://other.example.com")
	if _, err := elsewhere.Verify(token); reason(err) != commonv1.Reason_TOKEN_REJECTED {
		t.Errorf("a token for another: %v", err)
	}
	t.Run("clients of others call it", p.testCalls)
	key := rand.Text
	session := func() string { return p.signedIn(t, "") }
	member := func() string { return p.signedIn(t, p.organization) }
	own := func() string { return p.own(t) }
	for _, tc := range []struct {
		name   string
		token  func() string
		revoke func(token string) error
		// back undoes it, for those after.
		back func() error
	}{
		{"session", session, func(token string) error {
			sid, _ := claims(t, token)["sid"].(string)
			_, err := p.Sessions.RevokeSession(t.Context(), &sessionsv1.RevokeSessionRequest{User: p.user, Session: sid, IdempotencyKey: key()})
			return err
		}, nil},
		{"grant", session, func(token string) error {
			grant, _ := claims(t, token)["gnt"].(string)
			_, err := p.Sessions.RevokeGrant(t.Context(), &sessionsv1.RevokeGrantRequest{User: p.user, Grant: grant, IdempotencyKey: key()})
			return err
		}, nil},
		{"member", member, func(string) error {
			_, err := p.Memberships.RemoveMember(t.Context(), &identityv1.RemoveMemberRequest{Organization: p.organization, User: p.user, IdempotencyKey: key()})
			return err
		}, func() error { p.join(t); return nil }},
		{"organization", member, func(string) error {
			_, err := p.Organizations.SuspendOrganization(t.Context(), &identityv1.SuspendOrganizationRequest{Organization: p.organization, IdempotencyKey: key()})
			return err
		}, nil},
		{"user", session, func(string) error {
			_, err := p.Users.SuspendUser(t.Context(), &identityv1.SuspendUserRequest{User: p.user, IdempotencyKey: key()})
			return err
		}, func() error {
			_, err := p.Users.ResumeUser(t.Context(), &identityv1.ResumeUserRequest{User: p.user, IdempotencyKey: key()})
			return err
		}},
		{"client", own, func(string) error {
			_, err := p.Clients.UpdateClient(t.Context(), &sessionsv1.UpdateClientRequest{Client: p.app.id, Disabled: new(true), IdempotencyKey: key()})
			return err
		}, func() error {
			_, err := p.Clients.UpdateClient(t.Context(), &sessionsv1.UpdateClientRequest{Client: p.app.id, Disabled: new(false), IdempotencyKey: key()})
			return err
		}},
		{"token", own, func(token string) error {
			if r := p.post(t, p.app, "/oauth2/revoke", url.Values{"token": {token}}); r.status != http.StatusOK {
				return errors.New(r.text)
			}
			return nil
		}, nil},
		{"signing key", own, func(string) error {
			_, err := p.SigningKeys.RotateSigningKey(t.Context(), &sessionsv1.RotateSigningKeyRequest{Region: harness.Region, Algorithm: "ES256", Emergency: true, IdempotencyKey: key()})
			return err
		}, nil},
	} {
		token := p.good(t, tc.token)
		if err := tc.revoke(token); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		t.Logf("%s: refused %v after the call that revoked it", tc.name, p.until(t, token, commonv1.Reason_TOKEN_REJECTED))
		if tc.back != nil {
			if err := tc.back(); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
		}
	}
	// Who begins now is told what ended before.
	if _, err := p.verifies(t, p.Client, reports).Verify(token); reason(err) != commonv1.Reason_TOKEN_REJECTED {
		t.Errorf("a token that was revoked before the product started: %v", err)
	}
}

// testCalls: a client of others finds out whose tokens the product takes, gets one that is
// bound to its key, and calls.
func (p *product) testCalls(t *testing.T) {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	tokens := p.verifies(t, p.Client, server.URL)
	mux.Handle("POST /reports", tokens.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := meridian.ClaimsOf(r.Context())
		_, _ = w.Write([]byte(c.Subject))
	}), "read"))
	mux.Handle(meridian.MetadataPath, tokens.Metadata("read"))

	s := p.settings(none)
	s.DpopRequired, s.Resources, s.Scopes = true, []string{server.URL}, append(s.Scopes, "read")
	id, _ := p.client(t, s)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+meridian.MetadataPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	says := send(t, request)
	issuers, _ := says.body["authorization_servers"].([]any)
	if says.str("resource") != server.URL || len(issuers) != 1 {
		t.Fatalf("metadata %s", says.text)
	}
	rp := openRelyingParty(t)
	rp.do(t, "discover", args{"issuer": issuers[0], "client": id, "auth": "none", "dpop": true})
	v := p.visitor(t)
	v.open(text(t, rp.do(t, "start", args{"redirect": p.callback(), "scope": "openid read", "more": args{"resource": server.URL}}), "url"))
	v.signIn("ada@example.com")
	token := text(t, rp.do(t, "callback", args{"url": v.back}), "access_token")
	if r := rp.do(t, "call", args{"token": token, "url": server.URL + "/reports", "body": args{}}); r["status"] != float64(http.StatusOK) || r["body"] != p.user {
		t.Errorf("the call: %v", r)
	}
}

// TestProductBreaks: a product goes on when a process is lost, takes nothing when it does
// not know what ended, and goes on by itself when it does.
func TestProductBreaks(t *testing.T) {
	p := startProduct(t)
	token := p.good(t, func() string { return p.signedIn(t, "") })

	// A process that hangs says nothing and closes nothing.
	p.node.Signal(t, syscall.SIGSTOP)
	resumed := false
	defer func() {
		if !resumed {
			p.node.Signal(t, syscall.SIGCONT)
		}
	}()
	there := meridian.New(p.second.URL(), p.world.token.Reveal())
	if _, err := there.Sessions.RevokeSessions(t.Context(), &sessionsv1.RevokeSessionsRequest{User: p.user, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	t.Logf("with the nearest process stopped: refused after %v", p.until(t, token, commonv1.Reason_TOKEN_REJECTED))
	p.node.Signal(t, syscall.SIGCONT)
	resumed = true

	eventually(t, "tokens are taken again", func() bool { return p.tokens.Ready() == nil })
	token = p.good(t, func() string { return p.signedIn(t, "") })
	p.node.Kill(t)
	p.second.Kill(t)
	t.Logf("without the deployment: refused after %v", p.until(t, token, commonv1.Reason_SERVICE_UNAVAILABLE))
	if err := p.tokens.Ready(); err == nil {
		t.Error("a product says that it is ready and knows nothing")
	}
	p.second.Start(t)
	t.Logf("with a process again: taken after %v", p.until(t, token, 0))

	// NATS away: the processes do not know it, and say so.
	p.nats.Kill(t)
	p.until(t, token, commonv1.Reason_SERVICE_UNAVAILABLE)
	p.nats.Restart(t)
	p.until(t, token, 0)
	if _, err := there.Sessions.RevokeSessions(t.Context(), &sessionsv1.RevokeSessionsRequest{User: p.user, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	p.until(t, token, commonv1.Reason_TOKEN_REJECTED)
}
