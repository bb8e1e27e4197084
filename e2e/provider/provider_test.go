// Package provider_test signs people in to other companies' clients: a real browser at
// the provider's own pages, and clients that others wrote.
package provider_test

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/e2e/harness"
	"github.com/meridian-iam/meridian/pkg/browsertest"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	"github.com/meridian-iam/meridian/pkg/secret"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

const password = "correct horse battery staple"

// world is a deployment with the provider, an application's callback, and a browser.
type world struct {
	*meridian.Client

	t *testing.T

	// issuer is the provider's, and url where the API is.
	issuer, url string
	deployment  *harness.Deployment
	database    *harness.Database
	nats        *harness.NATS
	node        *harness.Node
	mail        *harness.MailServer
	app         *httptest.Server
	token       secret.String // the platform's
	// browser is opened for the first who needs one.
	browser *browsertest.Browser
}

// start starts a world, whose provider is an issuer at other hosts, too.
func start(t *testing.T, hosts ...string) *world {
	t.Helper()
	return startWith(t, harness.ProviderOptions{Hosts: hosts})
}

// startWith starts a world with what its provider has beside what each has.
func startWith(t *testing.T, o harness.ProviderOptions) *world {
	t.Helper()
	w := &world{t: t, mail: harness.StartMailServer(t)}
	d := harness.StartDeployment(t)
	node := d.Provider(t, "node", w.mail, o)
	node.Start(t)
	w.token = secret.NewString(d.Token)
	w.deployment, w.database, w.nats, w.node = d, d.Database, d.NATS, node
	w.issuer, w.url, w.Client = node.Issuer(), node.URL(), node.Client(d.Token)
	w.app = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = r.ParseForm()
		_, _ = rw.Write([]byte(`<!doctype html><title>App</title><h1 id="arrived">` + r.Method + `</h1>`))
	}))
	t.Cleanup(w.app.Close)
	return w
}

