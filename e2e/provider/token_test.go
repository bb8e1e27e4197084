package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

func testCodeReplay(t *testing.T, w *world, a application) {
	code := w.code(t, w.visitor(t), w.request(a), "ada@example.com")
	first := w.redeem(t, a, code)
	if first.status != http.StatusOK || !w.active(t, a, first.str("access_token")) {
		t.Fatalf("the control: %d %s", first.status, first.text)
	}
	w.redeem(t, a, code).refused(t, http.StatusBadRequest, "invalid_grant")
	w.inactive(t, a, first.str("access_token"))
	w.inactive(t, a, first.str("refresh_token"))
	w.refresh(t, a, first.str("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
}

func testCodeInjection(t *testing.T, w *world, a application) {
	other := w.app1(t, basic)
	v := w.visitor(t)
	code := w.code(t, v, w.request(a), "ada@example.com")
	w.redeem(t, other, code).refused(t, http.StatusBadRequest, "invalid_grant")
	w.redeem(t, a, code, "redirect_uri", w.app.URL+"/other").refused(t, http.StatusBadRequest, "invalid_grant")
	w.redeem(t, a, code, "code_verifier", strings.Repeat("x", 43)).refused(t, http.StatusBadRequest, "invalid_grant")
	if r := w.redeem(t, a, code); r.status != http.StatusOK {
		t.Errorf("a code is spent by who cannot use it: %s", r.text)
	}
	for _, forged := range []string{code + "x", code[:len(code)-1], "mco_", "mco_" + strings.Repeat("A", 64), strings.Replace(code, "mco_", "mrt_", 1), "x"} {
		w.redeem(t, a, forged).refused(t, http.StatusBadRequest, "invalid_grant")
	}
	w.redeem(t, a, "").refused(t, http.StatusBadRequest, "invalid_request")
}

func testRefresh(t *testing.T, w *world, a application) {
	given := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com"))
	other := w.app1(t, basic)
	first := given.str("refresh_token")
	w.refresh(t, other, first).refused(t, http.StatusBadRequest, "invalid_grant")
	w.refresh(t, a, first, "scope", "openid offline_access admin").refused(t, http.StatusBadRequest, "invalid_scope")
	w.refresh(t, a, first, "resource", "https://api.example.com").refused(t, http.StatusBadRequest, "invalid_target")
	second := w.refresh(t, a, first, "scope", "openid")
	if second.status != http.StatusOK || second.str("scope") != "openid" {
		t.Fatalf("refresh: %d %s", second.status, second.text)
	}
	third := w.refresh(t, a, second.str("refresh_token"))
	if third.str("scope") != "openid offline_access" {
		t.Errorf("after asking for less once the scope is %q", third.str("scope"))
	}
	w.refresh(t, a, first).refused(t, http.StatusBadRequest, "invalid_grant")
	w.refresh(t, a, third.str("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
	w.inactive(t, a, third.str("access_token"))
}

func testOldGrants(t *testing.T, w *world, a application) {
	v := w.visitor(t)
	for _, kind := range []string{"token", "id_token", "code token", "none", "id_token token"} {
		v.open(w.authorizeURL(w.request(a, "response_type", kind)))
		w.told(t, v, kind, "unsupported_response_type")
	}
	for _, kind := range []string{"password", "implicit", "urn:example:own"} {
		w.post(t, a, "/oauth2/token", url.Values{"grant_type": {kind}, "username": {"ada@example.com"}, "password": {password}}).
			refused(t, http.StatusBadRequest, "unsupported_grant_type")
	}
	w.post(t, a, "/oauth2/token", url.Values{"username": {"ada@example.com"}}).refused(t, http.StatusBadRequest, "invalid_request")
	w.post(t, a, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}).refused(t, http.StatusBadRequest, "unauthorized_client")
}

func testPublic(t *testing.T, w *world, a application) {
	w.post(t, application{}, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {a.id}}).
		refused(t, http.StatusUnauthorized, "invalid_client")
	code := w.code(t, w.visitor(t), w.request(a), "ada@example.com")
	w.redeem(t, application{id: a.id}, code).refused(t, http.StatusUnauthorized, "invalid_client")
	w.redeem(t, application{a.id, "mcs_wrong"}, code).refused(t, http.StatusUnauthorized, "invalid_client")
	public := w.app1(t, none)
	r := w.redeem(t, public, w.code(t, w.visitor(t), w.request(public), "ada@example.com"))
	if r.status != http.StatusOK || r.str("refresh_token") == "" {
		t.Errorf("a public client is answered %d %s", r.status, r.text)
	}
	w.post(t, public, "/oauth2/introspect", url.Values{"token": {r.str("access_token")}, "client_id": {public.id}}).
		refused(t, http.StatusUnauthorized, "invalid_client")
}

func testClientCredentials(t *testing.T, w *world, _ application) {
	id, secret := w.client(t, &sessionsv1.ClientSettings{
		Name: "Machine", Authentication: basic, GrantTypes: []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS},
		Resources: []string{"https://api.example.com", "https://other.example.com"}, Scopes: []string{"read", "write"},
	})
	a := application{id, secret}
	own := func(change ...string) reply {
		fields := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i+1 < len(change); i += 2 {
			fields.Set(change[i], change[i+1])
		}
		return w.post(t, a, "/oauth2/token", fields)
	}
	r := own("scope", "read", "resource", "https://other.example.com")
	if r.status != http.StatusOK || r.str("refresh_token") != "" || r.str("id_token") != "" || r.body["expires_in"] != 300.0 {
		t.Fatalf("answer %d %s", r.status, r.text)
	}
	said := w.post(t, a, "/oauth2/introspect", url.Values{"token": {r.str("access_token")}})
	if aud, _ := said.body["aud"].([]any); said.str("sub") != a.id || said.str("scope") != "read" || !slices.Equal(aud, []any{"https://other.example.com"}) {
		t.Errorf("the token says %s", said.text)
	}
	own("scope", "admin").refused(t, http.StatusBadRequest, "invalid_scope")
	own("resource", "https://evil.example.com").refused(t, http.StatusBadRequest, "invalid_target")
	if r := w.post(t, a, "/oauth2/revoke", url.Values{"token": {r.str("access_token")}}); r.status != http.StatusOK {
		t.Fatalf("revocation: %d %s", r.status, r.text)
	}
	w.inactive(t, a, r.str("access_token"))
	other := own()
	if _, err := w.Clients.UpdateClient(t.Context(), &sessionsv1.UpdateClientRequest{Client: a.id, Disabled: new(true), IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	own().refused(t, http.StatusUnauthorized, "invalid_client")
	if _, err := w.Clients.UpdateClient(t.Context(), &sessionsv1.UpdateClientRequest{Client: a.id, Disabled: new(false), IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	w.inactive(t, a, other.str("access_token")) // it was issued before the client was disabled
}

func testRefreshRace(t *testing.T, w *world, a application) {
	given := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a), "ada@example.com"))
	var mu sync.Mutex
	successors := map[string]int{}
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			r := w.refresh(t, a, given.str("refresh_token"))
			mu.Lock()
			defer mu.Unlock()
			successors[r.str("refresh_token")]++
		})
	}
	group.Wait()
	if len(successors) != 1 || successors[""] > 0 {
		t.Errorf("successors of one token: %v", successors)
	}
}

