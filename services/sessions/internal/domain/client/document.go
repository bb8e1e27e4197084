package client

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/uri"
)

// IsDocument says whether a client_id is the URL of a document in which a client that
// nobody registered describes itself.
//
// Source: draft-ietf-oauth-client-id-metadata-document, Client Identifier URL.
func IsDocument(clientID string) bool { return uri.DocumentRule(clientID) == "" }

// Bounds of what a document says, as those of the contract for clients that are
// registered.
const (
	maxName = 100
	maxURIs = 20
	maxURI  = 1000
	// maxScope and maxScopes are those of an offer.
	maxScope, maxScopes = 100, 40
	// ownScopes begin the scopes of this API.
	ownScopes = "meridian"
)

// documentScopes are what such a client may ask for: what says who somebody is. Others
// are of APIs, for which it is only what is offered to all such clients.
var documentScopes = []string{standardScope, "profile", "email", "offline_access"}

// documentAlgorithms sign ID tokens.
var documentAlgorithms = []string{"", "ES256", "RS256", "EdDSA"}

// Offer is what clients that nobody registered may ask for beside who somebody is: APIs,
// and their scopes. The zero Offer is nothing.
type Offer struct{ Resources, Scopes []string }

// Valid says what is wrong with an offer. This API is for no such client, whatever its
// users agree to.
//
// Errors: INVALID_FIELD (resources or scopes, and the rule).
func (o Offer) Valid() error {
	for i, r := range o.Resources {
		if rule := uri.ResourceRule(r); rule != "" {
			return fault.Field(fmt.Sprintf("resources[%d]", i), rule, "is no name of an API")
		}
	}
	for i, s := range o.Scopes {
		of := strings.HasPrefix(s, ownScopes) || slices.Contains(documentScopes, s)
		if of || s == "" || len(s) > maxScope || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }) {
			return fault.Field(fmt.Sprintf("scopes[%d]", i), "scope", "is no scope of another API")
		}
	}
	if len(o.Resources) > maxURIs || len(o.Scopes) > maxScopes {
		return fault.Field("scopes", "length", "must be 40 at most, and resources 20")
	}
	return nil
}

// Document is what a client publishes of itself.
type Document struct {
	Metadata

	// ID is the client_id that it says.
	ID string
}

// Settings are those of the client that publishes a document at a URL, with what is
// offered to all such clients. A document is for
// all providers, so what it says of grants and scopes that such a client does not get
// here is passed over; what would make it another client, or weaken it, is refused.
// Nobody vouches for it: its users are asked. It gets tokens of users only, and is told
// of no logout. Of JWK Sets the caller knows more.
//
// Errors: INVALID_FIELD, with the name in the metadata.
//
// Source: draft-ietf-oauth-client-id-metadata-document, Client ID Metadata Document;
// RFC 7591 section 2.
func (d Document) Settings(url string, offered Offer) (*eventv1.ClientSettings, error) {
	if err := d.refused(url); err != nil {
		return nil, err
	}
	s := &eventv1.ClientSettings{
		Name: strings.TrimSpace(d.Name), Authentication: int32(sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE),
		RedirectUris: d.RedirectURIs, PostLogoutRedirectUris: d.PostLogoutRedirectURIs, IdTokenAlgorithm: d.IDTokenAlgorithm, Jwks: d.JWKS,
		PushedRequestsRequired: d.PushedRequestsRequired, DpopRequired: d.DPoPRequired, CertificateBound: d.CertificateBound,
		GrantTypes: []int32{int32(sessionsv1.GrantType_GRANT_TYPE_AUTHORIZATION_CODE)}, ConsentRequired: true,
		Resources: offered.Resources,
	}
	if d.Authentication == "private_key_jwt" {
		s.Authentication = int32(sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT)
	}
	if slices.Contains(d.grantTypes(), refreshGrant) {
		s.GrantTypes = append(s.GrantTypes, int32(sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN))
	}
	said := strings.Fields(d.Scope)
	for _, scope := range slices.Concat(documentScopes, offered.Scopes) {
		if len(said) == 0 || slices.Contains(said, scope) {
			s.Scopes = append(s.Scopes, scope)
		}
	}
	return Complete(s, "")
}

// refused is why a document describes no client here; nil: it does.
func (d Document) refused(url string) error {
	for _, name := range append([]string{"client_secret", "client_secret_expires_at"}, refusedMetadata...) {
		if slices.Contains(d.Given, name) {
			return fault.Field(name, "unsupported", "is not taken from a document")
		}
	}
	name := strings.TrimSpace(d.Name)
	switch {
	case !IsDocument(url):
		return fault.Field("client_id", uri.DocumentRule(url), "is not such a URL")
	case d.ID != url:
		return fault.Field("client_id", "equal", "must be the URL of the document, as it is written")
	case name == "" || utf8.RuneCountInString(name) > maxName || strings.ContainsFunc(name, unreadable):
		return fault.Field("client_name", "length", "must have 1 to 100 characters that people can read")
	case len(d.RedirectURIs) == 0:
		return fault.Field("redirect_uris", "required", "are missing")
	case !slices.Contains([]string{"", "none", "private_key_jwt"}, d.Authentication):
		return fault.Field("token_endpoint_auth_method", "in", "must be none or private_key_jwt")
	case !slices.Contains(d.grantTypes(), codeGrant):
		return fault.Field("grant_types", "authorization_code", "must be among them")
	case len(d.ResponseTypes) > 0 && !slices.Contains(d.ResponseTypes, codeResponse):
		return fault.Field("response_types", "code", "must be among them")
	case !slices.Contains(documentAlgorithms, d.IDTokenAlgorithm):
		return fault.Field("id_token_signed_response_alg", "in", "must be of the provider's metadata")
	}
	for field, uris := range map[string][]string{"redirect_uris": d.RedirectURIs, "post_logout_redirect_uris": d.PostLogoutRedirectURIs} {
		if len(uris) > maxURIs || slices.ContainsFunc(uris, func(u string) bool { return len(u) > maxURI }) {
			return fault.Field(field, "length", "must be 20 of 1000 bytes at most")
		}
	}
	return nil
}

// unreadable says whether a character shows nothing, or changes how others are shown.
func unreadable(r rune) bool {
	return r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs)
}

// OnDevices says whether all that a client is reached by are programs on somebody's
// device: any of them could say that it is this client.
//
// Source: RFC 8252 section 8.6.
func OnDevices(s *eventv1.ClientSettings) bool {
	return !slices.ContainsFunc(s.GetRedirectUris(), func(u string) bool { return strings.HasPrefix(u, "https://") })
}

// DocumentHost is the host of the URL of a document, which is all that is known of such
// a client; "" for other ids.
func DocumentHost(clientID string) string { return uri.DocumentHost(clientID) }