// events is how many the logs have.
func (w *world) events(t *testing.T) (number int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.database.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM log.events`).Scan(&number); err != nil {
		t.Fatal(err)
	}
	return number
}

func (w *world) callback() string { return w.app.URL + "/callback" }

// settings are those of a client that may do what most do.
func (w *world) settings(method sessionsv1.ClientAuthentication) *sessionsv1.ClientSettings {
	return &sessionsv1.ClientSettings{
		Name: "Example Shop", Authentication: method,
		GrantTypes: []sessionsv1.GrantType{
			sessionsv1.GrantType_GRANT_TYPE_AUTHORIZATION_CODE, sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN,
		},
		RedirectUris: []string{w.callback()}, PostLogoutRedirectUris: []string{w.app.URL + "/goodbye"},
		Scopes: []string{"openid", "profile", "email", "offline_access"},
	}
}

// client makes a client of the platform.
func (w *world) client(t *testing.T, s *sessionsv1.ClientSettings) (id, secret string) {
	t.Helper()
	made, err := w.Clients.CreateClient(t.Context(), &sessionsv1.CreateClientRequest{Settings: s, IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetClient().GetId(), made.GetSecret()
}

// user makes a user with a password.
func (w *world) user(t *testing.T, email string) string {
	t.Helper()
	made, err := w.Users.CreateUser(t.Context(), &identityv1.CreateUserRequest{
		Email: email, EmailVerified: true, Name: "Ada Lovelace", IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Credentials.SetPassword(t.Context(), &identityv1.SetPasswordRequest{
		User: made.GetUser().GetId(), Secret: &identityv1.SetPasswordRequest_Password{Password: password}, IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetUser().GetId()
}

// person is somebody at a browser.
type person struct {
	*browsertest.Page

	t *testing.T
	w *world
}

func (w *world) person(t *testing.T) person {
	t.Helper()
	if w.browser == nil {
		w.browser = browsertest.Open(w.t)
	}
	return person{Page: w.browser.Page(t), t: t, w: w}
}

// send clicks a button that leads to another page, and waits for that.
func (p person) send(button string) {
	p.t.Helper()
	p.Eval("document.documentElement.id = 'before'", nil)
	p.Click(button)
	p.Wait("html:not(#before) h1")
}

// signIn proves who one is, by password, at the page that asks.
func (p person) signIn(email string) {
	p.t.Helper()
	p.Wait("input[name=email]")
	p.Fill("input[name=email]", email)
	p.send("#continue")
	p.Fill("input[name=password]", password)
	p.send("#continue")
}

// arrived is the URL at which the application is called back.
func (p person) arrived() string {
	p.t.Helper()
	p.Wait("#arrived")
	return p.URL()
}

// TestBrowser: a browser and a client of others go through the flows.
func TestBrowser(t *testing.T) {
	w := start(t)
	user := w.user(t, "ada@example.com")
	for name, test := range map[string]func(*testing.T, *world, string){
		"code flow": testCodeFlow, "DPoP": testProof, "logout": testBrowserLogout, "form_post": testFormPost,
	} {
		t.Run(name, func(t *testing.T) { test(t, w, user) })
	}
}

func testCodeFlow(t *testing.T, w *world, user string) {
	id, secret := w.client(t, w.settings(sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_BASIC))
	rp := openRelyingParty(t)
	rp.do(t, "discover", args{"issuer": w.issuer, "client": id, "secret": secret, "auth": "basic"})
	p := w.person(t)

	begin := rp.do(t, "start", args{"redirect": w.callback(), "scope": "openid profile email"})
	p.Goto(text(t, begin, "url"))
	p.signIn("ada@example.com")
	back := p.arrived()
	given := rp.do(t, "callback", args{"url": back})
	claims, _ := given["claims"].(map[string]any)
	if claims["sub"] != user || claims["acr"] != "aal1" || !strings.HasPrefix(text(t, claims, "sid"), "ses_") {
		t.Errorf("the ID token says %v", claims)
	}

	info := rp.do(t, "userinfo", args{"token": given["access_token"], "subject": user})
	if info["email"] != "ada@example.com" || info["name"] != "Ada Lovelace" || !is(info, "email_verified") {
		t.Errorf("userinfo says %v", info)
	}
	if said := rp.do(t, "introspect", args{"token": given["access_token"]}); !is(said, "active") || said["sub"] != user {
		t.Errorf("introspection says %v", said)
	}

	// Signed in already: no page asks.
	again := rp.do(t, "start", args{"redirect": w.callback(), "scope": "openid"})
	p.Goto(text(t, again, "url"))
	rp.do(t, "callback", args{"url": p.arrived()})

	// The grace gives the same successor; after its first use the token before it is theft.
	first := text(t, given, "refresh_token")
	second := rp.do(t, "refresh", args{"token": first})
	repeated := rp.do(t, "refresh", args{"token": first})
	if second["refresh_token"] != repeated["refresh_token"] {
		t.Error("a repeated refresh has another successor")
	}
	third := rp.do(t, "refresh", args{"token": second["refresh_token"]})
	rp.refused(t, "refresh", args{"token": first}, "invalid_grant")
	rp.refused(t, "refresh", args{"token": third["refresh_token"]}, "invalid_grant")
	w.inactive(t, application{id, secret}, text(t, third, "access_token"))
	rp.refused(t, "userinfo", args{"token": third["access_token"], "subject": user}, "OAUTH_WWW_AUTHENTICATE_CHALLENGE")
}

// testProof: tokens that are bound to a key, by a client of others that makes the proofs.
func testProof(t *testing.T, w *world, user string) {
	public := w.settings(sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE)
	public.DpopRequired = true
	id, _ := w.client(t, public)
	rp := openRelyingParty(t)
	rp.do(t, "discover", args{"issuer": w.issuer, "client": id, "auth": "none", "dpop": true})
	p := w.person(t)
	begin := rp.do(t, "start", args{"redirect": w.callback(), "scope": "openid profile offline_access", "par": true})
	if !strings.Contains(text(t, begin, "url"), "request_uri=urn") {
		t.Errorf("the request was not pushed: %v", begin)
	}
	p.Goto(text(t, begin, "url"))
	p.signIn("ada@example.com")
	given := rp.do(t, "callback", args{"url": p.arrived()})
	if given["token_type"] != "dpop" {
		t.Errorf("the token is of type %v", given["token_type"])
	}
	if info := rp.do(t, "userinfo", args{"token": given["access_token"], "subject": user}); info["name"] != "Ada Lovelace" {
		t.Errorf("userinfo says %v", info)
	}
	second := rp.do(t, "refresh", args{"token": given["refresh_token"]})
	rp.do(t, "userinfo", args{"token": second["access_token"], "subject": user})

	// O15: without the key they are worth nothing, as bearer tokens neither.
	a := application{id: id}
	w.refresh(t, a, text(t, second, "refresh_token")).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
	for _, scheme := range []string{"Bearer", "DPoP"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.issuer+"/oauth2/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", scheme+" "+text(t, second, "access_token"))
		if r := send(t, req); r.status != http.StatusUnauthorized || !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "DPoP ") {
			t.Errorf("as %s without a proof: %d %q", scheme, r.status, r.header.Get("WWW-Authenticate"))
		}
	}
	thief := openRelyingParty(t)
	thief.do(t, "discover", args{"issuer": w.issuer, "client": id, "auth": "none", "dpop": true})
	thief.refused(t, "refresh", args{"token": second["refresh_token"]}, "invalid_grant")
	// There is no grace for a token that is bound: used twice, the family ends.
	rp.refused(t, "refresh", args{"token": given["refresh_token"]}, "invalid_grant")
	rp.refused(t, "refresh", args{"token": second["refresh_token"]}, "invalid_grant")
}

// testBrowserLogout: the browser is led back to the application, and nobody is signed in.
func testBrowserLogout(t *testing.T, w *world, _ string) {
	id, secret := w.client(t, w.settings(sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_POST))
	rp := openRelyingParty(t)
	rp.do(t, "discover", args{"issuer": w.issuer, "client": id, "secret": secret, "auth": "post", "by": "oauth2"})
	p := w.person(t)
	p.Goto(text(t, rp.do(t, "start", args{"redirect": w.callback(), "scope": "openid"}), "url"))
	p.signIn("ada@example.com")
	given := rp.do(t, "callback", args{"url": p.arrived()})
	end := rp.do(t, "logout", args{"more": args{
		"id_token_hint": given["id_token"], "post_logout_redirect_uri": w.app.URL + "/goodbye", "state": "s",
	}})
	p.Goto(text(t, end, "url"))
	if got := p.arrived(); got != w.app.URL+"/goodbye?state=s" {
		t.Errorf("logout leads to %q", got)
	}
	p.Goto(text(t, rp.do(t, "start", args{"redirect": w.callback(), "scope": "openid"}), "url"))
	p.Wait("input[name=email]")
	rp.refused(t, "refresh", args{"token": given["refresh_token"]}, "invalid_grant")
}

// testFormPost: the answer comes in a form, which a script submits where there is one.
func testFormPost(t *testing.T, w *world, _ string) {
	id, secret := w.client(t, w.settings(sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_BASIC))
	rp := openRelyingParty(t)
	rp.do(t, "discover", args{"issuer": w.issuer, "client": id, "secret": secret, "auth": "basic"})
	p := w.person(t)
	p.Goto(text(t, rp.do(t, "start", args{"redirect": w.callback(), "scope": "openid", "more": args{"response_mode": "form_post"}}), "url"))
	p.signIn("ada@example.com")
	p.arrived()
	if got := p.Text("#arrived"); got != http.MethodPost {
		t.Errorf("the answer came by %s", got)
	}
}