func testRedeemRace(t *testing.T, w *world, a application) {
	code := w.code(t, w.visitor(t), w.request(a), "ada@example.com")
	var mu sync.Mutex
	var won []reply
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if r := w.redeem(t, a, code); r.status == http.StatusOK {
				mu.Lock()
				defer mu.Unlock()
				won = append(won, r)
			}
		})
	}
	group.Wait()
	if len(won) != 1 {
		t.Fatalf("%d redeemed one code", len(won))
	}
	w.inactive(t, a, won[0].str("access_token")) // others have the code: nothing that came of it is good
}

// testAssertions: a client that signs is known by its key; clientauth has the attacks.
func testAssertions(t *testing.T, w *world, _ application) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := gojose.JSONWebKey{Key: key, KeyID: "1", Algorithm: "ES256"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	public, err := gojose.JSONWebKey{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := w.client(t, &sessionsv1.ClientSettings{
		Name: "Machine", Authentication: sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT,
		GrantTypes: []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS}, Jwks: `{"keys":[` + string(public) + `]}`,
	})
	rp := openRelyingParty(t)
	rp.do(t, "discover", args{"issuer": w.issuer, "client": id, "auth": "private_key_jwt", "key": json.RawMessage(private)})
	given := rp.do(t, "credentials", args{"more": args{}})
	if said := rp.do(t, "introspect", args{"token": given["access_token"]}); !is(said, "active") || said["sub"] != id {
		t.Errorf("introspection says %v", said)
	}
	w.post(t, application{}, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {id}}).
		refused(t, http.StatusUnauthorized, "invalid_client")
}
