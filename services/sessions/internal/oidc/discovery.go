package oidc

import (
	"net/http"

	"github.com/meridian-iam/meridian/pkg/dpop"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/clientauth"
)

// metadata is what the provider says of itself.
//
// Source: RFC 8414 section 2; OpenID Connect Discovery 1.0 section 3; RFC 9126 section
// 5; RFC 9207 section 3; RFC 9449 section 5.1; OpenID Connect Back-Channel Logout 1.0
// section 2.1; draft-ietf-oauth-client-id-metadata-document, Authorization Server Metadata.
type metadata struct {
	Issuer                    string   `json:"issuer"`
	Authorization             string   `json:"authorization_endpoint"`
	Token                     string   `json:"token_endpoint"`
	UserInfo                  string   `json:"userinfo_endpoint"`
	Keys                      string   `json:"jwks_uri"`
	PushedRequest             string   `json:"pushed_authorization_request_endpoint"`
	Revocation                string   `json:"revocation_endpoint"`
	Introspection             string   `json:"introspection_endpoint"`
	EndSession                string   `json:"end_session_endpoint"`
	Device                    string   `json:"device_authorization_endpoint"`
	Registration              string   `json:"registration_endpoint,omitempty"`
	Scopes                    []string `json:"scopes_supported"`
	ResponseTypes             []string `json:"response_types_supported"`
	ResponseModes             []string `json:"response_modes_supported"`
	GrantTypes                []string `json:"grant_types_supported"`
	SubjectTypes              []string `json:"subject_types_supported"`
	IDTokenAlgorithms         []string `json:"id_token_signing_alg_values_supported"`
	TokenAuthentication       []string `json:"token_endpoint_auth_methods_supported"`
	AssertionAlgorithms       []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuth         []string `json:"introspection_endpoint_auth_methods_supported"`
	RevocationAuth            []string `json:"revocation_endpoint_auth_methods_supported"`
	ChallengeMethods          []string `json:"code_challenge_methods_supported"`
	Prompts                   []string `json:"prompt_values_supported"`
	ACRs                      []string `json:"acr_values_supported"`
	Claims                    []string `json:"claims_supported"`
	Locales                   []string `json:"ui_locales_supported"`
	ProofAlgorithms           []string `json:"dpop_signing_alg_values_supported"`
	IssuerInResponses         bool     `json:"authorization_response_iss_parameter_supported"`
	PushedRequestsRequired    bool     `json:"require_pushed_authorization_requests"`
	CertificateBound          bool     `json:"tls_client_certificate_bound_access_tokens"`
	RequestObjects            bool     `json:"request_parameter_supported"`
	RequestURIs               bool     `json:"request_uri_parameter_supported"`
	ClaimsParameter           bool     `json:"claims_parameter_supported"`
	BackChannelLogout         bool     `json:"backchannel_logout_supported"`
	BackChannelLogoutSessions bool     `json:"backchannel_logout_session_supported"`
	ClientDocuments           bool     `json:"client_id_metadata_document_supported"`
	Certified                 *aliases `json:"mtls_endpoint_aliases,omitempty"`
}

// aliases are the endpoints where clients are asked for certificates.
//
// Source: RFC 8705 section 5.
type aliases struct {
	Token         string `json:"token_endpoint"`
	UserInfo      string `json:"userinfo_endpoint"`
	PushedRequest string `json:"pushed_authorization_request_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
	Introspection string `json:"introspection_endpoint"`
	Device        string `json:"device_authorization_endpoint"`
}

// signing are the algorithms that tokens are signed with.
var signing = []string{"ES256", "RS256", "EdDSA"}

// discovery serves the metadata of an issuer, in both of its places.
func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request, issuer string) error {
	methods := clientauth.Methods()
	body := metadata{
		Issuer: issuer, Authorization: issuer + "/oauth2/authorize", Token: issuer + "/oauth2/token", UserInfo: issuer + "/oauth2/userinfo",
		Keys: issuer + "/oauth2/jwks", PushedRequest: issuer + "/oauth2/par", Revocation: issuer + "/oauth2/revoke",
		Introspection: issuer + "/oauth2/introspect", EndSession: issuer + "/oauth2/logout", Device: issuer + "/oauth2/device_authorization",
		Scopes: []string{"openid", "profile", "email", "offline_access"}, ResponseTypes: []string{"code"}, ResponseModes: []string{"query", "form_post"},
		GrantTypes:   []string{"authorization_code", "refresh_token", "client_credentials", deviceGrant, exchangeGrant, workloadGrant},
		SubjectTypes: []string{"public"}, IDTokenAlgorithms: signing, TokenAuthentication: methods,
		AssertionAlgorithms: []string{"ES256", "ES384", "RS256", "PS256", "EdDSA"}, IntrospectionAuth: methods[:3], RevocationAuth: methods,
		ChallengeMethods: []string{"S256"}, Prompts: []string{"none", "login", "consent", "select_account", "create"}, ACRs: []string{"aal1", "aal2"},
		Claims: []string{
			"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid", "org", "name", "locale", "email", "email_verified",
		},
		Locales: []string{"en", "de"}, ProofAlgorithms: dpop.Algorithms(), IssuerInResponses: true,
		BackChannelLogout: true, BackChannelLogoutSessions: true,
		ClientDocuments: p.Documents != nil,
	}
	if p.Certificates {
		body.CertificateBound = true
		body.TokenAuthentication = append(body.TokenAuthentication[:len(methods):len(methods)], "self_signed_tls_client_auth")
		if p.Clients.Authorities != nil {
			body.TokenAuthentication = append(body.TokenAuthentication, "tls_client_auth")
		}
	}
	if at := p.certifiedURL(issuer); at != "" {
		body.Certified = &aliases{
			Token: at + "/oauth2/token", UserInfo: at + "/oauth2/userinfo", PushedRequest: at + "/oauth2/par", Revocation: at + "/oauth2/revoke",
			Introspection: at + "/oauth2/introspect", Device: at + "/oauth2/device_authorization",
		}
	}
	if p.Registry != nil {
		body.Registration = issuer + registerPath
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	return answer.Document(w, body)
}

// jwks serves the public keys. Verifiers look again after five minutes, and a key is
// published for longer than that before it signs.
func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request, _ string) error {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300, must-revalidate")
	_, err := w.Write(p.Keys.Set())
	return err
}
