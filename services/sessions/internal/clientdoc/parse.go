package clientdoc

import (
	"encoding/json"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/jose"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

// maxBody is how much a document may have, in bytes.
//
// Source: draft-ietf-oauth-client-id-metadata-document, Maximum Response Size for Client
// ID Metadata Documents.
const maxBody = 5 << 10

// Parse reads the document of a client that was found at a URL, which gets what is offered
// to all such clients. Names are compared as
// they are written; what is null is absent.
//
// Errors: INVALID_FIELD, with the name in the metadata; it quotes nothing.
func Parse(url string, body []byte, offered client.Offer) (*eventv1.ClientSettings, error) {
	if len(body) > maxBody {
		return nil, fault.Field("document", "length", "has more than 5 KiB")
	}
	members := map[string]json.RawMessage{}
	if err := jose.Claims(body, &members); err != nil {
		return nil, fault.Field("document", "json", "must be a JSON object that has no name twice")
	}
	var d client.Document
	for name, value := range members {
		if string(value) == "null" {
			delete(members, name)
			continue
		}
		d.Given = append(d.Given, name)
	}
	for name, into := range map[string]any{
		"client_id": &d.ID, "client_name": &d.Name, "redirect_uris": &d.RedirectURIs, "token_endpoint_auth_method": &d.Authentication,
		"grant_types": &d.GrantTypes, "response_types": &d.ResponseTypes, "scope": &d.Scope, "post_logout_redirect_uris": &d.PostLogoutRedirectURIs,
		"id_token_signed_response_alg": &d.IDTokenAlgorithm, "require_pushed_authorization_requests": &d.PushedRequestsRequired,
		"dpop_bound_access_tokens": &d.DPoPRequired, "tls_client_certificate_bound_access_tokens": &d.CertificateBound,
	} {
		if value, given := members[name]; given && json.Unmarshal(value, into) != nil {
			return nil, fault.Field(name, "type", "is of another type")
		}
	}
	d.JWKS = string(members["jwks"])
	settings, err := d.Settings(url, offered)
	if err != nil {
		return nil, err
	}
	if d.JWKS != "" {
		if _, err := jose.ParseKeys("jwks", d.JWKS); err != nil {
			return nil, err
		}
	}
	return settings, nil
}
