package provider_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

const accessToken = "urn:ietf:params:oauth:token-type:access_token"

// The APIs of the tests: orders is called by applications, and calls billing, which
// calls the ledger.
const (
	orders  = "https://orders.example.com"
	billing = "https://billing.example.com"
	ledger  = "https://ledger.example.com"
)

// chained are an application whose users call APIs that call each other.
type chained struct {
	*world

	// user signs in by email.
	user, email string
	// app signs users in; each API is a client, and so is a stranger.
	app, orders, billing, stranger application
}

func startChained(t *testing.T) *chained {
	t.Helper()
	c := &chained{world: start(t)}
	c.email = "ada@example.com"
	c.user = c.world.user(t, c.email)
	s := c.settings(basic)
	s.Resources, s.Scopes = []string{orders, ledger}, append(s.Scopes, "read", "write")
	c.app.id, c.app.secret = c.client(t, s)
	api := func(scopes []string, resources ...string) (a application) {
		a.id, a.secret = c.client(t, &sessionsv1.ClientSettings{
			Name: "API", Authentication: basic, Resources: resources, Scopes: scopes, GrantTypes: []sessionsv1.GrantType{
				sessionsv1.GrantType_GRANT_TYPE_TOKEN_EXCHANGE, sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS,
			},
		})
		return a
	}
	c.orders = api([]string{"read", "delete"}, orders, billing)
	c.billing = api([]string{"read"}, billing, ledger)
	c.stranger = api([]string{"read"}, "https://stranger.example.com")
	return c
}

// called is what the application calls an API with.
func (c *chained) called(t *testing.T, change ...string) reply {
	t.Helper()
	r := c.redeem(t, c.app, c.code(t, c.visitor(t), c.request(c.app, append([]string{"scope", "openid offline_access read write", "resource", orders}, change...)...), c.email))
	if r.status != http.StatusOK {
		t.Fatalf("answer %d %s", r.status, r.text)
	}
	return r
}

// exchange is a request to exchange a token, with some parameters changed.
func (c *chained) exchange(t *testing.T, a application, token string, change ...string) reply {
	t.Helper()
	fields := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token}, "subject_token_type": {accessToken}}
	for i := 0; i+1 < len(change); i += 2 {
		if fields.Set(change[i], change[i+1]); change[i+1] == "" {
			fields.Del(change[i])
		}
	}
	return c.post(t, a, "/oauth2/token", fields)
}

