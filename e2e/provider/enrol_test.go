package provider_test

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// TestEnrolment: people add what they sign in with, on the account page and where a
// second factor is asked for that they do not have.
func TestEnrolment(t *testing.T) {
	w := start(t)
	a := w.app1(t, basic)
	for name, test := range map[string]func(*testing.T, *world, application){
		"account": testOwnAccount, "required": testRequired, "a letter and an app": testLetterAndApp, "another password": testAnotherPassword, "a first password": testRequiredWithoutPassword,
		"an organization": testRequiredByOrganization, "not now": testNotNow,
		"O40 a password alone": testEnrolByPassword, "O41 a second factor is there": testEnrolBeside,
		"O42 another site's page": testEnrolAcross, "O43 another's enrolment": testEnrolOfAnother,
	} {
		t.Run(name, func(t *testing.T) { test(t, w, a) })
	}
}

// kinds are what a user has, in order.
func (w *world) kinds(t *testing.T, user string) string {
	t.Helper()
	listed, err := w.Credentials.ListCredentials(t.Context(), &identityv1.ListCredentialsRequest{User: user})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range listed.GetCredentials() {
		out = append(out, strings.ToLower(strings.TrimPrefix(c.GetKind().String(), "CREDENTIAL_KIND_")))
	}
	return strings.Join(out, " ")
}

func appKey(t *testing.T, shown string) []byte {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(shown, " ", ""))
	if err != nil || len(key) < 16 {
		t.Fatalf("the page shows no secret: %v", err)
	}
	return key
}

// toAccount begins at a page and ends at the account page.
func (p person) toAccount() {
	p.t.Helper()
	p.WaitURL(p.w.issuer + "/account")
	p.Wait("#credentials")
}

func (p person) signOut() {
	p.t.Helper()
	p.Goto(p.w.issuer + "/oauth2/logout")
	p.send("#continue")
}

// testOwnAccount: somebody signs up, and adds an app, a passkey and recovery codes, and gets
// in with each.
func testOwnAccount(t *testing.T, w *world, _ application) {
	const email = "hedy@example.com"
	p := w.person(t)
	p.Goto(w.issuer + "/sign-up")
	p.Fill("#email", email)
	p.send("#continue")
	p.Fill("#email_code", w.letterCode(t, email, 1))
	p.send("#continue")
	p.Fill("#new_password", password)
	p.send("#continue")
	p.Fill("#name", "Hedy")
	p.send("#continue")
	p.toAccount()

	p.send("#add-totp")
	p.send("#continue")
	p.Wait("svg#qr path")
	key := appKey(t, p.Text("#secret"))
	p.Fill("#totp", "000000")
	p.send("#continue")
	p.Wait("#problem")
	if again := appKey(t, p.Text("#secret")); string(again) != string(key) {
		t.Error("a wrong code changes the secret")
	}
	p.Fill("#totp", totp(key, time.Now()))
	p.send("#continue")
	p.toAccount()
	p.signOut()

	p.Goto(w.issuer + "/sign-in")
	p.signIn(email)
	p.Wait("#totp")
	p.Fill("#totp", totp(key, time.Now().Add(30*time.Second)))
	p.send("#continue")
	p.toAccount()

	device := p.addAuthenticator()
	p.send("#add-passkey")
	p.send("#continue")
	p.Click("#continue")
	p.toAccount()
	p.send("#add-passkey")
	p.send("#continue")
	p.Click("#continue")
	p.Wait("#passkey-problem:has-text('has a passkey')")

	p.Goto(w.issuer + "/account")
	p.send("#recovery-codes")
	p.send("#continue")
	code := p.Text("#codes li:first-child code")
	p.signOut()

	// The browser offers the passkey, and takes it at once.
	p.Goto(w.issuer + "/sign-in")
	p.toAccount()
	p.signOut()

	p.CDP("WebAuthn.removeVirtualAuthenticator", map[string]any{"authenticatorId": device}, nil)
	p.Goto(w.issuer + "/sign-in")
	p.signIn(email)
	p.send("#way-recovery_code")
	p.Fill("#recovery_code", code)
	p.send("#continue")
	p.toAccount()
	if got := p.Errors(); len(got) > 0 {
		t.Errorf("errors of the pages: %q", got)
	}
}

