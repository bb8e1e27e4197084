package serve_test

import (
	"net/http"
	"testing"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"

	"github.com/meridian-iam/meridian/pkg/serve"
)

// A token with scopes calls what they have, whatever the kind of call.
func TestScopedToken(t *testing.T) {
	t.Parallel()
	s := start(t, setup{prepare: plain(readAccess)})
	client := s.client(t, "acme-scoped")
	if err := get(t.Context(), client, acme); err != nil {
		t.Errorf("a procedure of its scopes: %v", err)
	}
	_, err := client.UpdateOrganization(t.Context(), &identityv1.UpdateOrganizationRequest{Organization: acme, IdempotencyKey: "1"})
	if reason(err) != commonv1.Reason_ACCESS_DENIED {
		t.Errorf("another procedure of the service: %v, want ACCESS_DENIED", err)
	}
	if _, err := importing(t, s, "acme-scoped").CloseAndReceive(); err != nil {
		t.Errorf("a stream of a service of its scopes: %v", err)
	}
	all := start(t, setup{prepare: mountEverything})
	for token, want := range map[string]commonv1.Reason{"acme-scoped": commonv1.Reason_ACCESS_DENIED, "acme-read": 0} {
		roles := authzv1connect.NewRoleServiceClient(httpClient(t, token, true), all.url)
		if _, err := roles.ListRoles(t.Context(), &authzv1.ListRolesRequest{Organization: acme}); reason(err) != want || (want == 0) != (err == nil) {
			t.Errorf("another service, by %s: %v, want %v", token, err, want)
		}
	}
	if status, body := s.plain(t, "acme-scoped", acme+"/hello"); status != http.StatusOK {
		t.Errorf("plain HTTP of its scopes: %d %s", status, body)
	}
	other := start(t, setup{prepare: func(s *serve.Server) {
		s.Mount("/plain/{organization}/{what}", s.Plain(serve.Plain{
			Procedure: "/plain.v1/Ask", Audience: "plain", Scope: "/plain.v2/Other", Access: readAccess,
			Organization: func(r *http.Request) string { return r.PathValue("organization") },
			Answer:       func(http.ResponseWriter, *http.Request) error { return nil },
			Refuse:       refuse,
		}))
	}})
	if status, body := other.plain(t, "acme-scoped", acme+"/hello"); status != http.StatusTeapot {
		t.Errorf("plain HTTP of another procedure: %d %s", status, body)
	}
	if status, body := other.plain(t, "acme-read", acme+"/hello"); status != http.StatusOK {
		t.Errorf("plain HTTP without scopes: %d %s", status, body)
	}
}
