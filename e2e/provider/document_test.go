package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/e2e/harness"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// publisher is a server on which clients publish what they are.
type publisher struct {
	*httptest.Server

	mu        sync.Mutex
	documents map[string]args
}

func publish(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{documents: map[string]args{}}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		document, there := p.documents[r.URL.Path]
		if !there {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "max-age=3600")
		_ = json.NewEncoder(w).Encode(document)
	}))
	t.Cleanup(p.Close)
	return p
}

// client publishes a document, with changes, and returns its URL.
func (p *publisher) client(path string, changes args) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := args{
		"client_id": p.URL + path, "client_name": "Example Agent", "token_endpoint_auth_method": "none", "logo_uri": p.URL + "/logo.png",
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
	}
	maps.Copy(d, changes)
	p.documents[path] = d
	return p.URL + path
}

// startPublished starts a world whose provider takes clients that publish what they are,
// also on this machine, by the certificate of the server that they do it on.
func startPublished(t *testing.T) (*world, *publisher) {
	t.Helper()
	p := publish(t)
	return startWith(t, harness.ProviderOptions{Sessions: "  client_id_metadata_documents: {enabled: true, resources: [\"https://mcp.example\"], scopes: [\"mcp:tools\"]}\n" + near(t, p.Server)}), p
}

// asked signs somebody in, looks at the page that asks for consent, and agrees.
func (w *world) asked(t *testing.T, v *visitor, to, email string, says ...string) string {
	t.Helper()
	v.open(to)
	if strings.Contains(v.body, `name="email"`) {
		v.signIn(email)
	}
	if v.back != "" {
		t.Fatalf("nobody was asked: %q", v.back)
	}
	for _, text := range says {
		if !strings.Contains(v.body, text) {
			t.Errorf("the page does not say %q:\n%s", text, v.body)
		}
	}
	v.send("decision", "allow")
	return v.back
}

// TestPublishedClients: clients that nobody registered sign people in.
func TestPublishedClients(t *testing.T) {
	w, p := startPublished(t)
	user := w.user(t, "ada@example.com")
	host := strings.TrimPrefix(p.URL, "https://")
	for name, test := range map[string]func(*testing.T){
		"a public one":   func(t *testing.T) { testPublishedPublic(t, w, p, user, host) },
		"one that signs": func(t *testing.T) { testPublishedSigning(t, w, p, user, host) },
		"on the web":     func(t *testing.T) { testPublishedWeb(t, w, p, host) },
		"for an API":     func(t *testing.T) { testPublishedAPI(t, w, p, host) },
		"blocked":        func(t *testing.T) { testPublishedBlocked(t, w, p) },
		"none":           func(t *testing.T) { testPublishedNone(t, w, p) },
	} {
		t.Run(name, test)
	}
}