var secretShown = regexp.MustCompile(`<code id="secret">([A-Z2-7 ]+)</code>`)

// addApp adds an authenticator app at the page that is open, for a request or for none.
func (v *visitor) addApp() (key []byte) {
	v.t.Helper()
	v.beginApp()
	found := secretShown.FindStringSubmatch(v.body)
	if found == nil {
		v.t.Fatalf("%s (%d) shows no secret:\n%s", v.at, v.status, v.body)
	}
	key = appKey(v.t, found[1])
	v.send("totp", totp(key, time.Now()))
	return key
}

// beginApp asks for the secret of an app, as the form of the first page does.
func (v *visitor) beginApp() {
	v.t.Helper()
	fields := url.Values{}
	if request := v.at.Query().Get("request"); request != "" {
		fields.Set("request", request)
	}
	v.post("/account/totp", fields, v.w.issuer)
}

// demand is a visitor of whom an application asks for more than a password, and who has
// given that.
func (w *world) demand(t *testing.T, a application, email string) *visitor {
	t.Helper()
	v := w.visitor(t)
	v.open(w.authorizeURL(w.request(a, "acr_values", "aal2")))
	v.signIn(email)
	return v
}

// testRequired: the address is proved, an app is added and used, and the application is
// called back.
func testRequired(t *testing.T, w *world, a application) {
	user := w.user(t, "need@example.com")
	v := w.demand(t, a, "need@example.com")
	request := v.at.Query().Get("request")
	v.send("email_code", w.letterCode(t, "need@example.com", 1))
	if v.at.Path != "/enrol" || !strings.Contains(v.body, "/account/totp?request=") {
		t.Fatalf("at %s, %d:\n%s", v.at, v.status, v.body)
	}
	v.open(w.issuer + "/account/totp?request=" + url.QueryEscape(request))
	if v.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q", v.header.Get("Cache-Control"))
	}
	key := v.addApp()
	if v.back != "" || v.at.Path != "/sign-in/prove" {
		t.Fatalf("an app that was added is not used: at %s, back %q:\n%s", v.at, v.back, v.body)
	}
	v.send("totp", totp(key, time.Now().Add(30*time.Second)))
	back, err := url.Parse(v.back)
	if err != nil || back.Query().Get("code") == "" {
		t.Fatalf("called back at %q, page %d %s", v.back, v.status, v.body)
	}
	r := w.redeem(t, a, back.Query().Get("code"))
	if said := w.post(t, a, "/oauth2/introspect", url.Values{"token": {r.str("access_token")}}); said.str("acr") != "aal2" {
		t.Errorf("the token says %s", said.text)
	}
	if got := w.kinds(t, user); got != "password totp" {
		t.Errorf("the user has %s", got)
	}
}

// testRequiredByOrganization: in a browser, a passkey is added and used because an
// organization asks for a second factor.
func testRequiredByOrganization(t *testing.T, w *world, a application) {
	const email = "strict@example.com"
	user := w.user(t, email)
	organization := w.strictOrganization(t, "strict", user)
	p := w.person(t)
	p.Goto(w.authorizeURL(w.request(a, "organization", "strict")))
	p.signIn(email)
	p.Fill("#email_code", w.letterCode(t, email, 1))
	p.send("#continue")
	p.addAuthenticator()
	p.send("#add-passkey")
	p.send("#continue")
	p.Click("#continue")
	p.WaitURL(w.issuer + "/sign-in/prove")
	p.Wait("#passkey-form")
	p.Click("#continue")
	back, err := url.Parse(p.arrived())
	if err != nil {
		t.Fatal(err)
	}
	r := w.redeem(t, a, back.Query().Get("code"))
	said := w.post(t, a, "/oauth2/introspect", url.Values{"token": {r.str("access_token")}})
	if said.str("org") != organization || said.str("acr") != "aal2" {
		t.Errorf("the token says %s", said.text)
	}
	if got := p.Errors(); len(got) > 0 {
		t.Errorf("errors of the pages: %q", got)
	}
}

