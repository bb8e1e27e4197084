package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// One process is several issuers, each at its own host: what one gave, another does not
// take, and no client takes an answer of the one for the other's.
func TestIssuers(t *testing.T) {
	w := start(t, "127.0.0.1")
	there := *w
	there.issuer = strings.Replace(w.issuer, "localhost", "127.0.0.1", 1)
	w.user(t, "ada@example.com")
	a := w.app1(t, basic)
	visitor := w.visitor(t)

	// O26: a code, and what came of it.
	code := w.code(t, visitor, w.request(a), "ada@example.com")
	there.redeem(t, a, code).refused(t, http.StatusBadRequest, "invalid_grant")
	given := w.redeem(t, a, w.code(t, visitor, w.request(a), ""))
	if given.status != http.StatusOK || claims(t, given.str("access_token"))["iss"] != w.issuer {
		t.Fatalf("answer %d %s", given.status, given.text)
	}
	there.refresh(t, a, given.str("refresh_token")).refused(t, http.StatusBadRequest, "invalid_grant")
	if !w.active(t, a, given.str("access_token")) || there.active(t, a, given.str("access_token")) || there.active(t, a, given.str("refresh_token")) {
		t.Error("introspection takes tokens of another issuer, or not its own")
	}

	// A request that was pushed to one is unknown to the other.
	pushed := w.post(t, a, "/oauth2/par", w.request(a))
	if pushed.status != http.StatusCreated {
		t.Fatalf("answer %d %s", pushed.status, pushed.text)
	}
	visitor.open(there.authorizeURL(url.Values{"client_id": {a.id}, "request_uri": {pushed.str("request_uri")}}))
	if visitor.back != "" || visitor.status != http.StatusBadRequest {
		t.Errorf("answer %d, called back at %q", visitor.status, visitor.back)
	}

	// O06: other companies' clients find themselves at their issuer, and refuse the answer of another.
	for _, at := range []*world{w, &there} {
		rp := openRelyingParty(t)
		metadata := rp.do(t, "discover", args{"issuer": at.issuer, "client": a.id, "secret": a.secret, "auth": "basic"})
		if metadata["issuer"] != at.issuer || metadata["token_endpoint"] != at.issuer+"/oauth2/token" {
			t.Errorf("the metadata of %s: %v", at.issuer, metadata)
		}
	}
	rp := openRelyingParty(t)
	rp.do(t, "discover", args{"issuer": w.issuer, "client": a.id, "secret": a.secret, "auth": "basic"})
	at, _ := rp.do(t, "start", args{"redirect": w.callback(), "scope": "openid"})["url"].(string)
	visitor.open(at)
	mixed := strings.Replace(visitor.back, url.QueryEscape(w.issuer), url.QueryEscape(there.issuer), 1)
	if mixed == visitor.back {
		t.Fatalf("called back at %q without iss", visitor.back)
	}
	rp.refused(t, "callback", args{"url": mixed}, "OAUTH_INVALID_RESPONSE")
}

// Other companies' clients are used on devices, and by APIs that call others.
func TestOthersClients(t *testing.T) {
	t.Run("device", func(t *testing.T) {
		w := start(t)
		w.user(t, "ada@example.com")
		s := w.settings(none)
		s.GrantTypes, s.RedirectUris, s.PostLogoutRedirectUris = []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_DEVICE_CODE}, nil, nil
		id, _ := w.client(t, s)
		rp := openRelyingParty(t)
		rp.do(t, "discover", args{"issuer": w.issuer, "client": id, "auth": "none"})
		begun := rp.do(t, "device", args{"scope": "openid"})
		visitor := w.visitor(t)
		complete, _ := begun["verification_uri_complete"].(string)
		code, _ := begun["user_code"].(string)
		visitor.open(complete)
		visitor.send("user_code", code)
		visitor.signIn("ada@example.com")
		visitor.send("decision", "allow")
		if given := rp.do(t, "poll", nil); given["id_token"] == nil || given["access_token"] == nil {
			t.Errorf("given %v", given)
		}
	})
	t.Run("exchange", func(t *testing.T) {
		c := startChained(t)
		rp := openRelyingParty(t)
		rp.do(t, "discover", args{"issuer": c.issuer, "client": c.orders.id, "secret": c.orders.secret, "auth": "basic"})
		given := rp.do(t, "exchange", args{"more": args{
			"subject_token": c.called(t).str("access_token"), "subject_token_type": accessToken, "resource": billing,
		}})
		token, _ := given["access_token"].(string)
		if act, _ := claims(t, token)["act"].(map[string]any); act["sub"] != c.orders.id || given["issued_token_type"] != accessToken {
			t.Errorf("given %v", given)
		}
	})
}
