package provider_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// TestWays: people get in by each way that there is, at the provider's pages.
func TestWays(t *testing.T) {
	w := start(t)
	a := w.app1(t, basic)
	for name, test := range map[string]func(*testing.T, *world, application){
		"passkey": testPasskey, "sign up": testSignUp, "recovery": testRecovery, "second factor": testSecondFactor,
	} {
		t.Run(name, func(t *testing.T) { test(t, w, a) })
	}
}

// testPasskey: a passkey says who it is, and has verified its user.
func testPasskey(t *testing.T, w *world, a application) {
	user := w.user(t, "grace@example.com")
	p := w.person(t)
	p.CDP("WebAuthn.enable", nil, nil)
	var made struct {
		ID string `json:"authenticatorId"`
	}
	p.CDP("WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{
		"protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
		"isUserVerified": true, "automaticPresenceSimulation": true,
	}}, &made)
	p.Goto(w.issuer + "/device") // any page of the host that the passkey is for
	begun, err := w.Credentials.BeginPasskey(t.Context(), &identityv1.BeginPasskeyRequest{User: user, IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	var response string
	p.Eval(`async (options) => JSON.stringify((await navigator.credentials.create({
		publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(JSON.parse(options)) })).toJSON())`, &response, begun.GetOptions())
	_, err = w.Credentials.FinishPasskey(t.Context(), &identityv1.FinishPasskeyRequest{
		User: user, Ceremony: begun.GetCeremony(), Response: response, Name: "This browser", IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Goto(w.authorizeURL(w.request(a, "acr_values", "aal2")))
	// The browser offers the passkey in the field, and takes it at once: nothing is typed.
	back, err := url.Parse(p.arrived())
	if err != nil {
		t.Fatal(err)
	}
	r := w.redeem(t, a, back.Query().Get("code"))
	said := w.post(t, a, "/oauth2/introspect", url.Values{"token": {r.str("access_token")}})
	if said.str("sub") != user || said.str("acr") != "aal2" {
		t.Errorf("the token says %s", said.text)
	}
}

var codeInLetter = regexp.MustCompile(`\b[0-9]{6,8}\b`)

// code is that of the nth letter to an address.
func (w *world) letterCode(t *testing.T, to string, n int) string {
	t.Helper()
	code := codeInLetter.FindString(w.mail.Letter(t, to, n))
	if code == "" {
		t.Fatal("the letter has no code")
	}
	return code
}

// testSignUp: somebody new proves an address, chooses a password and a name, and is
// called back.
func testSignUp(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	v.open(w.authorizeURL(w.request(a, "prompt", "create")))
	v.send("email", "new@example.com")
	v.send("email_code", w.letterCode(t, "new@example.com", 1))
	v.send("new_password", password)
	v.send("name", "Somebody New")
	if !strings.Contains(v.back, "code=") {
		t.Fatalf("called back at %q, page %d %s", v.back, v.status, v.body)
	}
	// Once there is a user it is a sign-in like any other.
	again := w.visitor(t)
	w.code(t, again, w.request(a), "new@example.com")
}

// testRecovery: who forgot the password sets another one, and gets in.
func testRecovery(t *testing.T, w *world, a application) {
	w.user(t, "forgot@example.com")
	elsewhere := w.visitor(t)
	w.code(t, elsewhere, w.request(a), "forgot@example.com")
	v := w.visitor(t)
	v.open(w.authorizeURL(w.request(a)))
	v.send("email", "forgot@example.com")
	v.open(w.issuer + "/recover?request=" + url.QueryEscape(v.at.Query().Get("request")))
	v.send("email", "forgot@example.com")
	v.send("email_code", w.letterCode(t, "forgot@example.com", 1))
	v.send("new_password", "another correct horse battery")
	if !strings.Contains(v.back, "code=") {
		t.Fatalf("called back at %q, page %d %s", v.back, v.status, v.body)
	}
	elsewhere.open(w.authorizeURL(w.request(a, "prompt", "none")))
	w.told(t, elsewhere, "signed in with the password that was forgotten", "login_required")
	after := w.visitor(t)
	after.open(w.authorizeURL(w.request(a)))
	after.send("email", "forgot@example.com")
	after.send("password", password)
	if after.back != "" {
		t.Error("the password that was forgotten lets in")
	}
	after.send("password", "another correct horse battery")
	if !strings.Contains(after.back, "code=") {
		t.Errorf("called back at %q", after.back)
	}
}

// testSecondFactor: an application that asks for more gets it, of the session that there
// is; an organization that demands it does, too.
func testSecondFactor(t *testing.T, w *world, a application) {
	user := w.user(t, "two@example.com")
	begun, err := w.Credentials.BeginTotp(t.Context(), &identityv1.BeginTotpRequest{User: user, IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	uri, err := url.Parse(begun.GetUri())
	if err != nil {
		t.Fatal(err)
	}
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(uri.Query().Get("secret"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Credentials.FinishTotp(t.Context(), &identityv1.FinishTotpRequest{
		User: user, Ceremony: begun.GetCeremony(), Code: totp(key, time.Now()), Name: "App", IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	v := w.visitor(t)
	v.open(w.authorizeURL(w.request(a)))
	v.signIn("two@example.com")
	if v.back == "" { // whoever has a second factor is asked for it
		v.send("totp", totp(key, time.Now().Add(30*time.Second)))
	}
	if !strings.Contains(v.back, "code=") {
		t.Fatalf("called back at %q, page %d %s", v.back, v.status, v.body)
	}
	v.open(w.authorizeURL(w.request(a, "acr_values", "aal2")))
	for range 2 {
		if v.back != "" {
			break
		}
		v.send("totp", totp(key, time.Now().Add(30*time.Second)))
	}
	back, err := url.Parse(v.back)
	if err != nil || back.Query().Get("code") == "" {
		t.Fatalf("called back at %q, page %d %s", v.back, v.status, v.body)
	}
	r := w.redeem(t, a, back.Query().Get("code"))
	if said := w.post(t, a, "/oauth2/introspect", url.Values{"token": {r.str("access_token")}}); said.str("acr") != "aal2" {
		t.Errorf("the token says %s", said.text)
	}
}

// totp is the code of an authenticator app at a time.
//
// Source: RFC 6238; RFC 4226 section 5.3.
func totp(key []byte, at time.Time) string {
	mac := hmac.New(sha1.New, key)
	_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix()/30)))
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[offset:])&0x7fffffff)%1_000_000)
}
