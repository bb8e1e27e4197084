package provider_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

const (
	basic = sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_BASIC
	none  = sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE
)

// TestProvider goes through what clients, people and attackers do, without script. Each
// case of shared/vectors/attacks that concerns the provider is named by its id.
func TestProvider(t *testing.T) {
	w := start(t)
	w.user(t, "ada@example.com")
	app := w.app1(t, basic)
	for name, test := range map[string]func(*testing.T, *world, application){
		"metadata": testMetadata, "go-oidc": testGoOIDC,
		"O01 redirect URIs": testRedirectURIs, "O02 open redirectors": testOpenRedirectors, "O03 code replay": testCodeReplay,
		"O04 code injection": testCodeInjection, "O05 PKCE downgrade": testDowngrade, "O06 issuer in responses": testIssuer,
		"O07 O24 O11 pages": testPages, "O08 refresh": testRefresh, "O09 grants of old": testOldGrants, "O10 nothing leaks": testLeaks,
		"O13 public clients": testPublic, "O14 pushed requests": testPushed, "keys of pushed requests": testPushedProof, "O16 others' tokens": testOthers,
		"O20 logout": testLogout, "O20 told of logout": testToldOfLogout, "O21 request objects": testRequestObjects, "O25 host": testHost,
		"bad input": testBadInput, "prompts": testPrompts, "consent": testConsent, "consent of organizations": testConsentOfOrganizations, "organizations": testOrganizations,
		"client credentials": testClientCredentials, "revocation": testRevocation, "endings": testEndings,
		"account": testAccount, "all of a client or an organization": testCutoff, "O12 assertions": testAssertions, "O17 devices": testDevices, "nothing is appended by asking": testSilence,
		"64 refreshes at once": testRefreshRace, "redeemed twice at once": testRedeemRace,
	} {
		t.Run(name, func(t *testing.T) { test(t, w, app) })
	}
}

func (w *world) app1(t *testing.T, method sessionsv1.ClientAuthentication) application {
	t.Helper()
	id, secret := w.client(t, w.settings(method))
	return application{id, secret}
}

func testMetadata(t *testing.T, w *world, _ application) {
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.issuer+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := send(t, req)
		if r.status != http.StatusOK || r.str("issuer") != w.issuer {
			t.Fatalf("%s answers %d %s", path, r.status, r.text)
		}
		for name, want := range map[string]any{
			"authorization_response_iss_parameter_supported": true, "request_parameter_supported": false,
			"code_challenge_methods_supported": []any{"S256"}, "response_types_supported": []any{"code"},
			"backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
		} {
			got, _ := json.Marshal(r.body[name])
			expected, _ := json.Marshal(want)
			if string(got) != string(expected) {
				t.Errorf("%s is %s, want %s", name, got, expected)
			}
		}
		for name, value := range r.body {
			if at, ok := value.(string); ok && strings.HasSuffix(name, "_endpoint") && !strings.HasPrefix(at, w.issuer+"/oauth2/") {
				t.Errorf("%s is %q", name, at)
			}
		}
	}
}

// testGoOIDC: a verifier that others wrote takes the ID tokens and, as they are JWTs, the
// access tokens, of each algorithm.
func testGoOIDC(t *testing.T, w *world, _ application) {
	ctx := t.Context()
	provider, err := oidc.NewProvider(ctx, w.issuer)
	if err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range []string{"ES256", "RS256", "EdDSA"} {
		s := w.settings(basic)
		s.IdTokenAlgorithm = algorithm
		id, secret := w.client(t, s)
		a := application{id, secret}
		r := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com"))
		verified, err := provider.Verifier(&oidc.Config{ClientID: a.id, SupportedSigningAlgs: []string{algorithm}}).Verify(ctx, r.str("id_token"))
		if err != nil {
			t.Fatalf("%s: %v", algorithm, err)
		}
		if err := verified.VerifyAccessToken(r.str("access_token")); err != nil || verified.Nonce != "the-nonce" {
			t.Errorf("%s: at_hash: %v, nonce %q", algorithm, err, verified.Nonce)
		}
		if _, err := provider.Verifier(&oidc.Config{ClientID: w.issuer, SupportedSigningAlgs: []string{"ES256"}}).Verify(ctx, r.str("access_token")); err != nil {
			t.Errorf("the access token: %v", err)
		}
	}
}

