package provider_test

import (
	"crypto/rand"
	"maps"
	"net/http"
	"strings"
	"testing"

	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// TestRegistration: a program that knows the API alone finds the provider, makes itself
// a client with a token of whoever may make clients, and signs somebody in.
func TestRegistration(t *testing.T) {
	w := start(t)
	user := w.user(t, "ada@example.com")

	// The API refuses, and says where its tokens come from.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.issuer+"/meridian.sessions.v1.ClientService/ListClients", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	refused := send(t, req)
	place, found := strings.CutPrefix(refused.header.Get("WWW-Authenticate"), `Bearer resource_metadata="`)
	place = strings.TrimSuffix(place, `"`)
	if !found || refused.status != http.StatusUnauthorized {
		t.Fatalf("%d %v", refused.status, refused.header)
	}
	req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, place, nil)
	if err != nil {
		t.Fatal(err)
	}
	says := send(t, req)
	servers, _ := says.body["authorization_servers"].([]any)
	if says.str("resource") != w.issuer || len(servers) != 1 || servers[0] != w.issuer {
		t.Fatalf("%s: %d %s", place, says.status, says.text)
	}

	organization, err := w.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{
		Slug: "acme", Name: "Acme", IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	acme := organization.GetOrganization().GetId()
	_, err = w.Memberships.AddMember(t.Context(), &identityv1.AddMemberRequest{Organization: acme, User: user, IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	token := func(level commonv1.Level) string {
		made, err := w.Tokens.CreateApiToken(t.Context(), &identityv1.CreateApiTokenRequest{
			Organization: acme, Name: "registration", Level: level, IdempotencyKey: rand.Text(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return made.GetSecret()
	}

	metadata := args{
		"redirect_uris": []string{w.callback()}, "client_name": "Registered", "scope": "openid email", "logo_uri": "http://169.254.169.254/",
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
	}
	for name, tc := range map[string]struct{ by, token, auth, owner string }{
		"the platform's":      {"oidc", w.token.Reveal(), "", ""},
		"an organization's":   {"oauth2", token(commonv1.Level_LEVEL_ADMIN), "", acme},
		"one without secrets": {"oidc", w.token.Reveal(), "none", ""},
	} {
		t.Run(name, func(t *testing.T) {
			rp := openRelyingParty(t)
			metadata["token_endpoint_auth_method"] = "client_secret_post"
			if tc.auth == "none" {
				metadata["token_endpoint_auth_method"] = "none"
			}
			made := rp.do(t, "register", args{"issuer": w.issuer, "metadata": metadata, "token": tc.token, "auth": tc.auth, "by": tc.by})
			if _, secret := made["client_secret"]; secret == (tc.auth == "none") {
				t.Errorf("registered as %v", made)
			}
			row, err := w.Clients.GetClient(t.Context(), &sessionsv1.GetClientRequest{Organization: tc.owner, Client: text(t, made, "client_id")})
			if err != nil || row.GetClient().GetSettings().GetName() != "Registered" {
				t.Fatalf("the client is not there: %v", err)
			}
			v := w.visitor(t)
			v.open(text(t, rp.do(t, "start", args{"redirect": w.callback(), "scope": "openid email"}), "url"))
			v.signIn("ada@example.com")
			if v.back != "" {
				t.Error("nobody was asked whether they agree")
			} else {
				v.send("decision", "allow")
			}
			given := rp.do(t, "callback", args{"url": v.back})
			if claims, _ := given["claims"].(map[string]any); claims["sub"] != user {
				t.Errorf("the ID token says %v", claims)
			}
			rp.do(t, "refresh", args{"token": given["refresh_token"]})

			// What a person's token is for is no reason to make clients with it.
			rp.refused(t, "register", args{"issuer": w.issuer, "metadata": metadata, "token": given["access_token"]}, "access_denied")
		})
	}
	rp := openRelyingParty(t)
	rp.refused(t, "register", args{"issuer": w.issuer, "metadata": metadata, "token": token(commonv1.Level_LEVEL_WRITE)}, "access_denied")
	for code, change := range map[string]args{
		"invalid_redirect_uri":       {"redirect_uris": []string{"javascript:alert(1)"}},
		"invalid_client_metadata":    {"jwks_uri": w.app.URL},
		"invalid_software_statement": {"software_statement": "eyJ.e30."},
	} {
		bad := args{"redirect_uris": []string{w.callback()}}
		maps.Copy(bad, change)
		rp.refused(t, "register", args{"issuer": w.issuer, "metadata": bad, "token": w.token.Reveal()}, code)
	}
}
