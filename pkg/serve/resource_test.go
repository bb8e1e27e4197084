package serve_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"

	"github.com/meridian-iam/meridian/pkg/serve"
)

// ourAPI is a server with two names, of which one has a path, and one that is no place.
var ourAPI = &serve.Resource{
	Identifiers: []string{"https://api.example.com", "urn:example:api", "https://example.com:8443/v1/"},
	Issuers:     []string{"https://id.example.com"}, Scopes: []string{"meridian"}, Name: "Example",
}

// ask sends a request that names a host.
func (s *server) ask(t *testing.T, method, host, path, token string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	req.Header.Set("Content-Type", "application/json")
	res, err := httpClient(t, token, false).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestResourceSaysWhatItIs(t *testing.T) {
	t.Parallel()
	s := start(t, setup{resource: ourAPI})
	const place = "/.well-known/oauth-protected-resource"
	for name, tc := range map[string]struct{ host, path, resource string }{
		"by its host":            {"api.example.com", place, "https://api.example.com"},
		"in capitals":            {"API.example.com", place, "https://api.example.com"},
		"with a path":            {"example.com:8443", place + "/v1", "https://example.com:8443/v1/"},
		"path of another host":   {"api.example.com", place + "/v1", ""},
		"no path where one is":   {"example.com:8443", place, ""},
		"another port":           {"example.com", place + "/v1", ""},
		"a host that it has not": {"evil.example", place, ""},
	} {
		res, body := s.ask(t, http.MethodGet, tc.host, tc.path, "")
		if tc.resource == "" {
			if res.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %d %s", name, res.StatusCode, body)
			}
			continue
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
		want := map[string]any{
			"resource": tc.resource, "authorization_servers": []any{"https://id.example.com"}, "scopes_supported": []any{"meridian"},
			"bearer_methods_supported": []any{"header"}, "resource_name": "Example",
			"dpop_signing_alg_values_supported": []any{"ES256", "ES384", "EdDSA", "RS256", "PS256"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if h := res.Header; h.Get("Content-Type") != "application/json" || h.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: headers %v", name, h)
		}
	}
}

func TestChallenge(t *testing.T) {
	t.Parallel()
	s := start(t, setup{resource: ourAPI, prepare: plain(readAccess)})
	const procedure = identityv1connect.OrganizationServiceGetOrganizationProcedure
	const place = `resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`
	for name, tc := range map[string]struct{ host, path, token, want string }{
		"Connect without a token":    {"api.example.com", procedure, "", "Bearer " + place},
		"Connect, unknown token":     {"api.example.com", procedure, "who", `Bearer error="invalid_token", ` + place},
		"plain without a token":      {"api.example.com", "/plain/" + acme + "/hello", "", "Bearer " + place},
		"plain, unknown token":       {"api.example.com", "/plain/" + acme + "/hello", "who", `Bearer error="invalid_token", ` + place},
		"a host that it has not":     {"evil.example", procedure, "", "Bearer " + place},
		"a place with a path":        {"example.com:8443", procedure, "", `Bearer resource_metadata="https://example.com:8443/.well-known/oauth-protected-resource/v1"`},
		"who may not is not asked":   {"api.example.com", "/plain/" + acme + "/hello", "other-admin", ""},
		"who may is not asked":       {"api.example.com", "/plain/" + acme + "/hello", "acme-read", ""},
		"Connect: who may not":       {"api.example.com", procedure, "acme-read", ""},
		"health needs no token":      {"api.example.com", "/livez", "", ""},
		"a path that nobody serves":  {"api.example.com", "/nothing", "", ""},
		"a procedure that is absent": {"api.example.com", "/meridian.identity.v1.OrganizationService/Nothing", "", ""},
	} {
		res, body := s.ask(t, http.MethodPost, tc.host, tc.path, tc.token)
		if got := strings.Join(res.Header.Values("WWW-Authenticate"), " | "); got != tc.want {
			t.Errorf("%s: %d %s: challenge %q, want %q", name, res.StatusCode, body, got, tc.want)
		}
	}
	// Clients of calls read what they read without it, and gRPC hears nothing of it.
	bare := start(t, setup{})
	for name, option := range map[string]connect.ClientOption{"gRPC": connect.WithGRPC(), "gRPC-Web": connect.WithGRPCWeb(), "Connect": connect.WithProtoJSON()} {
		var texts []string
		for _, from := range []*server{s, bare} {
			_, err := from.client(t, "", option).GetOrganization(t.Context(), &identityv1.GetOrganizationRequest{Organization: acme})
			said := new(connect.Error)
			if !errors.As(err, &said) || said.Code() != connect.CodeUnauthenticated || len(said.Details()) == 0 {
				t.Fatalf("%s: %v", name, err)
			}
			texts = append(texts, err.Error())
			if challenge := said.Meta().Get("WWW-Authenticate"); challenge != "" && (name != "Connect" || from == bare) {
				t.Errorf("%s: challenge %q", name, challenge)
			}
		}
		if texts[0] != texts[1] {
			t.Errorf("%s: %q, and without a challenge %q", name, texts[0], texts[1])
		}
	}
}

// Where no token of an issuer is taken there is nothing to tell.
func TestNoIssuersNoChallenge(t *testing.T) {
	t.Parallel()
	s := start(t, setup{resource: &serve.Resource{Identifiers: []string{"https://api.example.com"}}})
	res, _ := s.ask(t, http.MethodPost, "api.example.com", identityv1connect.OrganizationServiceGetOrganizationProcedure, "")
	if res.StatusCode != http.StatusUnauthorized || res.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if res, _ := s.ask(t, http.MethodGet, "api.example.com", "/.well-known/oauth-protected-resource", ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("document: %d", res.StatusCode)
	}
}
