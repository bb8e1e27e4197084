package client_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

func TestMetadata(t *testing.T) {
	t.Parallel()
	const callback = "https://shop.example/callback"
	settings := func(change func(*sessionsv1.ClientSettings)) *sessionsv1.ClientSettings {
		s := &sessionsv1.ClientSettings{
			Name: "shop.example", Authentication: sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_BASIC,
			GrantTypes: []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_AUTHORIZATION_CODE}, RedirectUris: []string{callback},
			Scopes: []string{"openid"}, ConsentRequired: true, DeleteUnused: true,
		}
		if change != nil {
			change(s)
		}
		return s
	}
	for name, tc := range map[string]struct {
		given client.Metadata
		want  *sessionsv1.ClientSettings
		field string
	}{
		"what the standard leaves out": {given: client.Metadata{RedirectURIs: []string{callback}}, want: settings(nil)},
		"all of it": {
			given: client.Metadata{
				RedirectURIs: []string{callback}, Authentication: "none", GrantTypes: []string{"authorization_code", "refresh_token"},
				ResponseTypes: []string{"code"}, Name: " Shop ", Scope: "openid  email", PostLogoutRedirectURIs: []string{"https://shop.example/"},
				IDTokenAlgorithm: "RS256", PushedRequestsRequired: true, DPoPRequired: true,
				CertificateBound: true, LogoutURI: "https://app.example/ended", LogoutSessionRequired: true,
				Given: []string{"redirect_uris", "logo_uri", "resource"},
			},
			want: settings(func(s *sessionsv1.ClientSettings) {
				s.Name, s.Authentication = "Shop", sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE
				s.GrantTypes = append(s.GrantTypes, sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN)
				s.Scopes, s.PostLogoutRedirectUris = []string{"openid", "email"}, []string{"https://shop.example/"}
				s.IdTokenAlgorithm, s.PushedRequestsRequired, s.DpopRequired = "RS256", true, true
				s.CertificateBound, s.BackchannelLogoutUri, s.BackchannelLogoutSessionRequired = true, "https://app.example/ended", true
			}),
		},
		"a machine": {
			given: client.Metadata{GrantTypes: []string{"client_credentials"}, Authentication: "private_key_jwt", JWKS: "{}"},
			want: &sessionsv1.ClientSettings{
				Name: "Unnamed client", Authentication: sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT, Jwks: "{}",
				GrantTypes: []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS}, ConsentRequired: true, DeleteUnused: true,
			},
		},
		"O19 software statement":    {given: client.Metadata{Given: []string{"software_statement"}}, field: "software_statement"},
		"O19 jwks_uri":              {given: client.Metadata{Given: []string{"jwks", "jwks_uri"}}, field: "jwks_uri"},
		"O19 sector_identifier_uri": {given: client.Metadata{Given: []string{"sector_identifier_uri"}}, field: "sector_identifier_uri"},
		"O19 request_uris":          {given: client.Metadata{Given: []string{"request_uris"}}, field: "request_uris"},
		"a certificate":             {given: client.Metadata{Authentication: "tls_client_auth"}, field: "token_endpoint_auth_method"},
		"implicit":                  {given: client.Metadata{GrantTypes: []string{"implicit"}}, field: "grant_types"},
		"password":                  {given: client.Metadata{GrantTypes: []string{"authorization_code", "password"}}, field: "grant_types"},
		"a token in the front":      {given: client.Metadata{ResponseTypes: []string{"token"}}, field: "response_types"},
		"hybrid":                    {given: client.Metadata{ResponseTypes: []string{"code", "code id_token"}}, field: "response_types"},
		"codes without their grant": {given: client.Metadata{GrantTypes: []string{"client_credentials"}, ResponseTypes: []string{"code"}}, field: "response_types"},
	} {
		got, err := tc.given.Settings()
		if tc.field != "" {
			f, _ := fault.As(err)
			if f == nil || f.Reason != commonv1.Reason_INVALID_FIELD || f.Meta["field"] != tc.field || got != nil {
				t.Errorf("%s: %v, %v, want field %s", name, got, err, tc.field)
			}
			continue
		}
		if diff := cmp.Diff(tc.want, got, protocmp.Transform()); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
			continue
		}
		// How it is described leads to the same client again.
		again, err := client.Described(got).Settings()
		if diff := cmp.Diff(got, again, protocmp.Transform()); diff != "" || err != nil {
			t.Errorf("%s, described: %v %s", name, err, diff)
		}
	}
}
