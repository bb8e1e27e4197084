package oidc_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// registrar is the fixture with tokens of the platform and of an organization.
func registrar(t *testing.T) (f *fixture, organization string) {
	t.Helper()
	f = newFixture(t)
	organization = f.organization(t)
	for name, p := range map[string]principal.Principal{
		"platform": {Level: commonv1.Level_LEVEL_ADMIN}, "acme": {Organization: organization, Level: commonv1.Level_LEVEL_ADMIN},
		"writer": {Level: commonv1.Level_LEVEL_WRITE}, "reader": {Organization: organization, Level: commonv1.Level_LEVEL_READ},
		"elsewhere": {Level: commonv1.Level_LEVEL_ADMIN, Scopes: []string{"meridian.sessions.v1.ClientService/ListClients"}},
		"scoped":    {Level: commonv1.Level_LEVEL_ADMIN, Scopes: []string{"meridian.sessions.v1.ClientService/CreateClient"}},
	} {
		p.Kind, p.ID = principal.APIToken, id.New(id.Token)
		f.bearers[name] = p
	}
	return f, organization
}

// register posts what a client says of itself.
func (f *fixture) register(t *testing.T, token, body string) (*http.Response, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, host+"/oauth2/register", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := f.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var said map[string]any
	if err := json.Unmarshal(text, &said); err != nil {
		t.Fatalf("%d %s: %v", res.StatusCode, text, err)
	}
	if res.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		t.Errorf("headers %v", res.Header)
	}
	return res, said
}

func TestRegister(t *testing.T) {
	t.Parallel()
	f, organization := registrar(t)
	const body = `{"redirect_uris":["https://shop.example/callback","com.example.shop:/back"],"client_name":"Shop","scope":"openid email",
		"grant_types":["authorization_code","refresh_token","client_credentials"],"response_types":["code"],
		"logo_uri":"http://169.254.169.254/","resource":"https://api.example.com","client_id":"cli_mine","client_secret":"mine",
		"organization":"org_1","CLIENT_URI":"x","tos_uri":null}`
	for token, owner := range map[string]string{"platform": "", "acme": organization, "scoped": ""} {
		res, said := f.register(t, token, body)
		if res.StatusCode != http.StatusCreated {
			t.Fatalf("%s: %d %v", token, res.StatusCode, said)
		}
		name, _ := said["client_id"].(string)
		secret, _ := said["client_secret"].(string)
		expires, limited := said["client_secret_expires_at"].(float64)
		if !id.Valid(id.Client, name) || !strings.HasPrefix(secret, "mcs_") || !limited || expires != 0 {
			t.Errorf("%s: %v", token, said)
		}
		if issued, _ := said["client_id_issued_at"].(float64); issued < 1_700_000_000 {
			t.Errorf("%s: issued at %v", token, said["client_id_issued_at"])
		}
		if said["client_name"] != "Shop" || said["token_endpoint_auth_method"] != "client_secret_basic" || said["scope"] != "openid email" {
			t.Errorf("%s: %v", token, said)
		}
		for _, unknown := range []string{"logo_uri", "resource", "organization", "tos_uri"} {
			if _, there := said[unknown]; there {
				t.Errorf("%s: it says that %s is registered", token, unknown)
			}
		}
		row, err := store.FindClient(t.Context(), f.db.Pool(), name)
		if err != nil || row.Organization != owner || !row.Settings.GetConsentRequired() {
			t.Errorf("%s: client %v of %q, %v", token, row.Settings, row.Organization, err)
		}
		if _, ok := f.post(t, application{name, secret}, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}); !ok {
			t.Errorf("%s: the client gets no token", token)
		}
	}
	res, said := f.register(t, "platform", `{"redirect_uris":["http://127.0.0.1/callback"],"token_endpoint_auth_method":"none"}`)
	if _, secret := said["client_secret"]; res.StatusCode != http.StatusCreated || secret || said["client_secret_expires_at"] != nil {
		t.Errorf("a public client: %d %v", res.StatusCode, said)
	}
}

