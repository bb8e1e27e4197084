package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/principal"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
	"github.com/meridian-iam/meridian/services/sessions/internal/door"
	"github.com/meridian-iam/meridian/services/sessions/internal/ending"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

const sessionCookie = "__Host-meridian_session"

func (f *fixture) hasSession(t testing.TB, name string) bool {
	t.Helper()
	_, err := store.FindSession(t.Context(), f.db.Pool(), name)
	return err == nil
}

// signIn signs somebody in, in a browser that has cookies.
func (f *fixture) signIn(t testing.TB, user string, cookies ...*http.Cookie) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, issuer+"/sign-in", http.NoBody)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	_, err := f.provider.SignedIn(httptest.NewRecorder(), r, door.Pending{}, &identityv1.FinishAuthenticationResponse{
		User: user, Acr: session.AAL1, Amr: []string{"pwd"}, AuthenticatedAt: timestamppb.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAllSessionsEndHoweverManyThereAre(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	user := f.user(t)
	first, _ := f.session(t, user)
	for range 2*session.Limit + 1 {
		f.session(t, user)
	}
	ended, err := f.provider.Ender.End(t.Context(), principal.Principal{}, ending.Of{User: user, All: true, Reason: eventv1.Revocation_REVOCATION_REVOKED})
	if err != nil || ended.Sessions != 2*session.Limit+2 || f.hasSession(t, first) {
		t.Errorf("%d sessions ended, %v; the oldest is there: %t", ended.Sessions, err, f.hasSession(t, first))
	}
}

func TestTheOldestSessionEndsForOneTooMany(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	user := f.user(t)
	first, _ := f.session(t, user)
	second, _ := f.session(t, user)
	for range session.Limit - 2 {
		f.session(t, user)
	}
	f.signIn(t, user)
	if f.hasSession(t, first) || !f.hasSession(t, second) {
		t.Errorf("the oldest is there: %t, the one after it: %t", f.hasSession(t, first), f.hasSession(t, second))
	}
}

func TestWhoSignsInEndsTheSessionOfWhoWasThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	before, cookie := f.session(t, f.user(t))
	f.signIn(t, f.user(t), cookie)
	if f.hasSession(t, before) {
		t.Error("a session goes on that no browser has")
	}
}

// TestPostedFromElsewhere: with what another site's page posts, browsers send no
// cookies. Nobody is signed out by it, and nobody is taken for signed out.
func TestPostedFromElsewhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var err error
	if f.provider.Pages, err = pages.New(pages.Config{}); err != nil {
		t.Fatal(err)
	}
	user := f.user(t)
	name, cookie := f.session(t, user)
	a := f.client(t)
	hint, err := f.ring.Sign("ES256", "JWT", map[string]any{"iss": issuer, "sub": user, "aud": a.id, "sid": name, "exp": time.Now().Unix() + 60})
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, target, body string, with ...*http.Cookie) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://elsewhere.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		for _, c := range with {
			r.AddCookie(c)
		}
		res, err := f.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res
	}
	for path, form := range map[string]url.Values{
		"/oauth2/logout":    {"id_token_hint": {hint}, "state": {"a state"}},
		"/oauth2/authorize": {"client_id": {a.id}, "prompt": {"none"}},
	} {
		res := send(http.MethodPost, host+path, form.Encode())
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != path+"?"+form.Encode() || len(res.Cookies()) > 0 {
			t.Errorf("%s: %d to %q, cookies %v", path, res.StatusCode, res.Header.Get("Location"), res.Cookies())
		}
		res = send(http.MethodPost, host+path, "state="+strings.Repeat("a", 20_000))
		if res.StatusCode != http.StatusBadRequest || len(res.Cookies()) > 0 {
			t.Errorf("%s, too long: %d, cookies %v", path, res.StatusCode, res.Cookies())
		}
	}
	if res := send(http.MethodGet, host+"/oauth2/logout", "", cookie); res.StatusCode != http.StatusOK || !f.hasSession(t, name) {
		t.Errorf("without a hint: %d, the session is there: %t; want a question", res.StatusCode, f.hasSession(t, name))
	}
	res := send(http.MethodGet, host+"/oauth2/logout?id_token_hint="+hint, "", cookie)
	if f.hasSession(t, name) {
		t.Errorf("the application's logout: %d, and the session goes on", res.StatusCode)
	}
	if c := res.Cookies(); len(c) != 1 || c[0].Name != sessionCookie || c[0].MaxAge >= 0 {
		t.Errorf("cookies %v: the session's is to go", c)
	}
}