// addAuthenticator gives the page's user a device that verifies its user.
func (p person) addAuthenticator() (device string) {
	p.t.Helper()
	p.CDP("WebAuthn.enable", nil, nil)
	var made struct {
		ID string `json:"authenticatorId"`
	}
	p.CDP("WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{
		"protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
		"isUserVerified": true, "automaticPresenceSimulation": true,
	}}, &made)
	return made.ID
}

// testLetterAndApp: an app beside letters is a second factor, to an organization and on the
// account page, though no aal2: a mailbox is no authenticator.
func testLetterAndApp(t *testing.T, w *world, a application) {
	const email = "letters@example.com"
	v := w.visitor(t)
	v.open(w.authorizeURL(w.request(a, "prompt", "create")))
	v.send("email", email)
	v.send("email_code", w.letterCode(t, email, 1))
	v.post("/sign-in/way", url.Values{"request": {v.at.Query().Get("request")}, "factor": {"no_password"}}, w.issuer)
	v.send("name", "Letters")
	v.open(w.issuer + "/account/totp")
	key := v.addApp()
	v.open(w.issuer + "/account/recovery-codes")
	if v.at.Path != "/sign-in/prove" || !strings.Contains(v.body, `name="totp"`) || strings.Contains(v.body, `name="email_code"`) {
		t.Fatalf("an app that was added is not asked for: at %s, %d\n%s", v.at, v.status, v.body)
	}
	v.send("totp", totp(key, time.Now().Add(30*time.Second)))
	if v.at.Path != "/account/recovery-codes" || v.status != http.StatusOK {
		t.Fatalf("at %s, %d:\n%s", v.at, v.status, v.body)
	}

	found, err := w.Users.FindUser(t.Context(), &identityv1.FindUserRequest{Email: email})
	if err != nil {
		t.Fatal(err)
	}
	organization := w.strictOrganization(t, "careful", found.GetUser().GetId())
	v.open(w.authorizeURL(w.request(a, "organization", "careful")))
	back, err := url.Parse(v.back)
	if err != nil || back.Query().Get("code") == "" {
		t.Fatalf("called back at %q, page %d %s", v.back, v.status, v.body)
	}
	r := w.redeem(t, a, back.Query().Get("code"))
	said := w.post(t, a, "/oauth2/introspect", url.Values{"token": {r.str("access_token")}})
	if said.str("org") != organization || said.str("acr") != "aal1" || fmt.Sprint(claims(t, r.str("id_token"))["amr"]) != "[otp mfa]" {
		t.Errorf("the token says %s, and %v", said.text, claims(t, r.str("id_token"))["amr"])
	}
	v.open(w.authorizeURL(w.request(a, "acr_values", "aal2", "prompt", "none")))
	w.told(t, v, "aal2 of an app beside letters", "interaction_required")
}

// testAnotherPassword: who sets another password goes on, and is signed out elsewhere.
func testAnotherPassword(t *testing.T, w *world, a application) {
	const email, another = "changes@example.com", "quite another correct horse"
	w.user(t, email)
	elsewhere, v := w.visitor(t), w.visitor(t)
	refresh := w.redeem(t, a, w.code(t, elsewhere, w.request(a, "scope", "openid"), email)).str("refresh_token")
	w.code(t, v, w.request(a), email)
	v.open(w.issuer + "/account/password")
	v.send("email_code", w.letterCode(t, email, 1))
	if v.at.Path != "/account/password" || !strings.Contains(v.body, "signed out in all other browsers") {
		t.Fatalf("at %s, %d:\n%s", v.at, v.status, v.body)
	}
	v.send("new_password", another)
	if v.at.Path != "/account" {
		t.Fatalf("at %s, %d:\n%s", v.at, v.status, v.body)
	}
	elsewhere.open(w.authorizeURL(w.request(a, "prompt", "none")))
	w.told(t, elsewhere, "signed in with the password before", "login_required")
	w.refresh(t, a, refresh).refused(t, http.StatusBadRequest, "invalid_grant")
	v.open(w.authorizeURL(w.request(a, "prompt", "none")))
	if !strings.Contains(v.back, "code=") {
		t.Errorf("who set the password is out, too: %q", v.back)
	}
}

