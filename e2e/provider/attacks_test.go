package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	gojose "github.com/go-jose/go-jose/v4"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
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
		"O13 public clients": testPublic, "O14 pushed requests": testPushed, "O16 others' tokens": testOthers,
		"O20 logout": testLogout, "O20 told of logout": testToldOfLogout, "O21 request objects": testRequestObjects, "O25 host": testHost,
		"bad input": testBadInput, "prompts": testPrompts, "consent": testConsent, "organizations": testOrganizations,
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

func testRedirectURIs(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	good := w.callback()
	v.open(w.authorizeURL(w.request(a, "prompt", "none")))
	if !strings.HasPrefix(v.back, good) {
		t.Fatalf("the control is not called back: %d %s", v.status, v.body)
	}
	port := strings.TrimPrefix(w.app.URL, "http://127.0.0.1:")
	for _, bad := range []string{
		good + "/", good + "?x=1", good + "#x", strings.ToUpper(good), strings.Replace(good, "callback", "%63allback", 1),
		good + "/../x", good + "/%2e%2e/x", strings.Replace(good, "127.0.0.1", "user@127.0.0.1", 1), strings.Replace(good, "http", "https", 1),
		"http://localhost:" + port + "/callback", "http://127.0.0.1.evil.example/callback", "http://127.0.0.1:" + port + "\\@evil.example/callback",
		"https://evil.example/callback", "javascript:alert(1)", "data:text/html,x", "//evil.example", "", " " + good, good + "\n", good + "\x00",
	} {
		v.open(w.authorizeURL(w.request(a, "prompt", "none", "redirect_uri", bad)))
		if v.back != "" || v.status != http.StatusBadRequest {
			t.Errorf("redirect_uri %q: called back at %q, status %d", bad, v.back, v.status)
		}
	}
	// An application on somebody's machine cannot know its port before.
	v.open(w.authorizeURL(w.request(a, "prompt", "none", "redirect_uri", "http://127.0.0.1:1/callback")))
	if !strings.HasPrefix(v.back, "http://127.0.0.1:1/callback?") {
		t.Errorf("another port of a loopback address: %d %q", v.status, v.back)
	}
}

func testOpenRedirectors(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	for _, q := range []url.Values{
		w.request(a, "client_id", "cli_00000000000000000000000000"), w.request(a, "client_id", ""), w.request(a, "client_id", "x"),
	} {
		v.open(w.authorizeURL(q))
		if v.back != "" || v.status != http.StatusBadRequest {
			t.Errorf("an unknown client is called back at %q, status %d", v.back, v.status)
		}
	}
	v.open(w.issuer + "/sign-in?next=https://evil.example&return_to=https://evil.example&request=x")
	if v.back != "" {
		t.Errorf("the page leads to %q", v.back)
	}
	// What is posted is answered by 303, so that no password is sent on.
	v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	v.post("/oauth2/authorize", w.request(a, "prompt", "none"), w.issuer)
	if v.status != http.StatusSeeOther {
		t.Errorf("a posted request is answered by %d", v.status)
	}
}