func TestRegistrationRefuses(t *testing.T) {
	t.Parallel()
	f, _ := registrar(t)
	uris := func(uri string) string { return `{"redirect_uris":["https://shop.example/callback","` + uri + `"]}` }
	for name, tc := range map[string]struct{ body, code string }{
		"O19 javascript":            {uris("javascript:alert(1)"), "invalid_redirect_uri"},
		"O19 data":                  {uris("data:text/html,x"), "invalid_redirect_uri"},
		"O19 http":                  {uris("http://shop.example/"), "invalid_redirect_uri"},
		"O19 fragment":              {uris("https://shop.example/#x"), "invalid_redirect_uri"},
		"O19 empty fragment":        {uris("https://shop.example/#"), "invalid_redirect_uri"},
		"O19 user":                  {uris("https://shop.example@evil.example/"), "invalid_redirect_uri"},
		"O19 relative":              {uris("/callback"), "invalid_redirect_uri"},
		"O19 a bare scheme":         {uris("shop:/callback"), "invalid_redirect_uri"},
		"O19 jwks_uri":              {`{"jwks_uri":"http://169.254.169.254/","token_endpoint_auth_method":"private_key_jwt"}`, "invalid_client_metadata"},
		"O19 sector_identifier_uri": {`{"sector_identifier_uri":"http://169.254.169.254/"}`, "invalid_client_metadata"},
		"O19 software statement":    {`{"software_statement":"eyJ.e30."}`, "invalid_software_statement"},
		"no redirect URI":           {`{}`, "invalid_redirect_uri"},
		"null for one":              {`{"redirect_uris":null}`, "invalid_redirect_uri"},
		"the same one twice":        {uris("https://shop.example/callback"), "invalid_redirect_uri"},
		"an address as text":        {`{"redirect_uris":"https://shop.example/callback"}`, "invalid_redirect_uri"},
		"implicit":                  {`{"grant_types":["implicit"]}`, "invalid_client_metadata"},
		"a public machine":          {`{"grant_types":["client_credentials"],"token_endpoint_auth_method":"none"}`, "invalid_client_metadata"},
		"a name of control":         {`{"redirect_uris":["https://shop.example/"],"client_name":"a\u0000b"}`, "invalid_client_metadata"},
		"a name that is reversed":   {`{"redirect_uris":["https://shop.example/"],"client_name":"a\u202eb"}`, "invalid_client_metadata"},
		"a scope that is none":      {`{"redirect_uris":["https://shop.example/"],"scope":"open\"id"}`, "invalid_client_metadata"},
		"an unknown algorithm":      {`{"redirect_uris":["https://shop.example/"],"id_token_signed_response_alg":"none"}`, "invalid_client_metadata"},
		"keys without their use":    {`{"redirect_uris":["https://shop.example/"],"jwks":{"keys":[]}}`, "invalid_client_metadata"},
		"keys that are none":        {`{"redirect_uris":["https://shop.example/"],"token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[{"kty":"oct","k":"AAAA"}]}}`, "invalid_client_metadata"},
		"a name twice":              {`{"client_name":"a","client_name":"b"}`, "invalid_client_metadata"},
		"a name twice, in capitals": {`{"client_name":"a","Client_Name":"b"}`, "invalid_client_metadata"},
		"a list":                    {`[]`, "invalid_client_metadata"},
		"two objects":               {`{}{}`, "invalid_client_metadata"},
		"nothing":                   {``, "invalid_client_metadata"},
		"too much":                  {`{"x":"` + strings.Repeat("x", 64<<10) + `"}`, "invalid_client_metadata"},
	} {
		res, said := f.register(t, "platform", tc.body)
		if res.StatusCode != http.StatusBadRequest || said["error"] != tc.code || said["client_id"] != nil {
			t.Errorf("%s: %d %v, want %s", name, res.StatusCode, said, tc.code)
		}
		description, _ := said["error_description"].(string)
		if strings.Contains(description, "169.254") || strings.Contains(description, "alert") {
			t.Errorf("%s: the answer quotes the request: %s", name, description)
		}
	}
	const place = `resource_metadata="` + issuer + `/.well-known/oauth-protected-resource"`
	const good = `{"redirect_uris":["https://shop.example/callback"]}`
	for token, tc := range map[string]struct {
		status          int
		code, challenge string
	}{
		"":          {http.StatusUnauthorized, "invalid_token", "Bearer " + place},
		"stranger":  {http.StatusUnauthorized, "invalid_token", `Bearer error="invalid_token", ` + place},
		"writer":    {http.StatusForbidden, "access_denied", ""},
		"reader":    {http.StatusForbidden, "access_denied", ""},
		"elsewhere": {http.StatusForbidden, "access_denied", ""},
	} {
		res, said := f.register(t, token, good)
		if res.StatusCode != tc.status || said["error"] != tc.code || res.Header.Get("WWW-Authenticate") != tc.challenge {
			t.Errorf("%q: %d %v %q", token, res.StatusCode, said, res.Header.Get("WWW-Authenticate"))
		}
	}
	if number, err := store.CountClients(t.Context(), f.db.Pool(), ""); err != nil || number != 0 {
		t.Errorf("%d clients were made, %v", number, err)
	}
}