func testHost(t *testing.T, w *world, _ application) {
	for header, value := range map[string]string{"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example", "X-Original-Host": "evil.example"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.issuer+"/.well-known/openid-configuration", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(header, value)
		if r := send(t, req); r.str("issuer") != w.issuer || strings.Contains(r.text, "evil") {
			t.Errorf("%s changes the issuer to %q", header, r.str("issuer"))
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.issuer+"/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	if r := send(t, req); r.status != http.StatusMisdirectedRequest || strings.Contains(r.text, "evil") {
		t.Errorf("another host is answered %d %s", r.status, r.text)
	}
}

func testBadInput(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	twice := w.request(a)
	twice["scope"] = []string{"openid", "openid"}
	v.open(w.authorizeURL(twice))
	w.told(t, v, "a parameter twice", "invalid_request")
	for name, q := range map[string]url.Values{
		"redirect_uri twice": {"client_id": {a.id}, "redirect_uri": {w.callback(), w.callback()}}, "client_id twice": {"client_id": {a.id, a.id}},
	} {
		v.open(w.authorizeURL(q))
		if v.back != "" || v.status != http.StatusBadRequest {
			t.Errorf("%s: %d %q", name, v.status, v.back)
		}
	}
	v.open(w.authorizeURL(w.request(a, "scope", "openid admin")))
	w.told(t, v, "a scope that the client may not have", "invalid_scope")
	v.open(w.authorizeURL(w.request(a, "resource", "https://api.example.com")))
	w.told(t, v, "a resource that the client may not have", "invalid_target")
	v.post("/oauth2/authorize", w.request(a, "state", strings.Repeat("x", 1<<20)), w.issuer)
	if v.back != "" || v.status != http.StatusBadRequest || len(v.body) > 1<<16 {
		t.Errorf("a state of 1 MB: %d, %q, %d bytes", v.status, v.back, len(v.body))
	}
	fields := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}}
	w.postWith(t, a, "/oauth2/token", fields, http.Header{"Content-Type": {"application/json"}}).refused(t, http.StatusBadRequest, "invalid_request")
	w.postWith(t, a, "/oauth2/token", fields, http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}).refused(t, http.StatusBadRequest, "invalid_request")
	w.post(t, a, "/oauth2/token", url.Values{"grant_type": {"authorization_code", "authorization_code"}}).refused(t, http.StatusBadRequest, "invalid_request")
	w.post(t, a, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {strings.Repeat("x", 1<<20)}}).refused(t, http.StatusBadRequest, "invalid_request")
	w.post(t, a, "/oauth2/introspect", url.Values{}).refused(t, http.StatusBadRequest, "invalid_request")
	if r := w.post(t, a, "/oauth2/introspect", url.Values{"token": {"a" + strings.Repeat(".", 40_000)}}); r.status != http.StatusOK || r.text != "{\"active\":false}\n" {
		t.Errorf("J19, many dots: %d %s", r.status, r.text)
	}
}

// testSilence: 10,000 introspections append nothing to any log, and are no activity.
func testSilence(t *testing.T, w *world, _ application) {
	a := w.app1(t, basic)
	r := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com"))
	before := w.events(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 625 {
				if !w.active(t, a, r.str("access_token")) || !w.active(t, a, r.str("refresh_token")) {
					t.Error("not active")
					return
				}
			}
		})
	}
	group.Wait()
	if after := w.events(t); after != before {
		t.Errorf("10,000 introspections: %d events before, %d after", before, after)
	}
	if seen := w.activity(t, &auditv1.ListActivityRequest{Client: a.id}); len(seen) != 0 {
		t.Errorf("10,000 introspections are on record: %v", seen)
	}
}
