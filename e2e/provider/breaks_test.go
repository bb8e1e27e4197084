package provider_test

import (
	"net/http"
	"net/url"
	"testing"
)

// TestBreaks: what is away is said, nothing is half-done, and all goes on when it is
// back.
func TestBreaks(t *testing.T) {
	w := start(t)
	w.user(t, "ada@example.com")
	a := w.app1(t, basic)
	given := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com"))
	introspect := func() reply {
		return w.post(t, a, "/oauth2/introspect", url.Values{"token": {given.str("access_token")}})
	}
	status := func(want int) func() bool { return func() bool { return introspect().status == want } }

	w.nats.Kill(t)
	eventually(t, "tokens are refused while it is not known what was revoked", status(http.StatusServiceUnavailable))
	if r := introspect(); r.str("error") != "temporarily_unavailable" || r.header.Get("Retry-After") == "" {
		t.Errorf("without NATS: %d %s", r.status, r.text)
	}
	w.nats.Restart(t)
	eventually(t, "tokens are taken again", status(http.StatusOK))

	w.database.Kill(t)
	r := w.refresh(t, a, given.str("refresh_token"))
	if r.status != http.StatusServiceUnavailable || r.str("error") != "temporarily_unavailable" {
		t.Errorf("without the database: %d %s", r.status, r.text)
	}
	w.database.Restart(t)
	var next reply
	eventually(t, "a refresh succeeds", func() bool {
		next = w.refresh(t, a, given.str("refresh_token"))
		return next.status == http.StatusOK
	})

	// Killed without a warning, and started again: what was given is good, and what was
	// revoked just before is not.
	revoked := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com"))
	if r := w.post(t, a, "/oauth2/revoke", url.Values{"token": {revoked.str("refresh_token")}}); r.status != http.StatusOK {
		t.Fatalf("revocation: %d %s", r.status, r.text)
	}
	w.node.Kill(t)
	w.node.Start(t)
	eventually(t, "what was given before is good", func() bool {
		r := w.post(t, a, "/oauth2/introspect", url.Values{"token": {next.str("access_token")}})
		return r.status == http.StatusOK && is(r.body, "active")
	})
	if w.active(t, a, revoked.str("access_token")) || w.active(t, a, revoked.str("refresh_token")) {
		t.Error("what was revoked before the process was killed is taken after it")
	}
	if r := w.refresh(t, a, next.str("refresh_token")); r.status != http.StatusOK {
		t.Errorf("refresh after a kill: %d %s", r.status, r.text)
	}
}