// Who has an access token makes clients of its organization, as far as the scopes and the
// permission go.
func TestRegisterWithAnAccessToken(t *testing.T) {
	t.Parallel()
	f, organization := registrar(t)
	manager, member := id.New(id.User), id.New(id.User)
	f.manages[manager] = organization
	now := time.Now().Unix()
	for name, tc := range map[string]struct {
		change func(*accesstoken.Claims)
		status int
	}{
		"a manager":               {func(*accesstoken.Claims) {}, http.StatusCreated},
		"a member":                {func(c *accesstoken.Claims) { c.Subject = member }, http.StatusForbidden},
		"without the scope":       {func(c *accesstoken.Claims) { c.Scope = "openid profile" }, http.StatusForbidden},
		"in another organization": {func(c *accesstoken.Claims) { c.Organization = id.New(id.Organization) }, http.StatusForbidden},
		"in no organization":      {func(c *accesstoken.Claims) { c.Organization = "" }, http.StatusForbidden},
		"that has ended":          {func(c *accesstoken.Claims) { c.IssuedAt, c.Expires = now-300, now-1 }, http.StatusUnauthorized},
	} {
		claims := accesstoken.Claims{
			Issuer: issuer, Subject: manager, Audience: []string{issuer}, Client: id.New(id.Client), ID: id.New(id.Token), Session: id.New(id.Session),
			Grant: id.New(id.Grant), Scope: "openid meridian", Organization: organization, IssuedAt: now, Expires: now + 300, AuthenticatedAt: now,
		}
		tc.change(&claims)
		token, err := f.ring.Sign("ES256", "at+jwt", claims)
		if err != nil {
			t.Fatal(err)
		}
		res, said := f.register(t, token, `{"redirect_uris":["https://shop.example/callback"]}`)
		if res.StatusCode != tc.status {
			t.Errorf("%s: %d %v, want %d", name, res.StatusCode, said, tc.status)
		}
		if row, err := store.FindClient(t.Context(), f.db.Pool(), text(said["client_id"])); tc.status == http.StatusCreated && (err != nil || row.Organization != organization) {
			t.Errorf("%s: a client of %q, %v", name, row.Organization, err)
		}
	}
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

// A client that registered itself stays as long as it is given tokens: that it is used is
// written once a day, and by who proves to be it.
func TestUseOfRegisteredClients(t *testing.T) {
	t.Parallel()
	f, organization := registrar(t)
	_, made := f.register(t, "acme", `{"client_name":"Job","grant_types":["client_credentials"],"response_types":[]}`)
	a := application{id: made["client_id"].(string), secret: made["client_secret"].(string)}
	row := func() store.Client {
		c, err := store.FindClientOf(t.Context(), f.db.Pool(), organization, a.id)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if since := time.Since(row().UsedAt); since > time.Minute || !row().Settings.GetDeleteUnused() {
		t.Fatalf("used last %v ago, and deleted unused: %t", since, row().Settings.GetDeleteUnused())
	}
	before := time.Now().Add(-25 * time.Hour).UTC().Truncate(time.Microsecond)
	if _, err := f.db.Pool().Exec(t.Context(), `UPDATE sessions.clients SET used_at = $1`, before); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if status, said := f.answer(t, application{a.id, "guessed"}, "/oauth2/token", form); status != http.StatusUnauthorized || !row().UsedAt.Equal(before) {
		t.Errorf("who guesses its secret uses it: %d %v", status, said)
	}
	f.post(t, a, "/oauth2/token", form)
	written := row().UsedAt
	if time.Since(written) > time.Minute {
		t.Errorf("it is used, and written is %v", written)
	}
	f.post(t, a, "/oauth2/token", form)
	if !row().UsedAt.Equal(written) {
		t.Error("each use is written")
	}
}

// Who cannot be asked for a certificate cannot prove to be a client by one.
func TestRegistrationWithCertificates(t *testing.T) {
	t.Parallel()
	f, _ := registrar(t)
	for _, body := range []string{
		`{"client_name":"Job","grant_types":["client_credentials"],"response_types":[],"token_endpoint_auth_method":"self_signed_tls_client_auth","jwks":{"keys":[]}}`,
		`{"client_name":"Job","grant_types":["client_credentials"],"response_types":[],"tls_client_certificate_bound_access_tokens":true}`,
	} {
		res, said := f.register(t, "acme", body)
		if res.StatusCode != http.StatusBadRequest || said["error"] != "invalid_client_metadata" {
			t.Errorf("%s: %d %v", body, res.StatusCode, said)
		}
	}
}
