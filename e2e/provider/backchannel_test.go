package provider_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	gojose "github.com/go-jose/go-jose/v4"

	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// listener is an application's server that is told of logouts. It fails the first time,
// if it is to.
type listener struct {
	*httptest.Server

	mu     sync.Mutex
	fails  int
	tokens []string
}

func listen(t *testing.T, fails int) *listener {
	t.Helper()
	l := &listener{fails: fails}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.tokens = append(l.tokens, r.PostFormValue("logout_token"))
		if l.fails > 0 {
			l.fails--
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(l.Close)
	return l
}

// heard are the tokens that came, once there are so many.
func (l *listener) heard(t *testing.T, number int) (tokens []string) {
	t.Helper()
	eventually(t, "the application is told", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		tokens = append([]string{}, l.tokens...)
		return len(tokens) >= number
	})
	if len(tokens) != number {
		t.Errorf("told %d times, want %d", len(tokens), number)
	}
	return tokens
}

// testToldOfLogout: applications are told, by a token that is none for signing in, when a
// session ends, whoever ends it.
func testToldOfLogout(t *testing.T, w *world, _ application) {
	user := w.user(t, "barbara@example.com")
	web, other := listen(t, 1), listen(t, 0)
	told := func(l *listener, algorithm string) application {
		s := w.settings(basic)
		s.BackchannelLogoutUri, s.BackchannelLogoutSessionRequired, s.IdTokenAlgorithm = l.URL+"/logout", true, algorithm
		id, secret := w.client(t, s)
		return application{id, secret}
	}
	shop, forum := told(web, "ES256"), told(other, "RS256")

	v := w.visitor(t)
	atShop := w.redeem(t, shop, w.code(t, v, w.request(shop), "barbara@example.com"))
	atForum := w.redeem(t, forum, w.code(t, v, w.request(forum), "barbara@example.com"))
	session := w.claims(t, shop, "ES256", atShop.str("id_token"))["sid"]
	// What is given back before does not hide that the application was there.
	w.post(t, forum, "/oauth2/revoke", url.Values{"token": {atForum.str("refresh_token")}})
	v.open(w.issuer + "/oauth2/logout?" + url.Values{
		"id_token_hint": {atShop.str("id_token")}, "post_logout_redirect_uri": {w.app.URL + "/goodbye"},
	}.Encode())
	if v.back != w.app.URL+"/goodbye" {
		t.Fatalf("logout leads to %q, page %d", v.back, v.status)
	}
	ids := map[any]bool{}
	for _, token := range web.heard(t, 2) { // the first was not taken
		ids[w.logoutToken(t, shop, "ES256", token, user, session)] = true
	}
	ids[w.logoutToken(t, forum, "RS256", other.heard(t, 1)[0], user, session)] = true
	if len(ids) != 3 {
		t.Errorf("three tokens have the ids %v", ids)
	}
	w.delivered(t, user, map[string]uint32{shop.id: 2, forum.id: 1})

	first, err := w.Sessions.ListLogouts(t.Context(), &sessionsv1.ListLogoutsRequest{User: user, PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.Sessions.ListLogouts(t.Context(), &sessionsv1.ListLogoutsRequest{User: user, PageSize: 1, Cursor: first.GetNextCursor()})
	if err != nil || len(first.GetLogouts()) != 1 || len(second.GetLogouts()) != 1 || first.GetLogouts()[0].GetId() <= second.GetLogouts()[0].GetId() {
		t.Errorf("pages: %v, %v, %v", first, second, err)
	}

	// Signed out everywhere, by somebody else.
	for range 2 {
		w.redeem(t, forum, w.code(t, w.visitor(t), w.request(forum), "barbara@example.com"))
	}
	if _, err := w.Sessions.RevokeSessions(t.Context(), &sessionsv1.RevokeSessionsRequest{User: user, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	sessions := map[any]bool{session: true}
	for _, token := range other.heard(t, 3)[1:] {
		claims := w.claims(t, forum, "RS256", token)
		w.logoutToken(t, forum, "RS256", token, user, claims["sid"])
		sessions[claims["sid"]] = true
	}
	if len(sessions) != 3 {
		t.Errorf("three sessions ended, told of %v", sessions)
	}
	web.heard(t, 2) // it was not in those

	// A logout token is none for signing in, nor for anything else.
	token := web.heard(t, 2)[0]
	w.inactive(t, shop, token)
	v.open(w.issuer + "/oauth2/logout?" + url.Values{"id_token_hint": {token}, "post_logout_redirect_uri": {w.app.URL + "/goodbye"}}.Encode())
	if v.back != "" || v.status != http.StatusBadRequest {
		t.Errorf("as a hint: %d %q", v.status, v.back)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.issuer+"/oauth2/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if r := send(t, req); r.status != http.StatusUnauthorized {
		t.Errorf("as an access token: %d", r.status)
	}
}

// claims verifies a token of the issuer for an application, by a verifier that others
// wrote and the keys that are published.
func (w *world) claims(t *testing.T, a application, algorithm, token string) map[string]any {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), w.issuer)
	if err != nil {
		t.Fatal(err)
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: a.id, SupportedSigningAlgs: []string{algorithm}}).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := verified.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// logoutToken validates a token as applications must, and returns its id.
//
// Source: OpenID Connect Back-Channel Logout 1.0 section 2.6.
func (w *world) logoutToken(t *testing.T, a application, algorithm, token, user string, session any) any {
	t.Helper()
	claims := w.claims(t, a, algorithm, token)
	events, _ := json.Marshal(claims["events"])
	if string(events) != `{"http://schemas.openid.net/event/backchannel-logout":{}}` || claims["sub"] != user || claims["sid"] != session {
		t.Errorf("the logout token says %v", claims)
	}
	if _, nonce := claims["nonce"]; nonce {
		t.Error("it has a nonce, as ID tokens have")
	}
	issued, _ := claims["iat"].(float64)
	if expires, _ := claims["exp"].(float64); expires-issued != 120 {
		t.Errorf("it lives for %v s", expires-issued)
	}
	parsed, err := gojose.ParseSignedCompact(token, []gojose.SignatureAlgorithm{gojose.SignatureAlgorithm(algorithm)})
	if err != nil || parsed.Signatures[0].Header.ExtraHeaders[gojose.HeaderType] != "logout+jwt" {
		t.Errorf("the header: %v", err)
	}
	id, _ := claims["jti"].(string)
	if !strings.HasPrefix(id, "lgo_") {
		t.Errorf("its id is %q", id)
	}
	return id
}

// delivered waits until clients have heard of a user's logouts, each by so many attempts.
func (w *world) delivered(t *testing.T, user string, attempts map[string]uint32) {
	t.Helper()
	eventually(t, "the logouts are delivered", func() bool {
		list, err := w.Sessions.ListLogouts(t.Context(), &sessionsv1.ListLogoutsRequest{User: user})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list.GetLogouts() {
			if l.GetState() != sessionsv1.LogoutState_LOGOUT_STATE_DELIVERED || l.GetAttempts() != attempts[l.GetClient()] ||
				l.GetLastStatus() != http.StatusOK || l.GetNextAt() != nil || l.GetIssuer() != w.issuer {
				return false
			}
		}
		return len(list.GetLogouts()) == len(attempts)
	})
}
