package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

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
