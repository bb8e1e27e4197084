package clientdoc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/clientdoc"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

const at = "https://app.example/client.json"

type object = map[string]any

// document is one that is taken, with changes; nil takes a member away.
func document(t testing.TB, changes object) string {
	t.Helper()
	d := object{"client_id": at, "client_name": "App", "redirect_uris": []string{"https://app.example/callback"}}
	maps.Copy(d, changes)
	maps.DeleteFunc(d, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// keys are JWK Sets of a key pair: the public one, and one with the private key.
func keys(t testing.TB) (public, private json.RawMessage) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set := func(key any) json.RawMessage {
		text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: "1"}}})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	return set(key.Public()), set(key)
}

func TestDocumentsThatAreRefused(t *testing.T) {
	t.Parallel()
	public, private := keys(t)
	long := strings.Repeat("a", 5<<10)
	of := func(changes object) string { return document(t, changes) }
	for name, tc := range map[string]struct{ text, field, rule string }{
		"nothing":                  {"", "document", "json"},
		"no JSON":                  {"<!doctype html>", "document", "json"},
		"an array":                 {"[]", "document", "json"},
		"two":                      {of(nil) + of(nil), "document", "json"},
		"5 KiB and a byte":         {padded(of(nil), 5<<10+1), "document", "length"},
		"a name twice":             {`{"client_id":"` + at + `",` + of(nil)[1:], "document", "json"},
		"a name in another case":   {`{"Client_ID":"https://bank.example/c",` + of(nil)[1:], "document", "json"},
		"no UTF-8":                 {of(nil)[:len(of(nil))-1] + ",\"x\":\"\xff\"}", "document", "json"},
		"deep":                     {of(nil)[:len(of(nil))-1] + `,"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "}", "document", "json"},
		"no client_id":             {of(object{"client_id": nil}), "client_id", "equal"},
		"client_id is null":        {`{"client_id":null,"client_name":"App","redirect_uris":["https://app.example/"]}`, "client_id", "equal"},
		"another's client_id":      {of(object{"client_id": "https://app.example/other.json"}), "client_id", "equal"},
		"its client_id with :443":  {of(object{"client_id": "https://app.example:443/client.json"}), "client_id", "equal"},
		"client_id in an array":    {of(object{"client_id": []string{at}}), "client_id", "type"},
		"no name":                  {of(object{"client_name": nil}), "client_name", "length"},
		"a name of spaces":         {of(object{"client_name": "  "}), "client_name", "length"},
		"a long name":              {of(object{"client_name": long[:101]}), "client_name", "length"},
		"a name that turns":        {of(object{"client_name": "App\u202e"}), "client_name", "length"},
		"a name of two lines":      {of(object{"client_name": "App\nBank"}), "client_name", "length"},
		"the name is a number":     {of(object{"client_name": 1}), "client_name", "type"},
		"no redirect_uris":         {of(object{"redirect_uris": nil}), "redirect_uris", "required"},
		"none of them":             {of(object{"redirect_uris": []string{}}), "redirect_uris", "required"},
		"redirect_uris is a text":  {of(object{"redirect_uris": at}), "redirect_uris", "type"},
		"a null among them":        {of(object{"redirect_uris": []any{nil}}), "settings.redirect_uris[0]", "absolute"},
		"too many of them":         {of(object{"redirect_uris": strings.Split(strings.Repeat("https://app.example/ ", 21), " ")}), "redirect_uris", "length"},
		"a long one":               {of(object{"redirect_uris": []string{at + long[:1000]}}), "redirect_uris", "length"},
		"javascript":               {of(object{"redirect_uris": []string{"javascript:alert(1)"}}), "settings.redirect_uris[0]", "scheme"},
		"javascript, no brackets":  {of(object{"redirect_uris": []string{at, "javascript://a/%0aalert"}}), "settings.redirect_uris[1]", "scheme"},
		"data":                     {of(object{"redirect_uris": []string{"data:text/html,x"}}), "settings.redirect_uris[0]", "scheme"},
		"http elsewhere":           {of(object{"redirect_uris": []string{"http://app.example/"}}), "settings.redirect_uris[0]", "https"},
		"a redirect with fragment": {of(object{"redirect_uris": []string{at + "#a"}}), "settings.redirect_uris[0]", "fragment"},
		"javascript after logout":  {of(object{"post_logout_redirect_uris": []string{"javascript:a"}}), "settings.post_logout_redirect_uris[0]", "scheme"},
		"client_secret_basic":      {of(object{"token_endpoint_auth_method": "client_secret_basic"}), "token_endpoint_auth_method", "in"},
		"client_secret_post":       {of(object{"token_endpoint_auth_method": "client_secret_post"}), "token_endpoint_auth_method", "in"},
		"client_secret_jwt":        {of(object{"token_endpoint_auth_method": "client_secret_jwt"}), "token_endpoint_auth_method", "in"},
		"a certificate":            {of(object{"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": public}), "token_endpoint_auth_method", "in"},
		"a secret":                 {of(object{"client_secret": "secret"}), "client_secret", "unsupported"},
		"the end of a secret":      {of(object{"client_secret_expires_at": 0}), "client_secret_expires_at", "unsupported"},
		"jwks_uri":                 {of(object{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": at}), "jwks_uri", "unsupported"},
		"software_statement":       {of(object{"software_statement": "a.b.c"}), "software_statement", "unsupported"},
		"signs without keys":       {of(object{"token_endpoint_auth_method": "private_key_jwt"}), "settings.jwks", "private_key_jwt"},
		"keys without signing":     {of(object{"jwks": public}), "settings.jwks", "private_key_jwt"},
		"private keys":             {of(object{"token_endpoint_auth_method": "private_key_jwt", "jwks": private}), "jwks", "private"},
		"keys are a text":          {of(object{"token_endpoint_auth_method": "private_key_jwt", "jwks": "x"}), "jwks", "json"},
		"no codes":                 {of(object{"grant_types": []string{"client_credentials"}}), "grant_types", "authorization_code"},
		"implicit":                 {of(object{"response_types": []string{"token"}}), "response_types", "code"},
		"an algorithm of none":     {of(object{"id_token_signed_response_alg": "none"}), "id_token_signed_response_alg", "in"},
		"a boolean that is a text": {of(object{"dpop_bound_access_tokens": "true"}), "dpop_bound_access_tokens", "type"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings, err := clientdoc.Parse(at, []byte(tc.text), client.Offer{})
			f, ok := fault.As(err)
			if settings != nil || !ok || f.Reason != commonv1.Reason_INVALID_FIELD || f.Meta["field"] != tc.field || f.Meta["rule"] != tc.rule {
				t.Errorf("%v, %v", settings, err)
			}
		})
	}
	if _, err := clientdoc.Parse("http://app.example/client.json", []byte(document(t, object{"client_id": "http://app.example/client.json"})), client.Offer{}); err == nil {
		t.Error("a document of http is taken")
	}
}

// padded is a text with so many bytes.
func padded(text string, size int) string { return text + strings.Repeat(" ", size-len(text)) }

func TestDocumentsThatAreTaken(t *testing.T) {
	t.Parallel()
	public, _ := keys(t)
	const (
		codes   = int32(sessionsv1.GrantType_GRANT_TYPE_AUTHORIZATION_CODE)
		refresh = int32(sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN)
		none    = int32(sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE)
		signs   = int32(sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT)
	)
	for name, tc := range map[string]struct {
		changes object
		scopes  string
		grants  []int32
		method  int32
		devices bool
	}{
		"the least":              {nil, "openid profile email offline_access", []int32{codes}, none, false},
		"a public one":           {object{"token_endpoint_auth_method": "none", "grant_types": []string{"authorization_code", "refresh_token"}}, "openid profile email offline_access", []int32{codes, refresh}, none, false},
		"one that signs":         {object{"token_endpoint_auth_method": "private_key_jwt", "jwks": public}, "openid profile email offline_access", []int32{codes}, signs, false},
		"what is for others":     {object{"grant_types": []string{"urn:ietf:params:oauth:grant-type:device_code", "client_credentials", "authorization_code"}, "scope": "openid mcp:tools", "logo_uri": "javascript:a", "response_types": []string{"token", "code"}, "backchannel_logout_uri": "http://169.254.169.254/", "contacts": []int{1}}, "openid", []int32{codes}, none, false},
		"this API is not for it": {object{"scope": "meridian meridian.sessions.v1 email"}, "email", []int32{codes}, none, false},
		"on devices only":        {object{"redirect_uris": []string{"http://127.0.0.1/", "http://localhost:1/", "com.example.app:/back"}}, "openid profile email offline_access", []int32{codes}, none, true},
		"on devices, too":        {object{"redirect_uris": []string{"http://[::1]/", "https://app.example/"}}, "openid profile email offline_access", []int32{codes}, none, false},
		"null is absent":         {object{"jwks": json.RawMessage("null"), "client_secret": json.RawMessage("null")}, "openid profile email offline_access", []int32{codes}, none, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := clientdoc.Parse(at, []byte(padded(document(t, tc.changes), 5<<10)), client.Offer{})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(s.GetScopes(), " ") != tc.scopes || s.GetAuthentication() != tc.method || client.OnDevices(s) != tc.devices ||
				len(s.GetGrantTypes()) != len(tc.grants) || s.GetGrantTypes()[len(tc.grants)-1] != tc.grants[len(tc.grants)-1] {
				t.Errorf("settings are %v", s)
			}
			if !s.GetConsentRequired() || s.GetName() != "App" || s.GetBackchannelLogoutUri() != "" || len(s.GetResources()) != 0 ||
				s.GetRefreshLifetime() != int32(sessionsv1.RefreshLifetime_REFRESH_LIFETIME_SESSION) {
				t.Errorf("settings are %v", s)
			}
		})
	}
}

// What is offered to all clients that nobody registered, each gets that asks for it, or for
// nothing in particular.
func TestOffered(t *testing.T) {
	t.Parallel()
	offered := client.Offer{Resources: []string{"https://mcp.example"}, Scopes: []string{"mcp:tools", "mcp:files"}}
	for scope, want := range map[string]string{
		"":                          "openid profile email offline_access mcp:tools mcp:files",
		"openid mcp:files mcp:root": "openid mcp:files",
		"meridian":                  "",
	} {
		changes := object{}
		if scope != "" {
			changes["scope"] = scope
		}
		s, err := clientdoc.Parse(at, []byte(document(t, changes)), offered)
		if err != nil || strings.Join(s.GetScopes(), " ") != want || !slices.Equal(s.GetResources(), offered.Resources) {
			t.Errorf("%q: %v, %v", scope, s, err)
		}
	}
	for name, tc := range map[string]struct {
		offer client.Offer
		field string
	}{
		"nothing":           {client.Offer{}, ""},
		"an API":            {offered, ""},
		"a fragment":        {client.Offer{Resources: []string{"https://a.example", "https://mcp.example#a"}}, "resources[1]"},
		"no URI":            {client.Offer{Resources: []string{"mcp"}}, "resources[0]"},
		"all of this API":   {client.Offer{Scopes: []string{"meridian"}}, "scopes[0]"},
		"some of this API":  {client.Offer{Scopes: []string{"a", "meridian.sessions.v1.ClientService"}}, "scopes[1]"},
		"who somebody is":   {client.Offer{Scopes: []string{"email"}}, "scopes[0]"},
		"two scopes in one": {client.Offer{Scopes: []string{"a b"}}, "scopes[0]"},
		"an empty scope":    {client.Offer{Scopes: []string{""}}, "scopes[0]"},
		"too many":          {client.Offer{Scopes: slices.Repeat([]string{"a"}, 41)}, "scopes"},
	} {
		f, _ := fault.As(tc.offer.Valid())
		if (f != nil) != (tc.field != "") || f != nil && f.Meta["field"] != tc.field {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// FuzzParse: what is taken is a client with the least rights, and nothing panics.
func FuzzParse(f *testing.F) {
	public, _ := keys(f)
	for _, changes := range []object{nil, {"jwks": public, "token_endpoint_auth_method": "private_key_jwt"}, {"scope": "openid meridian"}} {
		f.Add(at, []byte(document(f, changes)))
	}
	f.Add("https://app.example/a", []byte(`{"client_id":"https://app.example/a"}`))
	f.Fuzz(func(t *testing.T, url string, body []byte) {
		s, err := clientdoc.Parse(url, body, client.Offer{})
		if (s == nil) == (err == nil) {
			t.Fatalf("%v, %v", s, err)
		}
		if err != nil {
			if _, ok := fault.As(err); !ok {
				t.Fatal(err)
			}
			return
		}
		switch {
		case !client.IsDocument(url), len(body) > 5<<10, !s.GetConsentRequired(), client.HasSecret(s), s.GetServiceAccount() != "",
			len(s.GetRedirectUris()) == 0, len(s.GetResources()) > 0, s.GetBackchannelLogoutUri() != "", len(s.GetGrantTypes()) > 2, len(s.GetScopes()) > 4:
			t.Fatalf("%q: %v", url, s)
		}
	})
}
