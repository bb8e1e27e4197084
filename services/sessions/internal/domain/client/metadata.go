package client

import (
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/uri"
)

// Metadata is a client as it describes itself, under the names of the standards. What
// is empty is left to the provider.
//
// Source: RFC 7591 section 2; OpenID Connect RP-Initiated Logout 1.0 section 3.1; RFC
// 9126 section 6; RFC 9449 section 5.2; RFC 8705 section 3.4; OpenID Connect Back-Channel
// Logout 1.0 section 2.2.
type Metadata struct {
	RedirectURIs           []string
	Authentication         string
	GrantTypes             []string
	ResponseTypes          []string
	Name                   string
	Scope                  string
	JWKS                   string
	PostLogoutRedirectURIs []string
	IDTokenAlgorithm       string
	PushedRequestsRequired bool
	DPoPRequired           bool
	CertificateBound       bool
	LogoutURI              string
	LogoutSessionRequired  bool
	// Given are the names that have a value, those that mean nothing here too.
	Given []string
}

const (
	codeGrant     = "authorization_code"
	refreshGrant  = "refresh_token"
	ownGrant      = "client_credentials"
	deviceGrant   = "urn:ietf:params:oauth:grant-type:device_code"
	codeResponse  = "code"
	standardScope = "openid"
	// maxGuess bounds a name that is made of a host, in bytes.
	maxGuess = 100
)

var authentications = map[string]sessionsv1.ClientAuthentication{
	"none":                        sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE,
	"client_secret_basic":         sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_BASIC,
	"client_secret_post":          sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_POST,
	"private_key_jwt":             sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT,
	"self_signed_tls_client_auth": sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SELF_SIGNED_TLS,
}

var grants = map[string]sessionsv1.GrantType{
	codeGrant:    sessionsv1.GrantType_GRANT_TYPE_AUTHORIZATION_CODE,
	refreshGrant: sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN,
	ownGrant:     sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS,
	deviceGrant:  sessionsv1.GrantType_GRANT_TYPE_DEVICE_CODE,
}

// refusedMetadata would make the provider ask, or believe, somebody whom the client
// names. What else means nothing here is left out of the answer instead.
var refusedMetadata = []string{"software_statement", "jwks_uri", "sector_identifier_uri", "request_uris"}

// Settings are the settings of a client that describes itself so. Nobody vouches for
// such a client, so its users are asked whether they agree. What Complete and the
// contract hold settings to is not looked at here.
//
// Errors: INVALID_FIELD, with the name in the metadata.
//
// Source: RFC 7591 sections 2 and 2.1.
func (m Metadata) Settings() (*sessionsv1.ClientSettings, error) {
	for _, name := range refusedMetadata {
		if slices.Contains(m.Given, name) {
			return nil, fault.Field(name, "unsupported", "is not supported: nobody is asked for it")
		}
	}
	method, known := authentications[orElse(m.Authentication, "client_secret_basic")]
	if !known {
		return nil, fault.Field("token_endpoint_auth_method", "in", "must be none, client_secret_basic, client_secret_post, private_key_jwt or self_signed_tls_client_auth")
	}
	s := &sessionsv1.ClientSettings{
		Authentication: method, RedirectUris: m.RedirectURIs, PostLogoutRedirectUris: m.PostLogoutRedirectURIs, Jwks: m.JWKS,
		IdTokenAlgorithm: m.IDTokenAlgorithm, PushedRequestsRequired: m.PushedRequestsRequired, DpopRequired: m.DPoPRequired,
		CertificateBound: m.CertificateBound, BackchannelLogoutUri: m.LogoutURI, BackchannelLogoutSessionRequired: m.LogoutSessionRequired,
		ConsentRequired: true, DeleteUnused: true,
	}
	for _, name := range m.grantTypes() {
		grant, known := grants[name]
		if !known {
			return nil, fault.Field("grant_types", "in", "must be of the provider's metadata")
		}
		s.GrantTypes = append(s.GrantTypes, grant)
	}
	if err := m.responds(); err != nil {
		return nil, err
	}
	s.Scopes = strings.Fields(m.Scope)
	if len(s.GetScopes()) == 0 && (slices.Contains(m.grantTypes(), codeGrant) || slices.Contains(m.grantTypes(), deviceGrant)) {
		s.Scopes = []string{standardScope}
	}
	s.Name = orElse(strings.TrimSpace(m.Name), m.guess())
	return s, nil
}

func (m Metadata) grantTypes() []string {
	if len(m.GrantTypes) == 0 {
		return []string{codeGrant}
	}
	return m.GrantTypes
}

// responds holds the response types to the grant types: codes go with code.
func (m Metadata) responds() error {
	codes := slices.Contains(m.grantTypes(), codeGrant)
	switch {
	case len(m.ResponseTypes) == 0:
		return nil
	case len(m.ResponseTypes) > 1 || m.ResponseTypes[0] != codeResponse:
		return fault.Field("response_types", "in", "must be code")
	case !codes:
		return fault.Field("response_types", "authorization_code", "must go with grant_types")
	}
	return nil
}

// guess is what people read of a client that says no name: the host that it leads to.
func (m Metadata) guess() string {
	if len(m.RedirectURIs) > 0 {
		if host := uri.Host(m.RedirectURIs[0]); host != "" && len(host) <= maxGuess {
			return host
		}
	}
	return "Unnamed client"
}

func orElse(text, standard string) string {
	if text == "" {
		return standard
	}
	return text
}

// Described is how a client with these settings describes itself.
func Described(s *sessionsv1.ClientSettings) Metadata {
	m := Metadata{
		RedirectURIs: s.GetRedirectUris(), Name: s.GetName(), Scope: strings.Join(s.GetScopes(), " "), JWKS: s.GetJwks(),
		PostLogoutRedirectURIs: s.GetPostLogoutRedirectUris(), IDTokenAlgorithm: s.GetIdTokenAlgorithm(),
		PushedRequestsRequired: s.GetPushedRequestsRequired(), DPoPRequired: s.GetDpopRequired(), CertificateBound: s.GetCertificateBound(),
		LogoutURI: s.GetBackchannelLogoutUri(), LogoutSessionRequired: s.GetBackchannelLogoutSessionRequired(),
	}
	for name, method := range authentications {
		if method == s.GetAuthentication() {
			m.Authentication = name
		}
	}
	for _, grant := range s.GetGrantTypes() {
		for name, of := range grants {
			if of == grant {
				m.GrantTypes = append(m.GrantTypes, name)
			}
		}
		if grant == sessionsv1.GrantType_GRANT_TYPE_AUTHORIZATION_CODE {
			m.ResponseTypes = []string{codeResponse}
		}
	}
	return m
}