func testPublishedPublic(t *testing.T, w *world, p *publisher, user, host string) {
	id := p.client("/agent.json", args{"redirect_uris": []string{w.callback()}})
	a := application{id: id}
	rp := openRelyingParty(t)
	if says := rp.do(t, "discover", args{"issuer": w.issuer, "client": id, "auth": "none"}); !is(says, "client_id_metadata_document_supported") {
		t.Error("the metadata does not say that such clients are taken")
	}
	v := w.visitor(t)
	begin := func() string {
		return text(t, rp.do(t, "start", args{"redirect": w.callback(), "scope": "openid email offline_access"}), "url")
	}
	back := w.asked(t, v, begin(), "ada@example.com", "Example Agent", "<bdi>"+host+"</bdi>", "127.0.0.1", "on devices only", "could be any")
	if strings.Contains(v.body, "logo.png") {
		t.Error("a picture of a stranger is shown")
	}
	given := rp.do(t, "callback", args{"url": back})
	claims, _ := given["claims"].(map[string]any)
	if claims["sub"] != user || claims["aud"] != id {
		t.Errorf("the ID token says %v", claims)
	}
	if info := rp.do(t, "userinfo", args{"token": given["access_token"], "subject": user}); info["email"] != "ada@example.com" {
		t.Errorf("userinfo says %v", info)
	}
	second := rp.do(t, "refresh", args{"token": given["refresh_token"]})

	// Any program on the device may say that it is this client: the person is asked again.
	v.open(w.authorizeURL(w.request(a, "prompt", "none")))
	w.told(t, v, "asked without a page", "consent_required")
	again := rp.do(t, "callback", args{"url": w.asked(t, v, begin(), "ada@example.com")})

	// It is a public client: it introspects nothing, and gives back what is its own.
	w.post(t, a, "/oauth2/introspect", url.Values{"token": {text(t, second, "access_token")}, "client_id": {id}}).
		refused(t, http.StatusUnauthorized, "invalid_client")
	w.post(t, application{}, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}}).
		refused(t, http.StatusBadRequest, "unauthorized_client")
	w.post(t, application{}, "/oauth2/device_authorization", url.Values{"client_id": {id}}).
		refused(t, http.StatusBadRequest, "unauthorized_client")
	w.post(t, application{id, "secret"}, "/oauth2/revoke", url.Values{"token": {text(t, second, "refresh_token")}}).
		refused(t, http.StatusUnauthorized, "invalid_client")
	rp.do(t, "revoke", args{"token": second["refresh_token"]})
	rp.refused(t, "refresh", args{"token": second["refresh_token"]}, "invalid_grant")

	// What it was given is seen, and ended by whoever runs the platform.
	v.open(w.issuer + "/account")
	if !strings.Contains(v.body, host) || strings.Contains(v.body, "Example Agent") {
		t.Errorf("the account page says\n%s", v.body)
	}
	grants, err := w.Sessions.ListGrants(t.Context(), &sessionsv1.ListGrantsRequest{User: user})
	if err != nil || len(grants.GetGrants()) == 0 || grants.GetGrants()[0].GetClient() != id {
		t.Fatalf("grants: %v, %v", grants, err)
	}
	if _, err := w.Sessions.RevokeTokens(t.Context(), &sessionsv1.RevokeTokensRequest{Client: id, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	rp.refused(t, "refresh", args{"token": again["refresh_token"]}, "invalid_grant")
	eventually(t, "the access token is refused", func() bool {
		_, failed := rp.try(t, "userinfo", args{"token": again["access_token"], "subject": user})
		return failed.Code != ""
	})
	for _, other := range []string{"https://app.example", "https://app.example/c?a=1", p.URL + "/../agent.json"} {
		if _, err := w.Sessions.RevokeTokens(t.Context(), &sessionsv1.RevokeTokensRequest{Client: other, IdempotencyKey: rand.Text()}); err == nil {
			t.Errorf("all was ended of %q, which can be no client", other)
		}
	}
}

func testPublishedSigning(t *testing.T, w *world, p *publisher, user, host string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := gojose.JSONWebKey{Key: key, KeyID: "1", Algorithm: "ES256"}
	id := p.client("/server.json", args{
		"redirect_uris": []string{w.callback()}, "token_endpoint_auth_method": "private_key_jwt",
		"jwks": gojose.JSONWebKeySet{Keys: []gojose.JSONWebKey{jwk.Public()}},
	})
	rp := openRelyingParty(t)
	rp.do(t, "discover", args{"issuer": w.issuer, "client": id, "auth": "private_key_jwt", "key": jwk})
	begin := rp.do(t, "start", args{"redirect": w.callback(), "scope": "openid offline_access", "par": true})
	given := rp.do(t, "callback", args{"url": w.asked(t, w.visitor(t), text(t, begin, "url"), "ada@example.com", host)})
	if said := rp.do(t, "introspect", args{"token": given["access_token"]}); !is(said, "active") || said["client_id"] != id || said["sub"] != user {
		t.Errorf("introspection says %v", said)
	}
	second := rp.do(t, "refresh", args{"token": given["refresh_token"]})
	w.refresh(t, application{id: id}, text(t, second, "refresh_token")).refused(t, http.StatusUnauthorized, "invalid_client")
	rp.do(t, "revoke", args{"token": second["access_token"]})
	eventually(t, "the token is refused", func() bool { return !is(rp.do(t, "introspect", args{"token": second["access_token"]}), "active") })
}

// testPublishedAPI: such a client gets tokens for an API that is offered to all of them, if
// the person agrees to that one. It is no API itself.
func testPublishedAPI(t *testing.T, w *world, p *publisher, host string) {
	const mcp = "https://mcp.example"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := gojose.JSONWebKey{Key: key, KeyID: "1", Algorithm: "ES256"}
	a := application{id: p.client("/mcp.json", args{
		"redirect_uris": []string{w.callback()}, "token_endpoint_auth_method": "private_key_jwt", "jwks": gojose.JSONWebKeySet{Keys: []gojose.JSONWebKey{jwk.Public()}},
	})}
	rp := openRelyingParty(t)
	rp.do(t, "discover", args{"issuer": w.issuer, "client": a.id, "auth": "private_key_jwt", "key": jwk})
	v := w.visitor(t)
	begin := rp.do(t, "start", args{"redirect": w.callback(), "scope": "openid mcp:tools", "more": args{"resource": mcp}})
	given := rp.do(t, "callback", args{"url": w.asked(t, v, text(t, begin, "url"), "ada@example.com", host, "mcp:tools", mcp)})
	if said := claims(t, text(t, given, "access_token")); fmt.Sprint(said["aud"]) != "["+mcp+"]" || said["scope"] != "openid mcp:tools" {
		t.Errorf("the token says %v", said)
	}
	v.open(w.authorizeURL(w.request(a, "resource", "https://other.example")))
	w.told(t, v, "an API that is not offered", "invalid_target")
	v.open(w.authorizeURL(w.request(a, "scope", "openid meridian")))
	w.told(t, v, "this API", "invalid_scope")

	// Another's token for that API is none of its business.
	s := w.settings(basic)
	s.Resources = []string{mcp}
	id, secret := w.client(t, s)
	app := application{id, secret}
	others := w.redeem(t, app, w.code(t, v, w.request(app), "ada@example.com"))
	if !w.active(t, app, others.str("access_token")) {
		t.Fatal("the control is not active")
	}
	if is(rp.do(t, "introspect", args{"token": others.str("access_token")}), "active") {
		t.Error("a client that nobody registered introspects another's token")
	}
}

func testPublishedWeb(t *testing.T, w *world, p *publisher, host string) {
	const callback = "https://agent.example/callback"
	a := application{id: p.client("/web.json", args{"redirect_uris": []string{callback}, "client_name": "Bank"})}
	v := w.visitor(t)
	to := w.authorizeURL(w.request(a, "redirect_uri", callback))
	v.open(to)
	if strings.Contains(v.body, "Bank") || !strings.Contains(v.body, host) {
		t.Errorf("the page to sign in names a stranger as it wants:\n%s", v.body)
	}
	back, err := url.Parse(w.asked(t, v, to, "ada@example.com", "Bank", "<bdi>"+host+"</bdi>", "agent.example"))
	if err != nil || strings.Contains(v.body, "on devices only") {
		t.Errorf("%v, the page says\n%s", err, v.body)
	}
	if r := w.redeem(t, a, back.Query().Get("code"), "redirect_uri", callback); r.status != http.StatusOK {
		t.Errorf("tokens: %d %s", r.status, r.text)
	}
	// Where the answer goes to is the client's own: what was agreed to stands.
	if v.open(to); !strings.HasPrefix(v.back, callback+"?code=") {
		t.Errorf("called back at %q", v.back)
	}
	for _, other := range []string{"https://agent.example/other", w.callback()} {
		if v.open(w.authorizeURL(w.request(a, "redirect_uri", other))); v.back != "" || v.status != http.StatusBadRequest {
			t.Errorf("%s: %d %q", other, v.status, v.back)
		}
	}
	v.open(w.authorizeURL(w.request(a, "redirect_uri", callback, "scope", "openid meridian")))
	if !strings.Contains(v.back, "error=invalid_scope") {
		t.Errorf("the API is asked for: %q", v.back)
	}
}

// testPublishedBlocked: administrators refuse such a client, of an organization for that
// one, of the platform for everybody.
func testPublishedBlocked(t *testing.T, w *world, p *publisher) {
	const callback, email = "https://other.example/callback", "grace@example.com"
	user := w.user(t, email)
	made, err := w.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: "acme", Name: "Acme", IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	acme := made.GetOrganization().GetId()
	if _, err := w.Memberships.AddMember(t.Context(), &identityv1.AddMemberRequest{Organization: acme, User: user, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	a := application{id: p.client("/other.json", args{"redirect_uris": []string{callback}})}
	v := w.visitor(t)
	inAcme := w.authorizeURL(w.request(a, "redirect_uri", callback, "organization", "acme"))
	alone := w.authorizeURL(w.request(a, "redirect_uri", callback))
	given := func(back string) reply {
		u, err := url.Parse(back)
		if err != nil {
			t.Fatal(err)
		}
		r := w.redeem(t, a, u.Query().Get("code"), "redirect_uri", callback)
		if r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", back, r.status, r.text)
		}
		return r
	}
	forAcme := given(w.asked(t, v, inAcme, email, "Acme"))
	forUser := given(w.asked(t, v, alone, email))

	block := func(organization string) {
		for range 2 {
			if _, err := w.Clients.BlockClient(t.Context(), &sessionsv1.BlockClientRequest{Organization: organization, Client: a.id, IdempotencyKey: rand.Text()}); err != nil {
				t.Fatal(err)
			}
		}
		list, err := w.Clients.ListBlockedClients(t.Context(), &sessionsv1.ListBlockedClientsRequest{Organization: organization})
		if err != nil || len(list.GetClients()) != 1 || list.GetClients()[0].GetClient() != a.id {
			t.Errorf("blocked are %v, %v", list, err)
		}
	}
	unblock := func(organization string) {
		if _, err := w.Clients.UnblockClient(t.Context(), &sessionsv1.UnblockClientRequest{Organization: organization, Client: a.id, IdempotencyKey: rand.Text()}); err != nil {
			t.Fatal(err)
		}
	}
	good := func(r reply) bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.issuer+"/oauth2/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.str("access_token"))
		return send(t, req).status == http.StatusOK
	}
	block(acme)
	eventually(t, "the access token for the organization is refused", func() bool { return !good(forAcme) })
	w.refresh(t, a, forAcme.str("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
	if v.open(inAcme); !strings.Contains(v.back, "error=access_denied") {
		t.Errorf("an organization that blocks the client: %q", v.back)
	}
	if r := w.refresh(t, a, forUser.str("refresh_token")); r.status != http.StatusOK || !good(forUser) {
		t.Errorf("what is for no organization: %d %s", r.status, r.text)
	}
	unblock(acme)
	v.open(inAcme)
	forAcme = given(v.back)

	block("")
	for _, r := range []reply{forAcme, forUser} {
		eventually(t, "the access token is refused", func() bool { return !good(r) })
		w.refresh(t, a, r.str("refresh_token")).refused(t, http.StatusUnauthorized, "invalid_client")
	}
	if v.open(alone); v.back != "" || v.status != http.StatusBadRequest {
		t.Errorf("a client that everybody blocks: %d %q", v.status, v.back)
	}
	unblock("")
	if v.open(alone); v.back == "" {
		t.Errorf("it is still blocked: %d", v.status)
	}
	if r, err := w.Clients.BlockClient(t.Context(), &sessionsv1.BlockClientRequest{Client: "https://agent.example", IdempotencyKey: rand.Text()}); err == nil {
		t.Errorf("what can be no client is blocked: %v", r)
	}
}

// testPublishedNone: what describes no client is none, and people are told why.
func testPublishedNone(t *testing.T, w *world, p *publisher) {
	v := w.visitor(t)
	redirects := args{"redirect_uris": []string{w.callback()}}
	for path, changes := range map[string]args{
		"/secret.json": {"token_endpoint_auth_method": "client_secret_basic"}, "/another.json": {"client_id": p.URL + "/agent.json"},
		"/script.json": {"redirect_uris": []string{"javascript://a/"}}, "/keys.json": {"jwks_uri": p.URL + "/keys"},
	} {
		maps.Copy(redirects, changes)
		id := p.client(path, redirects)
		delete(redirects, "client_id")
		v.open(w.authorizeURL(w.request(application{id: id})))
		if v.back != "" || v.status != http.StatusBadRequest || !strings.Contains(v.body, "document is refused") {
			t.Errorf("%s: %d %q\n%s", path, v.status, v.back, v.body)
		}
		w.redeem(t, application{id: id}, "mco_x").refused(t, http.StatusUnauthorized, "invalid_client")
	}
	for _, id := range []string{
		p.URL + "/nothing.json", strings.Replace(p.URL, "127.0.0.1", "localhost", 1) + "/agent.json", "https://10.0.0.1/agent.json", "https://[fd00::1]/agent.json",
		p.URL + "/agent.json?a=1", p.URL, "http://127.0.0.1/agent.json",
	} {
		v.open(w.authorizeURL(w.request(application{id: id})))
		if v.back != "" || v.status != http.StatusBadRequest {
			t.Errorf("%s: %d %q", id, v.status, v.back)
		}
	}
}
