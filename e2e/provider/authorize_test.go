package provider_test

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

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

func testRequestObjects(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"scope":"admin"}`)) + "."
	v.open(w.authorizeURL(w.request(a, "request", unsigned)))
	w.told(t, v, "unsigned", "request_not_supported")
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
	if v.back != "" || !strings.Contains(v.body, `name="email_code"`) { // then a second factor is enrolled, see TestEnrolment
		t.Errorf("more than the user can prove: called back at %q, page %d %s", v.back, v.status, v.body)
	}
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
	// Who takes on the account page what was given is asked again.
	back, _ := url.Parse(v.back)
	w.redeem(t, a, back.Query().Get("code"))
	v.open(w.issuer + "/account")
	for _, g := range regexp.MustCompile(`value="(gnt_[^"]+)"`).FindAllStringSubmatch(v.body, -1) {
		v.post("/account/revoke", url.Values{"id": {g[1]}}, w.issuer)
	}
	v.open(w.authorizeURL(w.request(a, "prompt", "none")))
	w.told(t, v, "agreed no more", "consent_required")
}

// Who may be anybody does not fill the database: what is kept for an address without a
// proof is bounded, and a client's proof is one.
func TestAnonymousRequests(t *testing.T) {
	w := startWith(t, harness.ProviderOptions{Server: "  limits:\n    anonymous: {per_second: 0.001, burst: 3}\n"})
	public, confidential := w.app1(t, none), w.app1(t, basic)
	v := w.visitor(t)
	for range 2 {
		v.open(w.authorizeURL(w.request(confidential)))
		if v.status != http.StatusOK {
			t.Fatalf("answer %d %s", v.status, v.body)
		}
	}
	push := w.request(public)
	if r := w.post(t, application{id: public.id}, "/oauth2/par", push); r.status != http.StatusCreated {
		t.Fatalf("answer %d %s", r.status, r.text)
	}
	w.post(t, application{id: public.id}, "/oauth2/par", push).refused(t, http.StatusTooManyRequests, "slow_down")
	if r := w.post(t, confidential, "/oauth2/par", w.request(confidential)); r.status != http.StatusCreated {
		t.Errorf("answer %d %s", r.status, r.text)
	}
	v.open(w.authorizeURL(w.request(confidential)))
	if v.status != http.StatusTooManyRequests || v.back != "" {
		t.Errorf("answer %d, called back at %q", v.status, v.back)
	}
	v.open(w.issuer + "/device")
	if v.status != http.StatusOK {
		t.Errorf("pages that keep nothing: answer %d", v.status)
	}
}

// What somebody agrees to is for one organization.
func testConsentOfOrganizations(t *testing.T, w *world, _ application) {
	user := w.user(t, "joan@example.com")
	for _, slug := range []string{"umbrella", "hooli"} {
		made, err := w.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: slug, Name: slug, IdempotencyKey: rand.Text()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Memberships.AddMember(t.Context(), &identityv1.AddMemberRequest{
			Organization: made.GetOrganization().GetId(), User: user, IdempotencyKey: rand.Text(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s := w.settings(basic)
	s.OrganizationRequired, s.ConsentRequired = true, true
	id, secret := w.client(t, s)
	a := application{id, secret}
	v := w.visitor(t)
	v.open(w.authorizeURL(w.request(a, "organization", "umbrella")))
	v.signIn("joan@example.com")
	if !strings.Contains(v.body, "umbrella") {
		t.Errorf("the page does not say for which organization: %s", v.body)
	}
	v.send("decision", "allow")
	if !strings.Contains(v.back, "code=") {
		t.Fatalf("agreed, and called back at %q", v.back)
	}
	v.open(w.authorizeURL(w.request(a, "organization", "hooli", "prompt", "none")))
	w.told(t, v, "agreed for another organization", "consent_required")
	v.open(w.authorizeURL(w.request(a, "organization", "umbrella", "prompt", "none")))
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