// strictOrganization is one that asks for a second factor, with a member.
func (w *world) strictOrganization(t *testing.T, slug, user string) string {
	t.Helper()
	made, err := w.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: slug, Name: slug, IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	organization := made.GetOrganization().GetId()
	if _, err := w.Memberships.AddMember(t.Context(), &identityv1.AddMemberRequest{Organization: organization, User: user, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Organizations.UpdateOrganization(t.Context(), &identityv1.UpdateOrganizationRequest{
		Organization: organization, Settings: &identityv1.OrganizationSettings{RequireSecondFactor: true}, IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return organization
}

// testNotNow: who adds nothing goes back, and the application is told.
func testNotNow(t *testing.T, w *world, a application) {
	w.user(t, "later@example.com")
	v := w.demand(t, a, "later@example.com")
	v.send("email_code", w.letterCode(t, "later@example.com", 1))
	v.post("/enrol", url.Values{"request": {v.at.Query().Get("request")}}, w.issuer)
	w.told(t, v, "not now", "unmet_authentication_requirements")
}

// testRequiredWithoutPassword: who signs in by mail sets a password first.
func testRequiredWithoutPassword(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	v.open(w.authorizeURL(w.request(a, "prompt", "create", "acr_values", "aal2")))
	v.send("email", "plain@example.com")
	v.send("email_code", w.letterCode(t, "plain@example.com", 1))
	v.post("/sign-in/way", url.Values{"request": {v.at.Query().Get("request")}, "factor": {"no_password"}}, w.issuer)
	v.send("name", "Plain")
	request := v.at.Query().Get("request")
	if v.at.Path != "/enrol" || strings.Contains(v.body, "/account/totp") {
		t.Fatalf("at %s, %d:\n%s", v.at, v.status, v.body)
	}
	v.open(w.issuer + "/account/password?request=" + url.QueryEscape(request))
	v.send("new_password", "short")
	if !strings.Contains(v.body, `id="problem"`) {
		t.Errorf("a short password is taken: %s", v.body)
	}
	v.send("new_password", password)
	if v.at.Path != "/enrol" || !strings.Contains(v.body, "/account/totp") {
		t.Fatalf("at %s, %d:\n%s", v.at, v.status, v.body)
	}
}

// testEnrolByPassword: whoever has only the password of somebody without a second factor
// gets none, and no further than before.
func testEnrolByPassword(t *testing.T, w *world, a application) {
	user := w.user(t, "victim@example.com")
	v := w.demand(t, a, "victim@example.com")
	request := v.at.Query().Get("request")
	if !strings.Contains(v.body, `name="email_code"`) {
		t.Fatalf("the address is not asked for:\n%s", v.body)
	}
	v.post("/sign-in/prove", url.Values{"request": {request}, "factor": {"password"}, "password": {password}}, w.issuer)
	for _, of := range []url.Values{{"request": {request}}, {}} {
		for _, path := range []string{"/account/totp", "/account/passkey", "/account/recovery-codes", "/account/password", "/enrol"} {
			v.open(w.issuer + path + "?" + of.Encode())
			if v.back != "" || !strings.HasPrefix(v.at.Path, "/sign-in") && v.at.Path != "/account" {
				t.Errorf("%s %v: at %s, back %q", path, of, v.at, v.back)
			}
			if path == "/enrol" {
				continue
			}
			v.post(path, of, w.issuer)
			if v.back != "" || !strings.HasPrefix(v.at.Path, "/sign-in") || secretShown.MatchString(v.body) {
				t.Errorf("POST %s %v: at %s, back %q", path, of, v.at, v.back)
			}
		}
	}
	if got := w.kinds(t, user); got != "password" {
		t.Errorf("the user has %s", got)
	}
}

// testEnrolBeside: whoever has the password of somebody with a passkey, which sign-ins do
// not ask for, adds and removes nothing.
func testEnrolBeside(t *testing.T, w *world, _ application) {
	const email = "beside@example.com"
	p := w.person(t)
	user := w.user(t, email)
	p.Goto(w.issuer + "/account/passkey")
	p.signIn(email)
	// Back at the page: the address is proved, and the passkey added.
	p.Fill("#email_code", w.letterCode(t, email, 1))
	p.send("#continue")
	p.WaitURL(w.issuer + "/account/passkey")
	p.addAuthenticator()
	p.send("#continue")
	p.Click("#continue")
	p.toAccount()

	v := w.visitor(t)
	v.open(w.issuer + "/sign-in")
	v.signIn(email)
	if v.at.Path != "/account" {
		t.Fatalf("at %s:\n%s", v.at, v.body)
	}
	listed, err := w.Credentials.ListCredentials(t.Context(), &identityv1.ListCredentialsRequest{User: user})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range listed.GetCredentials() {
		v.post("/account/revoke", url.Values{"id": {c.GetId()}}, w.issuer)
		if !strings.HasPrefix(v.at.Path, "/sign-in") || !strings.Contains(v.body, "passkey-form") {
			t.Errorf("at %s:\n%s", v.at, v.body)
		}
	}
	for _, path := range []string{"/account/totp", "/account/passkey", "/account/recovery-codes", "/account/password"} {
		v.post(path, url.Values{"new_password": {"another correct horse battery"}}, w.issuer)
		if !strings.HasPrefix(v.at.Path, "/sign-in") || !strings.Contains(v.body, "passkey-form") {
			t.Errorf("%s: at %s:\n%s", path, v.at, v.body)
		}
	}
	if got := w.kinds(t, user); got != "password passkey" {
		t.Errorf("the user has %s", got)
	}
}

// enrolling is a visitor who may add to the own account.
func (w *world) enrolling(t *testing.T, email string) (v *visitor, user string) {
	t.Helper()
	user, v = w.user(t, email), w.visitor(t)
	v.open(w.issuer + "/account/totp")
	v.signIn(email)
	v.send("email_code", w.letterCode(t, email, 1))
	if v.at.Path != "/account/totp" || v.status != http.StatusOK {
		t.Fatalf("at %s, %d:\n%s", v.at, v.status, v.body)
	}
	return v, user
}

func testEnrolAcross(t *testing.T, w *world, _ application) {
	v, user := w.enrolling(t, "across@example.com")
	for _, path := range []string{"/account/totp", "/account/passkey", "/account/recovery-codes", "/account/password"} {
		v.post(path, url.Values{"new_password": {"another correct horse battery"}}, "https://evil.example")
		if v.status != http.StatusForbidden {
			t.Errorf("%s: %d", path, v.status)
		}
	}
	if got := w.kinds(t, user); got != "password" {
		t.Errorf("the user has %s", got)
	}
}

// testEnrolOfAnother: what somebody else began is not confirmed in one's own name, nor
// the other way round.
func testEnrolOfAnother(t *testing.T, w *world, _ application) {
	one, first := w.enrolling(t, "one@example.com")
	other, second := w.enrolling(t, "other@example.com")
	one.beginApp()
	key := appKey(t, secretShown.FindStringSubmatch(one.body)[1])
	begun := one.find("totp").fields
	begun.Set("totp", totp(key, time.Now()))
	other.post("/account/totp", begun, w.issuer)
	if !strings.Contains(other.body, `id="problem"`) || strings.Contains(other.body, secretShown.FindStringSubmatch(one.body)[1]) {
		t.Errorf("at %s:\n%s", other.at, other.body)
	}
	for _, user := range []string{first, second} {
		if got := w.kinds(t, user); got != "password" {
			t.Errorf("a user has %s", got)
		}
	}
	one.post("/account/totp", begun, w.issuer)
	if got := w.kinds(t, first); one.at.Path != "/account" || got != "password totp" {
		t.Errorf("at %s, and the user has %s", one.at, got)
	}
}