func testCodeReplay(t *testing.T, w *world, a application) {
	code := w.code(t, w.visitor(t), w.request(a), "ada@example.com")
	first := w.redeem(t, a, code)
	if first.status != http.StatusOK || !w.active(t, a, first.str("access_token")) {
		t.Fatalf("the control: %d %s", first.status, first.text)
	}
	w.redeem(t, a, code).refused(t, http.StatusBadRequest, "invalid_grant")
	w.inactive(t, a, first.str("access_token"))
	w.inactive(t, a, first.str("refresh_token"))
	w.refresh(t, a, first.str("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
}

func testCodeInjection(t *testing.T, w *world, a application) {
	other := w.app1(t, basic)
	v := w.visitor(t)
	code := w.code(t, v, w.request(a), "ada@example.com")
	w.redeem(t, other, code).refused(t, http.StatusBadRequest, "invalid_grant")
	w.redeem(t, a, code, "redirect_uri", w.app.URL+"/other").refused(t, http.StatusBadRequest, "invalid_grant")
	w.redeem(t, a, code, "code_verifier", strings.Repeat("x", 43)).refused(t, http.StatusBadRequest, "invalid_grant")
	if r := w.redeem(t, a, code); r.status != http.StatusOK {
		t.Errorf("a code is spent by who cannot use it: %s", r.text)
	}
	for _, forged := range []string{code + "x", code[:len(code)-1], "mco_", "mco_" + strings.Repeat("A", 64), strings.Replace(code, "mco_", "mrt_", 1), "x"} {
		w.redeem(t, a, forged).refused(t, http.StatusBadRequest, "invalid_grant")
	}
	w.redeem(t, a, "").refused(t, http.StatusBadRequest, "invalid_request")
}

func testDowngrade(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	for name, q := range map[string]url.Values{
		"no challenge": w.request(a, "code_challenge", "", "code_challenge_method", ""),
		"plain":        w.request(a, "code_challenge", verifier, "code_challenge_method", "plain"),
		"no method":    w.request(a, "code_challenge_method", ""),
		"too short":    w.request(a, "code_challenge", "abc"),
	} {
		v.open(w.authorizeURL(q))
		w.told(t, v, name, "invalid_request")
	}
	code := w.code(t, w.visitor(t), w.request(a), "ada@example.com")
	for _, bad := range []string{"", "short", strings.Repeat("x", 129), challenge()} {
		w.redeem(t, a, code, "code_verifier", bad).refused(t, http.StatusBadRequest, "invalid_grant")
	}
}

// told expects that the application is told of an error, by whom, and that its state
// comes back.
func (w *world) told(t *testing.T, v *visitor, name, code string) {
	t.Helper()
	back, err := url.Parse(v.back)
	if err != nil || !strings.HasPrefix(v.back, w.callback()+"?") {
		t.Fatalf("%s: called back at %q, page %d", name, v.back, v.status)
	}
	q := back.Query()
	if q.Get("error") != code || q.Get("state") != "the-state" || q.Get("iss") != w.issuer || q.Get("code") != "" {
		t.Errorf("%s: called back with %v, want %s", name, q, code)
	}
}

func testIssuer(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	w.code(t, v, w.request(a), "ada@example.com")
	back, err := url.Parse(v.back)
	if err != nil || back.Query().Get("iss") != w.issuer || back.Query().Get("state") != "the-state" {
		t.Errorf("called back at %q", v.back)
	}
}

func testPages(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	v.open(w.authorizeURL(w.request(a)))
	if v.status != http.StatusOK {
		t.Fatalf("page %d", v.status)
	}
	policy := v.header.Get("Content-Security-Policy")
	for _, rule := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(policy, rule) {
			t.Errorf("the policy %q has no %s", policy, rule)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	for name, want := range map[string]string{
		"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	} {
		if v.header.Get(name) != want {
			t.Errorf("%s is %q", name, v.header.Get(name))
		}
	}
	// Another site's page posts nothing here, and another browser cannot go on.
	f := v.find("email")
	f.fields.Set("email", "ada@example.com")
	victim := w.visitor(t)
	victim.post(f.action, f.fields, "https://evil.example")
	if victim.status != http.StatusForbidden {
		t.Errorf("another site's form is answered by %d", victim.status)
	}
	victim.post(f.action, f.fields, w.issuer)
	if victim.status != http.StatusNotFound {
		t.Errorf("another browser goes on with the request: %d", victim.status)
	}
	// The cookie that somebody is signed in with is not one that was there before.
	held, _ := v.client.Jar.(*jar)
	before := held.held["__Host-meridian_session"]
	v.signIn("ada@example.com")
	after := held.held["__Host-meridian_session"]
	if after == nil || before != nil && before.Value == after.Value {
		t.Fatal("signing in sets no cookie of its own")
	}
	for _, c := range held.held {
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || !strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("cookie %s: %+v", c.Name, c)
		}
	}
}

func testRefresh(t *testing.T, w *world, a application) {
	given := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com"))
	other := w.app1(t, basic)
	first := given.str("refresh_token")
	w.refresh(t, other, first).refused(t, http.StatusBadRequest, "invalid_grant")
	w.refresh(t, a, first, "scope", "openid offline_access admin").refused(t, http.StatusBadRequest, "invalid_scope")
	w.refresh(t, a, first, "resource", "https://api.example.com").refused(t, http.StatusBadRequest, "invalid_target")
	second := w.refresh(t, a, first, "scope", "openid")
	if second.status != http.StatusOK || second.str("scope") != "openid" {
		t.Fatalf("refresh: %d %s", second.status, second.text)
	}
	third := w.refresh(t, a, second.str("refresh_token"))
	if third.str("scope") != "openid offline_access" {
		t.Errorf("after asking for less once the scope is %q", third.str("scope"))
	}
	w.refresh(t, a, first).refused(t, http.StatusBadRequest, "invalid_grant")
	w.refresh(t, a, third.str("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
	w.inactive(t, a, third.str("access_token"))
}

// inactive waits until a token is refused: its revocation is felt in under a second.
func (w *world) inactive(t *testing.T, a application, token string) {
	t.Helper()
	if token == "" {
		t.Fatal("there is no token")
	}
	eventually(t, "the token is refused", func() bool { return !w.active(t, a, token) })
}

func testOldGrants(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	for _, kind := range []string{"token", "id_token", "code token", "none", "id_token token"} {
		v.open(w.authorizeURL(w.request(a, "response_type", kind)))
		w.told(t, v, kind, "unsupported_response_type")
	}
	for _, kind := range []string{"password", "implicit", "urn:example:own"} {
		w.post(t, a, "/oauth2/token", url.Values{"grant_type": {kind}, "username": {"ada@example.com"}, "password": {password}}).
			refused(t, http.StatusBadRequest, "unsupported_grant_type")
	}
	w.post(t, a, "/oauth2/token", url.Values{"username": {"ada@example.com"}}).refused(t, http.StatusBadRequest, "invalid_request")
	w.post(t, a, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}).refused(t, http.StatusBadRequest, "unauthorized_client")
}

func testLeaks(t *testing.T, w *world, a application) {
	code := w.code(t, w.visitor(t), w.request(a), "ada@example.com")
	r := w.redeem(t, a, code)
	if r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("tokens may be kept: %q", r.header.Get("Cache-Control"))
	}
	w.post(t, a, "/oauth2/token?grant_type=authorization_code&code="+code, url.Values{}).refused(t, http.StatusBadRequest, "invalid_request")
	access := r.str("access_token")
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(access, ".")[1])
	if err != nil || strings.Contains(string(payload), "ada@") || strings.Contains(string(payload), "Lovelace") {
		t.Errorf("the access token says %s, %v", payload, err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.issuer+"/oauth2/userinfo?access_token="+access, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := send(t, req); r.status != http.StatusUnauthorized || !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("a token in a URL is answered by %d, %q", r.status, r.header.Get("WWW-Authenticate"))
	}
}

func testPublic(t *testing.T, w *world, a application) {
	w.post(t, application{}, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {a.id}}).
		refused(t, http.StatusUnauthorized, "invalid_client")
	code := w.code(t, w.visitor(t), w.request(a), "ada@example.com")
	w.redeem(t, application{id: a.id}, code).refused(t, http.StatusUnauthorized, "invalid_client")
	w.redeem(t, application{a.id, "mcs_wrong"}, code).refused(t, http.StatusUnauthorized, "invalid_client")
	public := w.app1(t, none)
	r := w.redeem(t, public, w.code(t, w.visitor(t), w.request(public), "ada@example.com"))
	if r.status != http.StatusOK || r.str("refresh_token") == "" {
		t.Errorf("a public client is answered %d %s", r.status, r.text)
	}
	w.post(t, public, "/oauth2/introspect", url.Values{"token": {r.str("access_token")}, "client_id": {public.id}}).
		refused(t, http.StatusUnauthorized, "invalid_client")
}

func testPushed(t *testing.T, w *world, a application) {
	other := w.app1(t, basic)
	push := func(a application, q url.Values) reply { return w.post(t, a, "/oauth2/par", q) }
	pushed := push(a, w.request(a))
	if pushed.status != http.StatusCreated || pushed.body["expires_in"] != 60.0 {
		t.Fatalf("pushed: %d %s", pushed.status, pushed.text)
	}
	uri := pushed.str("request_uri")
	v := w.visitor(t)
	v.open(w.authorizeURL(url.Values{"client_id": {other.id}, "request_uri": {uri}}))
	if v.back != "" || v.status != http.StatusBadRequest {
		t.Errorf("another client's request: %d %q", v.status, v.back)
	}
	// Parameters beside it count for nothing.
	v.open(w.authorizeURL(url.Values{"client_id": {a.id}, "request_uri": {uri}, "redirect_uri": {"https://evil.example"}, "scope": {"admin"}}))
	v.signIn("ada@example.com")
	if !strings.HasPrefix(v.back, w.callback()+"?") {
		t.Fatalf("called back at %q", v.back)
	}
	v.open(w.authorizeURL(url.Values{"client_id": {a.id}, "request_uri": {uri}}))
	if v.back != "" || v.status != http.StatusBadRequest {
		t.Errorf("a pushed request is good twice: %d %q", v.status, v.back)
	}
	for _, bad := range []string{"https://evil.example/request.jwt", "urn:ietf:params:oauth:request_uri:", "urn:ietf:params:oauth:request_uri:x", "file:///etc/passwd"} {
		v.open(w.authorizeURL(w.request(a, "request_uri", bad)))
		if strings.Contains(v.back, "code=") {
			t.Errorf("request_uri %q is taken", bad)
		}
	}
	push(a, w.request(a, "request_uri", uri)).refused(t, http.StatusBadRequest, "invalid_request")
	push(a, w.request(a, "redirect_uri", "https://evil.example")).refused(t, http.StatusBadRequest, "invalid_request")
	push(application{a.id, "mcs_wrong"}, w.request(a)).refused(t, http.StatusUnauthorized, "invalid_client")
	strict := w.settings(basic)
	strict.PushedRequestsRequired = true
	id, secret := w.client(t, strict)
	v.open(w.authorizeURL(w.request(application{id, secret})))
	w.told(t, v, "not pushed", "invalid_request")
}

func testOthers(t *testing.T, w *world, a application) {
	other := w.app1(t, basic)
	r := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com"))
	for _, token := range []string{r.str("access_token"), r.str("refresh_token")} {
		if w.active(t, other, token) {
			t.Error("another client is told of a token")
		}
		w.post(t, other, "/oauth2/revoke", url.Values{"token": {token}}).refused(t, http.StatusBadRequest, "unauthorized_client")
	}
	if !w.active(t, a, r.str("refresh_token")) {
		t.Error("another client revoked a token")
	}
	for _, token := range []string{"x", "mrt_x", "a.b.c", r.str("id_token")} {
		if w.active(t, a, token) {
			t.Errorf("%q is active", token)
		}
		if r := w.post(t, a, "/oauth2/revoke", url.Values{"token": {token}}); r.status != http.StatusOK {
			t.Errorf("revocation of an unknown token answers %d", r.status)
		}
	}
}

func testLogout(t *testing.T, w *world, a application) {
	goodbye := w.app.URL + "/goodbye"
	v := w.visitor(t)
	r := w.redeem(t, a, w.code(t, v, w.request(a), "ada@example.com"))
	other := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com"))
	leave := func(q url.Values) { v.open(w.issuer + "/oauth2/logout?" + q.Encode()) }
	for name, q := range map[string]url.Values{
		"a place that is not registered": {"id_token_hint": {r.str("id_token")}, "post_logout_redirect_uri": {"https://evil.example"}},
		"a hint that is forged":          {"id_token_hint": {r.str("id_token") + "x"}, "post_logout_redirect_uri": {goodbye}},
		"a hint of another kind":         {"id_token_hint": {r.str("access_token")}, "post_logout_redirect_uri": {goodbye}},
		"another client's":               {"id_token_hint": {r.str("id_token")}, "client_id": {w.app1(t, basic).id}},
		"a parameter twice":              {"client_id": {a.id, a.id}},
	} {
		leave(q)
		if v.back != "" || v.status != http.StatusBadRequest {
			t.Errorf("%s: %d, %q", name, v.status, v.back)
		}
	}
	// The hint of another session, and none: the person is asked.
	for _, q := range []url.Values{{}, {"client_id": {a.id}, "post_logout_redirect_uri": {goodbye}}, {"id_token_hint": {other.str("id_token")}}} {
		leave(q)
		if v.back != "" || v.status != http.StatusOK || !w.active(t, a, r.str("refresh_token")) {
			t.Errorf("nobody was asked: %d, %q", v.status, v.back)
		}
	}
	leave(url.Values{"id_token_hint": {r.str("id_token")}, "post_logout_redirect_uri": {goodbye}, "state": {"a b"}})
	if v.back != goodbye+"?state=a+b" {
		t.Fatalf("logout leads to %q, page %d", v.back, v.status)
	}
	w.inactive(t, a, r.str("refresh_token"))
	w.inactive(t, a, r.str("access_token"))
	if !w.active(t, a, other.str("refresh_token")) {
		t.Error("another session has ended too")
	}
	v.open(w.authorizeURL(w.request(a, "prompt", "none")))
	w.told(t, v, "after logout", "login_required")

	// Asked, and confirmed.
	v = w.visitor(t)
	r = w.redeem(t, a, w.code(t, v, w.request(a), "ada@example.com"))
	leave(url.Values{"client_id": {a.id}, "post_logout_redirect_uri": {goodbye}, "state": {"s"}})
	f := v.find("confirm")
	f.fields.Set("confirm", "yes")
	v.post(f.action, f.fields, "https://evil.example")
	if v.back != "" || !w.active(t, a, r.str("refresh_token")) {
		t.Error("another site confirms for the person")
	}
	v.post(f.action, f.fields, w.issuer)
	if v.back != goodbye+"?state=s" {
		t.Fatalf("logout leads to %q, page %d", v.back, v.status)
	}
	w.inactive(t, a, r.str("refresh_token"))
}

func testRequestObjects(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"scope":"admin"}`)) + "."
	v.open(w.authorizeURL(w.request(a, "request", unsigned)))
	w.told(t, v, "unsigned", "request_not_supported")
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

func testPrompts(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	v.open(w.authorizeURL(w.request(a, "prompt", "none")))
	w.told(t, v, "nobody is signed in", "login_required")
	w.code(t, v, w.request(a), "ada@example.com")
	v.open(w.authorizeURL(w.request(a, "prompt", "none")))
	if !strings.Contains(v.back, "code=") {
		t.Errorf("signed in, and not silent: %q", v.back)
	}
	for _, change := range [][]string{{"prompt", "login"}, {"max_age", "0"}} {
		v.open(w.authorizeURL(w.request(a, change...)))
		if v.back != "" {
			t.Errorf("%v: called back at %q without a proof", change, v.back)
		}
		v.signIn("ada@example.com")
		if !strings.Contains(v.back, "code=") {
			t.Errorf("%v: not called back: %d %s", change, v.status, v.body)
		}
	}
	v.open(w.authorizeURL(w.request(a, "prompt", "none login")))
	w.told(t, v, "none with another", "invalid_request")
	v.open(w.authorizeURL(w.request(a, "acr_values", "aal2", "prompt", "none")))
	w.told(t, v, "more than was proved", "interaction_required")
	v.open(w.authorizeURL(w.request(a, "acr_values", "aal2")))
	w.told(t, v, "more than the user can prove", "unmet_authentication_requirements")
	v.open(w.authorizeURL(w.request(a, "response_mode", "form_post")))
	if f := v.find("code"); f.action != w.callback() || f.fields.Get("code") == "" || f.fields.Get("iss") != w.issuer || f.fields.Get("state") != "the-state" {
		t.Errorf("form_post: %+v", f)
	}
}

func testConsent(t *testing.T, w *world, _ application) {
	s := w.settings(basic)
	s.ConsentRequired, s.Name = true, "Another company's <b>app</b>"
	id, secret := w.client(t, s)
	a := application{id, secret}
	v := w.visitor(t)
	v.open(w.authorizeURL(w.request(a)))
	v.signIn("ada@example.com")
	if v.back != "" || strings.Contains(v.body, "<b>app</b>") || !strings.Contains(v.body, "127.0.0.1") {
		t.Fatalf("called back at %q; the page: %s", v.back, v.body)
	}
	v.send("decision", "deny")
	w.told(t, v, "declined", "access_denied")
	v.open(w.authorizeURL(w.request(a, "prompt", "none")))
	w.told(t, v, "not agreed", "consent_required")
	v.open(w.authorizeURL(w.request(a)))
	v.send("decision", "allow")
	if !strings.Contains(v.back, "code=") {
		t.Fatalf("agreed, and called back at %q", v.back)
	}
	v.open(w.authorizeURL(w.request(a, "prompt", "none")))
	if !strings.Contains(v.back, "code=") {
		t.Errorf("agreed before, and asked again: %q", v.back)
	}
}

func testOrganizations(t *testing.T, w *world, _ application) {
	user := w.user(t, "grace@example.com")
	var ids []string
	for _, slug := range []string{"acme", "initech"} {
		made, err := w.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: slug, Name: slug, IdempotencyKey: rand.Text()})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, made.GetOrganization().GetId())
	}
	s := w.settings(basic)
	s.OrganizationRequired = true
	id, secret := w.client(t, s)
	a := application{id, secret}
	v := w.visitor(t)
	v.open(w.authorizeURL(w.request(a)))
	v.signIn("grace@example.com")
	w.told(t, v, "no member of any", "access_denied")
	for _, org := range ids {
		if _, err := w.Memberships.AddMember(t.Context(), &identityv1.AddMemberRequest{Organization: org, User: user, IdempotencyKey: rand.Text()}); err != nil {
			t.Fatal(err)
		}
	}
	v.open(w.authorizeURL(w.request(a)))
	if v.back != "" || !strings.Contains(v.body, "acme") {
		t.Fatalf("no choice: %q", v.back)
	}
	v.send("organization", "org_00000000000000000000000000")
	w.told(t, v, "another's organization", "access_denied")
	v.open(w.authorizeURL(w.request(a)))
	v.send("organization", ids[1])
	if !strings.Contains(v.back, "code=") {
		t.Fatalf("called back at %q", v.back)
	}
	back, _ := url.Parse(v.back)
	r := w.redeem(t, a, back.Query().Get("code"))
	if said := w.post(t, a, "/oauth2/introspect", url.Values{"token": {r.str("access_token")}}); said.str("org") != ids[1] {
		t.Errorf("the token is for %q", said.str("org"))
	}
	// The pages look as the organization wants.
	_, err := w.Themes.PutTheme(t.Context(), &sessionsv1.PutThemeRequest{
		Organization: ids[0], Theme: &sessionsv1.Theme{Name: "Acme's own", Color: "aa3300"}, IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	themed := w.visitor(t)
	themed.open(w.authorizeURL(w.request(a, "organization", ids[0])))
	if !strings.Contains(themed.body, "Acme&#39;s own") || !strings.Contains(themed.body, "theme-aa3300") {
		t.Errorf("the page is not themed: %s", themed.body)
	}
	// A switch needs no proof.
	v.open(w.authorizeURL(w.request(a, "organization", "acme", "prompt", "none")))
	if !strings.Contains(v.back, "code=") {
		t.Errorf("the switch: %q", v.back)
	}
	// Who leaves is out at once: tokens are refused, and there are no new ones.
	if _, err := w.Memberships.RemoveMember(t.Context(), &identityv1.RemoveMemberRequest{Organization: ids[1], User: user, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	w.inactive(t, a, r.str("access_token"))
	w.refresh(t, a, r.str("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
	w.inactive(t, a, r.str("refresh_token"))
	v.open(w.authorizeURL(w.request(a, "organization", "initech")))
	w.told(t, v, "of an organization that one has left", "access_denied")
}

func testClientCredentials(t *testing.T, w *world, _ application) {
	id, secret := w.client(t, &sessionsv1.ClientSettings{
		Name: "Machine", Authentication: basic, GrantTypes: []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS},
		Resources: []string{"https://api.example.com", "https://other.example.com"}, Scopes: []string{"read", "write"},
	})
	a := application{id, secret}
	own := func(change ...string) reply {
		fields := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i+1 < len(change); i += 2 {
			fields.Set(change[i], change[i+1])
		}
		return w.post(t, a, "/oauth2/token", fields)
	}
	r := own("scope", "read", "resource", "https://other.example.com")
	if r.status != http.StatusOK || r.str("refresh_token") != "" || r.str("id_token") != "" || r.body["expires_in"] != 300.0 {
		t.Fatalf("answer %d %s", r.status, r.text)
	}
	said := w.post(t, a, "/oauth2/introspect", url.Values{"token": {r.str("access_token")}})
	if aud, _ := said.body["aud"].([]any); said.str("sub") != a.id || said.str("scope") != "read" || !slices.Equal(aud, []any{"https://other.example.com"}) {
		t.Errorf("the token says %s", said.text)
	}
	own("scope", "admin").refused(t, http.StatusBadRequest, "invalid_scope")
	own("resource", "https://evil.example.com").refused(t, http.StatusBadRequest, "invalid_target")
	if r := w.post(t, a, "/oauth2/revoke", url.Values{"token": {r.str("access_token")}}); r.status != http.StatusOK {
		t.Fatalf("revocation: %d %s", r.status, r.text)
	}
	w.inactive(t, a, r.str("access_token"))
	other := own()
	if _, err := w.Clients.UpdateClient(t.Context(), &sessionsv1.UpdateClientRequest{Client: a.id, Disabled: new(true), IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	own().refused(t, http.StatusUnauthorized, "invalid_client")
	if _, err := w.Clients.UpdateClient(t.Context(), &sessionsv1.UpdateClientRequest{Client: a.id, Disabled: new(false), IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	w.inactive(t, a, other.str("access_token")) // it was issued before the client was disabled
}

func testRevocation(t *testing.T, w *world, a application) {
	for _, kind := range []string{"access_token", "refresh_token"} {
		r := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com"))
		if answer := w.post(t, a, "/oauth2/revoke", url.Values{"token": {r.str(kind)}}); answer.status != http.StatusOK {
			t.Fatalf("%s: %d %s", kind, answer.status, answer.text)
		}
		w.inactive(t, a, r.str("access_token"))
		w.inactive(t, a, r.str("refresh_token"))
		w.refresh(t, a, r.str("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
	}
}

// testEndings: whoever is suspended, or signed out by others, is out.
func testEndings(t *testing.T, w *world, a application) {
	user := w.user(t, "alan@example.com")
	v := w.visitor(t)
	r := w.redeem(t, a, w.code(t, v, w.request(a), "alan@example.com"))
	list, err := w.Sessions.ListSessions(t.Context(), &sessionsv1.ListSessionsRequest{User: user})
	if err != nil || len(list.GetSessions()) != 1 || list.GetSessions()[0].GetAcr() != "aal1" {
		t.Fatalf("sessions: %v, %v", list, err)
	}
	grants, err := w.Sessions.ListGrants(t.Context(), &sessionsv1.ListGrantsRequest{User: user})
	if err != nil || len(grants.GetGrants()) != 1 || grants.GetGrants()[0].GetClient() != a.id {
		t.Fatalf("grants: %v, %v", grants, err)
	}
	_, err = w.Sessions.RevokeSession(t.Context(), &sessionsv1.RevokeSessionRequest{
		User: user, Session: list.GetSessions()[0].GetId(), IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.inactive(t, a, r.str("access_token"))
	w.refresh(t, a, r.str("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
	v.open(w.authorizeURL(w.request(a, "prompt", "none")))
	w.told(t, v, "signed out by others", "login_required")

	r = w.redeem(t, a, w.code(t, v, w.request(a), "alan@example.com"))
	if _, err := w.Users.SuspendUser(t.Context(), &identityv1.SuspendUserRequest{User: user, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	w.inactive(t, a, r.str("access_token"))
	w.refresh(t, a, r.str("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
	v.open(w.authorizeURL(w.request(a, "prompt", "none")))
	w.told(t, v, "suspended", "login_required")
}

func testRefreshRace(t *testing.T, w *world, a application) {
	given := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com"))
	var mu sync.Mutex
	successors := map[string]int{}
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			r := w.refresh(t, a, given.str("refresh_token"))
			mu.Lock()
			defer mu.Unlock()
			successors[r.str("refresh_token")]++
		})
	}
	group.Wait()
	if len(successors) != 1 || successors[""] > 0 {
		t.Errorf("successors of one token: %v", successors)
	}
}

func testRedeemRace(t *testing.T, w *world, a application) {
	code := w.code(t, w.visitor(t), w.request(a), "ada@example.com")
	var mu sync.Mutex
	var won []reply
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if r := w.redeem(t, a, code); r.status == http.StatusOK {
				mu.Lock()
				defer mu.Unlock()
				won = append(won, r)
			}
		})
	}
	group.Wait()
	if len(won) != 1 {
		t.Fatalf("%d redeemed one code", len(won))
	}
	w.inactive(t, a, won[0].str("access_token")) // others have the code: nothing that came of it is good
}

// testDevices: a device gets tokens when somebody allows it elsewhere, who is told whose
// device it is.
func testDevices(t *testing.T, w *world, _ application) {
	s := w.settings(none)
	s.GrantTypes = []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_DEVICE_CODE, sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN}
	s.RedirectUris, s.PostLogoutRedirectUris, s.Name = nil, nil, "Television"
	id, _ := w.client(t, s)
	a := application{id: id}
	ask := func() reply {
		return w.post(t, a, "/oauth2/device_authorization", url.Values{"client_id": {a.id}, "scope": {"openid offline_access"}})
	}
	poll := func(a application, code string) reply {
		return w.post(t, a, "/oauth2/token", url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {code}, "client_id": {a.id},
		})
	}
	begun := ask()
	if begun.status != http.StatusOK || begun.str("verification_uri") != w.issuer+"/device" || begun.body["interval"] != 5.0 {
		t.Fatalf("answer %d %s", begun.status, begun.text)
	}
	code := begun.str("device_code")
	poll(a, code).refused(t, http.StatusBadRequest, "authorization_pending")
	poll(a, code).refused(t, http.StatusBadRequest, "slow_down")
	other := w.settings(none)
	other.GrantTypes, other.RedirectUris, other.PostLogoutRedirectUris = s.GrantTypes[:1], nil, nil
	otherID, _ := w.client(t, other)
	poll(application{id: otherID}, code).refused(t, http.StatusBadRequest, "invalid_grant")
	poll(a, code[1:]).refused(t, http.StatusBadRequest, "invalid_grant")

	v := w.visitor(t)
	v.open(begun.str("verification_uri_complete"))
	if f := v.find("user_code"); f.fields.Has("decision") {
		t.Error("a link alone decides")
	}
	v.send("user_code", "BBBB-BBBB")
	if v.status == http.StatusOK || !strings.Contains(v.body, "user_code") {
		t.Errorf("a code that is none: %d", v.status)
	}
	v.send("user_code", strings.ToLower(begun.str("user_code")))
	v.signIn("ada@example.com")
	if !strings.Contains(v.body, "Television") || !strings.Contains(v.body, begun.str("user_code")) || !strings.Contains(v.body, "127.0.0.1") {
		t.Fatalf("nobody is told whose device it is: %d %s", v.status, v.body)
	}
	v.send("decision", "allow")
	r := poll(a, code)
	if r.status != http.StatusOK || r.str("refresh_token") == "" || r.str("id_token") == "" {
		t.Fatalf("allowed: %d %s", r.status, r.text)
	}
	poll(a, code).refused(t, http.StatusBadRequest, "invalid_grant")
	if next := w.refresh(t, a, r.str("refresh_token")); next.status != http.StatusOK {
		t.Errorf("refresh: %d %s", next.status, next.text)
	}

	// Signed in, and asked all the same; declined.
	second := ask()
	v.open(w.issuer + "/device")
	v.send("user_code", second.str("user_code"))
	v.send("decision", "deny")
	poll(a, second.str("device_code")).refused(t, http.StatusBadRequest, "access_denied")

	// Who guesses is held up.
	guesser := w.visitor(t)
	for range 12 {
		guesser.open(w.issuer + "/device")
		guesser.send("user_code", "CCCC-CCCC")
	}
	if guesser.status != http.StatusTooManyRequests {
		t.Errorf("the twelfth guess in a minute is answered by %d", guesser.status)
	}
}

// testAssertions: a client that signs is known by its key; clientauth has the attacks.
func testAssertions(t *testing.T, w *world, _ application) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := gojose.JSONWebKey{Key: key, KeyID: "1", Algorithm: "ES256"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	public, err := gojose.JSONWebKey{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := w.client(t, &sessionsv1.ClientSettings{
		Name: "Machine", Authentication: sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT,
		GrantTypes: []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS}, Jwks: `{"keys":[` + string(public) + `]}`,
	})
	rp := openRelyingParty(t)
	rp.do(t, "discover", args{"issuer": w.issuer, "client": id, "auth": "private_key_jwt", "key": json.RawMessage(private)})
	given := rp.do(t, "credentials", args{"more": args{}})
	if said := rp.do(t, "introspect", args{"token": given["access_token"]}); !is(said, "active") || said["sub"] != id {
		t.Errorf("introspection says %v", said)
	}
	w.post(t, application{}, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}}).
		refused(t, http.StatusUnauthorized, "invalid_client")
}

// testSilence: 10,000 introspections append nothing to any log.
func testSilence(t *testing.T, w *world, a application) {
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
}

// testAccount: people see where they are signed in and what they gave away, and end it;
// nobody ends what is another's.
func testAccount(t *testing.T, w *world, a application) {
	user := w.user(t, "edsger@example.com")
	other, here := w.visitor(t), w.visitor(t)
	there := w.redeem(t, a, w.code(t, other, w.request(a), "edsger@example.com"))
	own := w.redeem(t, a, w.code(t, here, w.request(a), "edsger@example.com"))
	stranger := w.visitor(t)
	w.code(t, stranger, w.request(a), "ada@example.com")

	here.open(w.issuer + "/account")
	if !strings.Contains(here.body, "edsger@example.com") || !strings.Contains(here.body, "Example Shop") {
		t.Fatalf("the account page: %d %s", here.status, here.body)
	}
	list, err := w.Sessions.ListSessions(t.Context(), &sessionsv1.ListSessionsRequest{User: user})
	if err != nil || len(list.GetSessions()) != 2 {
		t.Fatalf("sessions: %v, %v", list, err)
	}
	older := list.GetSessions()[1].GetId() // the newest comes first
	stranger.post("/account/revoke", url.Values{"id": {older}}, w.issuer)
	here.post("/account/revoke", url.Values{"id": {older}}, "https://evil.example")
	if !w.active(t, a, there.str("refresh_token")) {
		t.Fatal("a stranger ended a session")
	}
	here.post("/account/revoke", url.Values{"id": {older}}, w.issuer)
	if here.status != http.StatusOK || here.at.Path != "/account" {
		t.Errorf("after that: %d %s", here.status, here.at)
	}
	w.inactive(t, a, there.str("refresh_token"))
	if !w.active(t, a, own.str("refresh_token")) {
		t.Error("the own session has ended too")
	}
	grants, err := w.Sessions.ListGrants(t.Context(), &sessionsv1.ListGrantsRequest{User: user})
	if err != nil || len(grants.GetGrants()) != 1 {
		t.Fatalf("grants: %v, %v", grants, err)
	}
	here.post("/account/revoke", url.Values{"id": {grants.GetGrants()[0].GetId()}}, w.issuer)
	w.inactive(t, a, own.str("access_token"))
	held, err := w.Credentials.ListCredentials(t.Context(), &identityv1.ListCredentialsRequest{User: user})
	if err != nil || len(held.GetCredentials()) != 1 {
		t.Fatalf("credentials: %v, %v", held, err)
	}
	stranger.post("/account/revoke", url.Values{"id": {held.GetCredentials()[0].GetId()}}, w.issuer)
	if held, err = w.Credentials.ListCredentials(t.Context(), &identityv1.ListCredentialsRequest{User: user}); err != nil || len(held.GetCredentials()) != 1 {
		t.Fatalf("a stranger removed a credential: %v, %v", held, err)
	}
	nobody := w.visitor(t)
	nobody.open(w.issuer + "/account")
	if nobody.at.Path != "/sign-in" {
		t.Errorf("without a session the account page leads to %s", nobody.at)
	}
	nobody.signIn("edsger@example.com")
	if nobody.at.Path != "/account" {
		t.Errorf("signed in, and at %s", nobody.at)
	}
}

// testCutoff: all that a client was given ends at once, and all that was given for an
// organization; what is given afterwards is good.
func testCutoff(t *testing.T, w *world, _ application) {
	a := w.app1(t, basic)
	first := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com"))
	if _, err := w.Sessions.RevokeTokens(t.Context(), &sessionsv1.RevokeTokensRequest{Client: a.id, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	w.inactive(t, a, first.str("access_token"))
	w.inactive(t, a, first.str("refresh_token"))
	w.refresh(t, a, first.str("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
	if second := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com")); !w.active(t, a, second.str("refresh_token")) {
		t.Error("what is given afterwards is not good")
	}
	if _, err := w.Sessions.RevokeTokens(t.Context(), &sessionsv1.RevokeTokensRequest{IdempotencyKey: rand.Text()}); err == nil {
		t.Error("all of nobody is revoked")
	}
}