// claims are what an access token says; that it is good is looked at elsewhere.
func claims(t *testing.T, token string) (out map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// O18: who calls an API can be told apart from who it calls for, and nobody gets more
// than there was.
func TestTokenExchange(t *testing.T) {
	c := startChained(t)
	for name, test := range map[string]func(*testing.T, *chained){
		"chain": testExchangeChain, "O18 refused": testExchangeRefused, "actor": testExchangeActor, "O15 bound": testExchangeBound,
		"organizations": testExchangeOrganizations, "endings": testExchangeEndings,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

func testExchangeChain(t *testing.T, c *chained) {
	given := c.called(t)
	before := claims(t, given.str("access_token"))
	first := c.exchange(t, c.orders, given.str("access_token"), "resource", billing, "requested_token_type", accessToken)
	if first.status != http.StatusOK || first.str("issued_token_type") != accessToken || first.str("refresh_token") != "" || first.str("id_token") != "" ||
		first.str("token_type") != "Bearer" || first.str("scope") != "read" {
		t.Fatalf("answer %d %s", first.status, first.text)
	}
	second := c.exchange(t, c.billing, first.str("access_token"), "audience", ledger, "scope", "read")
	if second.status != http.StatusOK {
		t.Fatalf("answer %d %s", second.status, second.text)
	}
	after := claims(t, second.str("access_token"))
	for _, name := range []string{"iss", "sub", "sid", "gnt", "auth_time", "acr"} {
		if before[name] == nil || after[name] != before[name] {
			t.Errorf("%s is %v, and was %v", name, after[name], before[name])
		}
	}
	if ends, _ := after["exp"].(float64); ends > before["exp"].(float64) || after["jti"] == before["jti"] || second.body["expires_in"].(float64) > 300 {
		t.Errorf("%v outlives %v", after, before)
	}
	act, _ := json.Marshal(after["act"])
	want, _ := json.Marshal(map[string]any{
		"sub": c.billing.id, "client_id": c.billing.id, "act": map[string]any{"sub": c.orders.id, "client_id": c.orders.id},
	})
	if string(act) != string(want) || after["client_id"] != c.billing.id || after["azp"] != c.app.id {
		t.Errorf("act is %s, client_id %v, azp %v; want %s", act, after["client_id"], after["azp"], want)
	}
	if said := c.post(t, c.billing, "/oauth2/introspect", url.Values{"token": {second.str("access_token")}}); said.body["act"] == nil || said.str("sub") != c.user {
		t.Errorf("introspection says %s", said.text)
	}
	if aud, _ := after["aud"].([]any); !slices.Equal(aud, []any{ledger}) {
		t.Errorf("aud is %v", after["aud"])
	}

	// To itself, until four act.
	token := first.str("access_token")
	for range 3 {
		r := c.exchange(t, c.orders, token)
		if r.status != http.StatusOK {
			t.Fatalf("answer %d %s", r.status, r.text)
		}
		token = r.str("access_token")
	}
	if !c.active(t, c.orders, token) {
		t.Error("four act, and the token is not taken")
	}
	c.exchange(t, c.orders, token).refused(t, http.StatusBadRequest, "invalid_request")
}

func testExchangeRefused(t *testing.T, c *chained) {
	given := c.called(t)
	token := given.str("access_token")
	if r := c.exchange(t, c.orders, token); r.status != http.StatusOK {
		t.Fatalf("the control: %d %s", r.status, r.text)
	}
	for name, tc := range map[string]struct {
		by     application
		change []string
		code   string
	}{
		"no token":                        {c.orders, []string{"subject_token", ""}, "invalid_request"},
		"no type":                         {c.orders, []string{"subject_token_type", ""}, "invalid_request"},
		"an ID token":                     {c.orders, []string{"subject_token", given.str("id_token")}, "invalid_request"},
		"a refresh token":                 {c.orders, []string{"subject_token", given.str("refresh_token")}, "invalid_request"},
		"a forged token":                  {c.orders, []string{"subject_token", token[:len(token)-4] + "AAAA"}, "invalid_request"},
		"an unsigned token":               {c.orders, []string{"subject_token", "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + strings.Split(token, ".")[1] + "."}, "invalid_request"},
		"another API's token":             {c.billing, nil, "invalid_request"},
		"a stranger":                      {c.stranger, nil, "invalid_request"},
		"who may not":                     {c.app, nil, "unauthorized_client"},
		"another target":                  {c.orders, []string{"resource", ledger}, "invalid_target"},
		"a target that is the provider":   {c.orders, []string{"audience", c.issuer}, "invalid_target"},
		"a scope of the client alone":     {c.orders, []string{"scope", "delete"}, "invalid_scope"},
		"a scope of the token alone":      {c.orders, []string{"scope", "write"}, "invalid_scope"},
		"openid, which the API has not":   {c.orders, []string{"scope", "openid"}, "invalid_scope"},
		"a refresh token is asked for":    {c.orders, []string{"requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"},
		"an actor token without a type":   {c.orders, []string{"actor_token", token}, "invalid_request"},
		"the subject acts for itself":     {c.orders, []string{"actor_token", token, "actor_token_type", accessToken}, "invalid_request"},
		"a type without an actor's token": {c.orders, []string{"actor_token_type", accessToken}, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			c.exchange(t, tc.by, token, tc.change...).refused(t, http.StatusBadRequest, tc.code)
		})
	}
	c.exchange(t, application{c.orders.id, "x"}, token).refused(t, http.StatusUnauthorized, "invalid_client")
	// What the API got is not what the application's may be ended by, nor the other way around.
	exchanged := c.exchange(t, c.orders, token).str("access_token")
	c.post(t, c.app, "/oauth2/revoke", url.Values{"token": {exchanged}}).refused(t, http.StatusBadRequest, "unauthorized_client")
	if r := c.post(t, c.orders, "/oauth2/revoke", url.Values{"token": {exchanged}}); r.status != http.StatusOK {
		t.Fatalf("revocation: %d %s", r.status, r.text)
	}
	c.inactive(t, c.orders, exchanged)
	if !c.active(t, c.app, token) || !c.active(t, c.app, given.str("refresh_token")) {
		t.Error("an API that gives its token back has ended the application's grant")
	}
}

func testExchangeActor(t *testing.T, c *chained) {
	given := c.called(t).str("access_token")
	own := c.post(t, c.orders, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}).str("access_token")
	r := c.exchange(t, c.orders, given, "actor_token", own, "actor_token_type", accessToken)
	if act, _ := claims(t, r.str("access_token"))["act"].(map[string]any); act["sub"] != c.orders.id {
		t.Errorf("act is %v", act)
	}
	others := c.post(t, c.stranger, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}).str("access_token")
	c.exchange(t, c.orders, given, "actor_token", others, "actor_token_type", accessToken).refused(t, http.StatusBadRequest, "invalid_request")
	c.exchange(t, c.orders, given, "actor_token", r.str("access_token"), "actor_token_type", accessToken).refused(t, http.StatusBadRequest, "invalid_request")
}

func testExchangeBound(t *testing.T, c *chained) {
	given := c.called(t)
	bound := c.proved(t, c.app, newKey(t), "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {given.str("refresh_token")}})
	if bound.str("token_type") != "DPoP" {
		t.Fatalf("answer %d %s", bound.status, bound.text)
	}
	c.exchange(t, c.orders, bound.str("access_token")).refused(t, http.StatusBadRequest, "invalid_request")
	r := c.proved(t, c.orders, newKey(t), "/oauth2/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {bound.str("access_token")}, "subject_token_type": {accessToken},
	})
	was, is := claims(t, bound.str("access_token")), claims(t, r.str("access_token"))
	cnf, _ := is["cnf"].(map[string]any)
	if old, _ := was["cnf"].(map[string]any); r.str("token_type") != "DPoP" || cnf["jkt"] == nil || cnf["jkt"] == old["jkt"] {
		t.Errorf("bound to %v, and to %v after the exchange: %s", was["cnf"], is["cnf"], r.text)
	}
}

// testExchangeOrganizations: a client of an organization exchanges only its tokens.
func testExchangeOrganizations(t *testing.T, c *chained) {
	var clients [2]application
	for i, slug := range []string{"analytical", "difference"} {
		made, err := c.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: slug, Name: slug, IdempotencyKey: rand.Text()})
		if err != nil {
			t.Fatal(err)
		}
		of, err := c.Clients.CreateClient(t.Context(), &sessionsv1.CreateClientRequest{
			Organization: made.GetOrganization().GetId(), IdempotencyKey: rand.Text(), Settings: &sessionsv1.ClientSettings{
				Name: "API", Authentication: basic, Resources: []string{orders}, Scopes: []string{"read"}, GrantTypes: []sessionsv1.GrantType{
					sessionsv1.GrantType_GRANT_TYPE_TOKEN_EXCHANGE, sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS,
				},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		clients[i] = application{of.GetClient().GetId(), of.GetSecret()}
	}
	own := c.post(t, clients[0], "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}).str("access_token")
	if r := c.exchange(t, clients[0], own); r.status != http.StatusOK {
		t.Fatalf("the control: %d %s", r.status, r.text)
	}
	c.exchange(t, clients[1], own).refused(t, http.StatusBadRequest, "invalid_request")
	c.exchange(t, clients[0], c.called(t).str("access_token")).refused(t, http.StatusBadRequest, "invalid_request")
}

// testExchangeEndings: what ends the subject's token ends what was made of it, at each
// step of the chain.
func testExchangeEndings(t *testing.T, all *chained) {
	own := *all
	c := &own
	c.email = "alan@example.com"
	c.user = c.world.user(t, c.email)
	type chain struct{ given, last reply }
	begin := func() (m chain) {
		// What was issued in the second in which a client was disabled is refused.
		eventually(t, "a chain of tokens is good", func() bool {
			m.given = c.called(t)
			first := c.exchange(t, c.orders, m.given.str("access_token"), "resource", billing)
			m.last = c.exchange(t, c.billing, first.str("access_token"), "resource", ledger)
			return m.last.str("access_token") != "" && c.active(t, c.billing, m.last.str("access_token"))
		})
		return m
	}
	ended := func(m chain) {
		t.Helper()
		c.inactive(t, c.billing, m.last.str("access_token"))
	}
	m := begin()
	c.post(t, c.app, "/oauth2/revoke", url.Values{"token": {m.given.str("refresh_token")}}) // the grant
	ended(m)
	c.exchange(t, c.orders, m.given.str("access_token")).refused(t, http.StatusBadRequest, "invalid_request")
	m = begin()
	if _, err := c.Sessions.RevokeSessions(t.Context(), &sessionsv1.RevokeSessionsRequest{User: c.user, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	ended(m)
	for _, a := range []application{c.app, c.orders} {
		m = begin()
		for _, disabled := range []bool{true, false} {
			_, err := c.Clients.UpdateClient(t.Context(), &sessionsv1.UpdateClientRequest{Client: a.id, Disabled: &disabled, IdempotencyKey: rand.Text()})
			if err != nil {
				t.Fatal(err)
			}
		}
		ended(m)
	}
	m = begin()
	if _, err := c.Users.SuspendUser(t.Context(), &identityv1.SuspendUserRequest{User: c.user, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	ended(m)
	c.exchange(t, c.orders, m.given.str("access_token")).refused(t, http.StatusBadRequest, "invalid_request")
}
