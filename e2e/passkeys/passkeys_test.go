// Package passkeys_test signs people in as they do it: in a real browser, at the
// pages of a product that calls Meridian.
package passkeys_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
	"github.com/meridian-iam/meridian/pkg/browsertest"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// fixture is a deployment, a product's pages, and a browser.
type fixture struct {
	client  *meridian.Client
	site    *site
	mail    *harness.MailServer
	browser *browsertest.Browser
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{site: startSite(t), mail: harness.StartMailServer(t)}
	d := harness.StartDeployment(t)
	node := d.Node(t, "node", f.mail.Identity(t, "Example Shop", f.site.URL))
	node.Start(t)
	f.client = node.Client(d.Token)
	f.site.client = f.client
	f.browser = browsertest.Open(t)
	return f
}

// user makes a user, with a password unless that is empty.
func (f *fixture) user(t *testing.T, email, password string) string {
	t.Helper()
	made, err := f.client.Users.CreateUser(t.Context(), &identityv1.CreateUserRequest{
		Email: email, EmailVerified: true, Name: "Somebody", IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if password != "" {
		_, err = f.client.Credentials.SetPassword(t.Context(), &identityv1.SetPasswordRequest{
			User: made.GetUser().GetId(), Secret: &identityv1.SetPasswordRequest_Password{Password: password}, IdempotencyKey: rand.Text(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return made.GetUser().GetId()
}

// person is at a page.
type person struct {
	*browsertest.Page
	t    *testing.T
	site *site
}

func (f *fixture) person(t *testing.T) person {
	t.Helper()
	return person{Page: f.browser.Page(t), t: t, site: f.site}
}

// begin says who one is, and how one wants in.
func (p person) begin(email, way string) {
	p.t.Helper()
	if status := p.Goto(p.site.URL + "/sign-in"); status != http.StatusOK {
		p.t.Fatalf("the page answers %d", status)
	}
	p.Fill("input[name=email]", email)
	p.send("button[value=" + way + "]")
}

// prove fills in a form, and sends it.
func (p person) prove(name, text string) {
	p.t.Helper()
	p.Fill("input[name="+name+"]", text)
	p.send("#continue")
}

// send clicks a button that leads to another page, and waits for that.
func (p person) send(button string) {
	p.t.Helper()
	p.Eval("document.documentElement.id = 'before'", nil)
	p.Click(button)
	p.Wait("html:not(#before) h1")
}

// signedIn waits until somebody is, and expects who and how.
func (p person) signedIn(user, acr, amr string) {
	p.t.Helper()
	p.WaitURL(p.site.URL + "/account")
	p.Wait("#user")
	if got := [3]string{p.Text("#user"), p.Text("#acr"), p.Text("#amr")}; got != [3]string{user, acr, amr} {
		p.t.Errorf("signed in as %q, want %s by %s with %s", got, user, acr, amr)
	}
}

// refused expects that a page says a reason.
func (p person) refused(want string) {
	p.t.Helper()
	const answer = ".reason:not(:empty), #user"
	p.Wait(answer)
	if got := p.Text(answer); got != want {
		p.t.Fatalf("the page says %s, want %s", got, want)
	}
}

// steal is what a page's cookies hold, by name.
func (p person) steal() map[string]string {
	p.t.Helper()
	var all struct {
		Cookies []struct{ Name, Value string } `json:"cookies"`
	}
	p.CDP("Network.getCookies", map[string]any{"urls": []string{p.site.URL}}, &all)
	out := map[string]string{}
	for _, c := range all.Cookies {
		out[c.Name] = c.Value
	}
	return out
}

// use puts a stolen cookie in place of an own one.
func (p person) use(name, value string) {
	p.t.Helper()
	p.CDP("Network.setCookie", map[string]any{"name": name, "value": value, "url": p.site.URL, "httpOnly": true, "secure": true}, nil)
	if p.steal()[name] != value {
		p.t.Fatalf("cookie %s is not set", name)
	}
}

func TestSignIn(t *testing.T) {
	f := start(t)
	t.Run("passkeys", f.testPasskeys)
	t.Run("an authentication is its browser's", f.testStolen)
	t.Run("links are for the browser that asked", f.testLink)
	t.Run("codes end after five wrong ones", f.testCode)
	t.Run("password and TOTP without scripts", f.testPlain)
}

func (f *fixture) testPasskeys(t *testing.T) {
	const email = "alice@example.com"
	alice := f.user(t, email, "")
	p := f.person(t)
	device := addAuthenticator(p)

	// She has nothing but her address, and adds a passkey.
	p.begin(email, "email_code")
	p.prove("email_code", code(t, f.mail.Letter(t, email, 1)))
	p.signedIn(alice, "aal1", "otp")
	p.Click("#add")
	p.Wait("#added:has-text('crd_')")
	c := f.passkey(t, alice)
	if c.GetId() != p.Text("#added") || c.GetPasskey().GetRpId() != "localhost" || c.GetPasskey().GetFlagged() || c.GetLastUsedAt() != nil {
		t.Errorf("registered %v", c)
	}
	clone := device.credential()

	// From now on she types nothing.
	for range 2 {
		p.Goto(f.site.URL + "/sign-in")
		p.Click("#passkey")
		p.signedIn(alice, "aal2", "hwk user mfa")
	}
	// Nor clicks: the browser offers the passkey where it would fill in the address.
	var offered bool
	p.Eval("PublicKeyCredential.isConditionalMediationAvailable()", &offered)
	if !offered {
		t.Error("the browser does not offer passkeys by itself")
	}
	p.Goto(f.site.URL + "/sign-in?autofill=yes")
	p.signedIn(alice, "aal2", "hwk user mfa")
	if got := p.Errors(); len(got) > 0 {
		t.Errorf("errors of the page: %q", got)
	}
	if count := device.credential()["signCount"].(float64); count <= clone["signCount"].(float64)+2 {
		t.Errorf("the counter went from %v to %v", clone["signCount"], count)
	}

	// Somebody copied it when it was new. Now it works in neither place.
	thief := f.person(t)
	addAuthenticator(thief).add(clone)
	for _, one := range []person{thief, p} {
		one.Goto(f.site.URL + "/sign-in")
		one.Click("#passkey")
		one.refused("AUTHENTICATION_REJECTED")
		if c := f.passkey(t, alice); !c.GetPasskey().GetFlagged() {
			t.Errorf("after the clone was used: %v", c)
		}
	}
	if got := f.events(t, alice)["meridian.identity.event.v1.PasskeyFlagged"]; got != 1 {
		t.Errorf("%d events say that it is flagged", got)
	}
}

// passkey is the only credential of a user.
func (f *fixture) passkey(t *testing.T, user string) *identityv1.Credential {
	t.Helper()
	all, err := f.client.Credentials.ListCredentials(t.Context(), &identityv1.ListCredentialsRequest{User: user})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(all.GetCredentials()); n != 1 || all.GetCredentials()[0].GetKind() != identityv1.CredentialKind_CREDENTIAL_KIND_PASSKEY {
		t.Fatalf("%d credentials: %v", n, all)
	}
	return all.GetCredentials()[0]
}

// events counts the events of a log by type.
func (f *fixture) events(t *testing.T, log string) map[string]int {
	t.Helper()
	stream, err := f.client.Logs.TailLog(t.Context(), &logv1.TailLogRequest{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	out := map[string]int{}
	for stream.Receive() {
		out[stream.Msg().GetEnvelope().GetType()]++
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Neither the id of an authentication nor its secret is of use without the other.
func (f *fixture) testStolen(t *testing.T) {
	const password = "orchard lantern quietly 42"
	bob := f.user(t, "bob@example.com", password)
	p, thief := f.person(t), f.person(t)
	p.begin("bob@example.com", "password")
	stolen := p.steal()
	if stolen[idCookie] == "" || stolen[secretCookie] == "" {
		t.Fatalf("cookies %v", stolen)
	}
	var seen string
	p.Eval("document.cookie", &seen)
	if seen != "" {
		t.Error("scripts of the page see cookies")
	}
	for _, name := range []string{idCookie, secretCookie} {
		thief.begin("thief@example.com", "password")
		thief.use(name, stolen[name])
		thief.prove("password", password)
		thief.refused("AUTHENTICATION_ENDED")
		thief.Goto(f.site.URL + "/account")
		thief.WaitURL(f.site.URL + "/sign-in")
	}
	// It cost him nothing.
	p.prove("password", password)
	p.signedIn(bob, "aal1", "pwd")

	// What is finished is over, for whoever has both.
	for name, value := range stolen {
		thief.use(name, value)
	}
	thief.Goto(f.site.URL + "/sign-in/link?token=x")
	thief.send("#continue")
	thief.refused("AUTHENTICATION_ENDED")
}

func (f *fixture) testLink(t *testing.T) {
	const email = "carol@example.com"
	carol := f.user(t, email, "")
	p, other := f.person(t), f.person(t)
	p.begin(email, "email_link")
	p.Wait("text=Look into your mail")
	link := regexp.MustCompile(`https?://\S+`).FindString(f.mail.Letter(t, email, 1))
	if !strings.HasPrefix(link, f.site.URL+"/sign-in/link?token=") {
		t.Fatalf("the letter leads to %q", link)
	}
	// Another browser asked for a link of its own.
	other.begin(email, "email_link")
	f.mail.Letter(t, email, 2)
	other.Goto(link)
	other.send("#continue")
	other.refused("AUTHENTICATION_REJECTED")

	p.Goto(link)
	p.Goto(link) // who only looks uses nothing up
	p.send("#continue")
	p.signedIn(carol, "aal1", "otp")
	p.Goto(link)
	p.send("#continue")
	p.refused("AUTHENTICATION_ENDED")
}

func (f *fixture) testCode(t *testing.T) {
	const email = "dave@example.com"
	dave := f.user(t, email, "")
	p := f.person(t)
	p.begin(email, "email_code")
	right := code(t, f.mail.Letter(t, email, 1))
	for i := range 5 {
		p.prove("email_code", fmt.Sprintf("%s%d", right[:7], (int(right[7]-'0')+i+1)%10))
		p.refused("AUTHENTICATION_REJECTED")
	}
	p.prove("email_code", right)
	p.refused("FACTOR_UNAVAILABLE")

	// Another one is good, after a wait.
	p.send("#again")
	right = code(t, f.mail.Letter(t, email, 2))
	harness.Eventually(t, "the wait is over", func() error {
		p.prove("email_code", right)
		if p.URL() == f.site.URL+"/account" {
			return nil
		}
		p.refused("RATE_LIMITED")
		return errors.New("must wait")
	})
	p.signedIn(dave, "aal1", "otp")
}

var codes = regexp.MustCompile(`(?m)^\d{8}$`)

// code is the code in a letter.
func code(t *testing.T, letter string) string {
	t.Helper()
	found := codes.FindString(letter)
	if found == "" {
		t.Fatalf("no code in %q", letter)
	}
	return found
}
