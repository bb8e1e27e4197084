package authorize_test

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/services/sessions/internal/domain/authorize"
)

const (
	callback  = "https://app.example/callback"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

func client() authorize.Client {
	return authorize.Client{
		ID: "cli_1", Registered: func(uri string) bool { return uri == callback }, Codes: true,
		Scopes: []string{"openid", "email", "offline_access"}, Resources: []string{"https://api.example", "https://logs.example"},
	}
}

func parameters() authorize.Parameters {
	return authorize.Parameters{
		"client_id": {"cli_1"}, "redirect_uri": {callback}, "response_type": {"code"}, "state": {"s"}, "nonce": {"n"},
		"scope": {"openid email"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	got, err := authorize.Decide(parameters(), client())
	want := authorize.Request{
		Client: "cli_1", Redirect: authorize.Redirect{URI: callback, State: "s"}, Scopes: []string{"openid", "email"},
		Resources: []string{"https://api.example"}, Challenge: challenge, Nonce: "n", MaxAge: -1,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	p := parameters()
	maps.Copy(p, authorize.Parameters{
		"response_mode": {"form_post"}, "resource": {"https://logs.example", "https://api.example", "https://logs.example"}, "prompt": {"login consent"},
		"max_age": {"0"}, "acr_values": {"gold aal2 aal1 aal2"}, "login_hint": {"ada@acme.example"}, "organization": {"acme"},
		"ui_locales": {"de-AT de en"}, "dpop_jkt": {challenge}, "display": {"popup"}, "unknown": {"is passed over"}, "claims": {""},
	})
	got, err = authorize.Decide(p, client())
	want.Redirect.FormPost, want.Resources = true, []string{"https://api.example", "https://logs.example"}
	want.Prompt, want.MaxAge, want.Levels = authorize.Prompt{Login: true, Consent: true}, 0, []string{"aal2", "aal1"}
	want.LoginHint, want.Organization, want.Locales, want.Key = "ada@acme.example", "acme", []string{"de-AT", "de", "en"}, challenge
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("s", 1<<20)
	for name, tc := range map[string]struct {
		change authorize.Parameters // nil values: the parameter is absent
		client func(*authorize.Client)
		code   string
		// page: the person is told, the client is not.
		page bool
	}{
		"no client":                     {change: authorize.Parameters{"client_id": nil}, code: authorize.InvalidRequest, page: true},
		"another client":                {change: authorize.Parameters{"client_id": {"cli_2"}}, code: authorize.InvalidRequest, page: true},
		"two clients":                   {change: authorize.Parameters{"client_id": {"cli_1", "cli_1"}}, code: authorize.InvalidRequest, page: true},
		"no redirect URI":               {change: authorize.Parameters{"redirect_uri": nil}, code: authorize.InvalidRequest, page: true},
		"two redirect URIs":             {change: authorize.Parameters{"redirect_uri": {callback, "https://evil.example"}}, code: authorize.InvalidRequest, page: true},
		"O02 unregistered redirect URI": {change: authorize.Parameters{"redirect_uri": {"https://evil.example"}, "response_type": {"token"}}, code: authorize.InvalidRequest, page: true},
		"no response type":              {change: authorize.Parameters{"response_type": nil}, code: authorize.InvalidRequest},
		"O09 implicit":                  {change: authorize.Parameters{"response_type": {"token"}}, code: authorize.UnsupportedResponseType},
		"O09 hybrid":                    {change: authorize.Parameters{"response_type": {"code id_token"}}, code: authorize.UnsupportedResponseType},
		"client of machines":            {client: func(c *authorize.Client) { c.Codes = false }, code: authorize.UnauthorizedClient},
		"fragment":                      {change: authorize.Parameters{"response_mode": {"fragment"}}, code: authorize.InvalidRequest},
		"O05 no challenge":              {change: authorize.Parameters{"code_challenge": nil}, code: authorize.InvalidRequest},
		"O05 plain":                     {change: authorize.Parameters{"code_challenge_method": {"plain"}}, code: authorize.InvalidRequest},
		"O05 no method, which is plain": {change: authorize.Parameters{"code_challenge_method": nil}, code: authorize.InvalidRequest},
		"O05 short challenge":           {change: authorize.Parameters{"code_challenge": {challenge[1:]}}, code: authorize.InvalidRequest},
		"challenge of other characters": {change: authorize.Parameters{"code_challenge": {challenge[1:] + "+"}}, code: authorize.InvalidRequest},
		"key of other form":             {change: authorize.Parameters{"dpop_jkt": {"jkt"}}, code: authorize.InvalidRequest},
		"scope of others":               {change: authorize.Parameters{"scope": {"openid admin"}}, code: authorize.InvalidScope},
		"resource of others":            {change: authorize.Parameters{"resource": {"https://other.example"}}, code: authorize.InvalidTarget},
		"state twice":                   {change: authorize.Parameters{"state": {"a", "b"}}, code: authorize.InvalidRequest},
		"unknown parameter twice":       {change: authorize.Parameters{"x": {"a", "b"}}, code: authorize.InvalidRequest},
		"state of a megabyte":           {change: authorize.Parameters{"state": {long}}, code: authorize.InvalidRequest},
		"null byte":                     {change: authorize.Parameters{"nonce": {"a\x00"}}, code: authorize.InvalidRequest},
		"O21 request object":            {change: authorize.Parameters{"request": {"e30.e30."}}, code: authorize.RequestNotSupported},
		"O14 foreign request_uri":       {change: authorize.Parameters{"request_uri": {"https://evil.example/r"}}, code: authorize.RequestURINotSupported},
		"registration":                  {change: authorize.Parameters{"registration": {"{}"}}, code: authorize.RegistrationUnsupported},
		"prompt none and login":         {change: authorize.Parameters{"prompt": {"none login"}}, code: authorize.InvalidRequest},
		"unknown prompt":                {change: authorize.Parameters{"prompt": {"dance"}}, code: authorize.InvalidRequest},
		"negative age":                  {change: authorize.Parameters{"max_age": {"-1"}}, code: authorize.InvalidRequest},
		"huge age":                      {change: authorize.Parameters{"max_age": {"9223372036854775807"}}, code: authorize.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, c := parameters(), client()
			maps.Copy(p, tc.change)
			maps.DeleteFunc(p, func(_ string, v []string) bool { return v == nil })
			if tc.client != nil {
				tc.client(&c)
			}
			_, err := authorize.Decide(p, c)
			refusal, ok := errors.AsType[*authorize.Error](err)
			if !ok || refusal.Code != tc.code {
				t.Fatalf("error %v, want %s", err, tc.code)
			}
			if (refusal.Redirect.URI == "") != tc.page {
				t.Errorf("the client is told at %q", refusal.Redirect.URI)
			}
			if len(refusal.Redirect.State) > 2048 {
				t.Errorf("a state of %d bytes goes back", len(refusal.Redirect.State))
			}
			if strings.Contains(refusal.Description, "evil") {
				t.Errorf("the description quotes: %s", refusal.Description)
			}
		})
	}
}

// Whatever comes: no panic, and nothing leads to where the client is not.
func FuzzDecide(f *testing.F) {
	f.Add("code", callback, "s", "openid", "login", "10", challenge, "S256")
	f.Add("token", "https://evil.example", "", "", "none login", "-1", "", "plain")
	f.Fuzz(func(t *testing.T, kind, uri, state, scope, prompt, age, proof, method string) {
		r, err := authorize.Decide(authorize.Parameters{
			"client_id": {"cli_1"}, "redirect_uri": {uri}, "response_type": {kind}, "state": {state}, "scope": {scope}, "prompt": {prompt},
			"max_age": {age}, "code_challenge": {proof}, "code_challenge_method": {method},
		}, client())
		redirect := r.Redirect
		if refusal, ok := errors.AsType[*authorize.Error](err); ok {
			redirect = refusal.Redirect
		}
		if redirect.URI != "" && redirect.URI != callback {
			t.Errorf("leads to %q", redirect.URI)
		}
		if err == nil && (r.MaxAge < -1 || r.MaxAge > 1<<31*time.Second || len(r.Challenge) != 43) {
			t.Errorf("%+v", r)
		}
	})
}
