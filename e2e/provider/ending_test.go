package provider_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// inactive waits until a token is refused: its revocation is felt in under a second.
func (w *world) inactive(t *testing.T, a application, token string) {
	t.Helper()
	if token == "" {
		t.Fatal("there is no token")
	}
	eventually(t, "the token is refused", func() bool { return !w.active(t, a, token) })
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
