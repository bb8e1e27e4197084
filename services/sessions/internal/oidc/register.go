package oidc

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

const registerPath = "/oauth2/register"

// registered is the answer to a client that registered: what it is now, not what it
// asked for.
//
// Source: RFC 7591 section 3.2.1.
type registered struct {
	Client                 string          `json:"client_id"`
	IssuedAt               int64           `json:"client_id_issued_at"`
	Secret                 string          `json:"client_secret,omitempty"`
	SecretExpires          *int64          `json:"client_secret_expires_at,omitempty"`
	Name                   string          `json:"client_name"`
	RedirectURIs           []string        `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string        `json:"post_logout_redirect_uris,omitempty"`
	Authentication         string          `json:"token_endpoint_auth_method"`
	GrantTypes             []string        `json:"grant_types"`
	ResponseTypes          []string        `json:"response_types"`
	Scope                  string          `json:"scope,omitempty"`
	JWKS                   json.RawMessage `json:"jwks,omitempty"`
	IDTokenAlgorithm       string          `json:"id_token_signed_response_alg"`
	PushedRequestsRequired bool            `json:"require_pushed_authorization_requests"`
	DPoPRequired           bool            `json:"dpop_bound_access_tokens"`
	CertificateBound       bool            `json:"tls_client_certificate_bound_access_tokens"`
	LogoutURI              string          `json:"backchannel_logout_uri,omitempty"`
	LogoutSessionRequired  bool            `json:"backchannel_logout_session_required"`
}

// mountRegistration adds the registration of clients by programs. Whoever may make
// clients may let a program do it: the initial access token is a token for the API, and
// the client is its organization's or, of a platform token, the platform's. So there
// are no clients that nobody asked for.
//
// Source: RFC 7591 section 3.
func (p *Provider) mountRegistration(server *serve.Server) {
	server.Mount("POST "+registerPath, server.Plain(serve.Plain{
		Procedure: "/oauth2/Register", Audience: sessionsv1connect.ClientServiceName, Scope: sessionsv1connect.ClientServiceCreateClientProcedure,
		Access: &commonv1.Access{
			Scope: commonv1.Scope_SCOPE_ORGANIZATION, Level: commonv1.Level_LEVEL_ADMIN, Permission: "can_manage_clients",
		},
		Organization: organizationOfCaller,
		Answer: p.machine(func(w http.ResponseWriter, r *http.Request, _ string) error {
			return p.register(w, r, server.Validate)
		}),
		Refuse: refuseRegistration,
	}))
}

func organizationOfCaller(r *http.Request) string {
	caller, _ := principal.From(r.Context())
	return caller.Organization
}

// register makes a client, as ClientService does.
func (p *Provider) register(w http.ResponseWriter, r *http.Request, valid func(proto.Message) error) error {
	m, err := described(r)
	if err != nil {
		return unregistrable(err)
	}
	settings, err := m.Settings()
	if err != nil {
		return unregistrable(err)
	}
	if !p.Certificates && (settings.GetCertificateBound() || m.Authentication == "self_signed_tls_client_auth") {
		return answer.Refuse(answer.InvalidClientMetadata, "no client is asked for a certificate of TLS here")
	}
	request := &sessionsv1.CreateClientRequest{Organization: organizationOfCaller(r), Settings: settings, IdempotencyKey: rand.Text()}
	if err := valid(request); err != nil {
		return unregistrable(err)
	}
	made, err := p.Registry.CreateClient(r.Context(), request)
	if err != nil {
		return unregistrable(err)
	}
	is := client.Described(made.GetClient().GetSettings())
	out := registered{
		Client: made.GetClient().GetId(), IssuedAt: made.GetClient().GetCreatedAt().GetSeconds(), Secret: made.GetSecret(),
		Name: is.Name, RedirectURIs: is.RedirectURIs, PostLogoutRedirectURIs: is.PostLogoutRedirectURIs, Authentication: is.Authentication,
		GrantTypes: is.GrantTypes, ResponseTypes: append([]string{}, is.ResponseTypes...), Scope: is.Scope, JWKS: json.RawMessage(is.JWKS),
		IDTokenAlgorithm: is.IDTokenAlgorithm, PushedRequestsRequired: is.PushedRequestsRequired, DPoPRequired: is.DPoPRequired,
		CertificateBound: is.CertificateBound, LogoutURI: is.LogoutURI, LogoutSessionRequired: is.LogoutSessionRequired,
	}
	if out.Secret != "" {
		out.SecretExpires = new(int64) // 0: it does not end by itself
	}
	return answer.JSON(w, http.StatusCreated, out)
}

// described reads how a client describes itself: one JSON object. Names are compared as
// they are written; what is null is absent.
//
// Errors: INVALID_FIELD.
//
// Source: RFC 7591 sections 2 and 3.1.
func described(r *http.Request) (m client.Metadata, err error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return m, fault.Field("body", "media_type", "must be application/json")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return m, fault.Field("body", "length", "cannot be read: at most 64 KiB")
	}
	members := map[string]json.RawMessage{}
	if err := jose.Claims(body, &members); err != nil {
		return m, fault.Field("body", "json", "must be a JSON object that has no name twice")
	}
	for name, value := range members {
		if string(value) == "null" {
			delete(members, name)
			continue
		}
		m.Given = append(m.Given, name)
	}
	for name, into := range map[string]any{
		"redirect_uris": &m.RedirectURIs, "token_endpoint_auth_method": &m.Authentication, "grant_types": &m.GrantTypes,
		"response_types": &m.ResponseTypes, "client_name": &m.Name, "scope": &m.Scope, "post_logout_redirect_uris": &m.PostLogoutRedirectURIs,
		"id_token_signed_response_alg": &m.IDTokenAlgorithm, "require_pushed_authorization_requests": &m.PushedRequestsRequired,
		"dpop_bound_access_tokens": &m.DPoPRequired, "tls_client_certificate_bound_access_tokens": &m.CertificateBound,
		"backchannel_logout_uri": &m.LogoutURI, "backchannel_logout_session_required": &m.LogoutSessionRequired,
	} {
		if value, given := members[name]; given && json.Unmarshal(value, into) != nil {
			return m, fault.Field(name, "type", "is of another type")
		}
	}
	m.JWKS = string(members["jwks"])
	return m, nil
}

// metadataNames are the names in the metadata of what has another in settings.
var metadataNames = map[string]string{
	"name": "client_name", "authentication": "token_endpoint_auth_method", "scopes": "scope", "id_token_algorithm": "id_token_signed_response_alg",
	"pushed_requests_required": "require_pushed_authorization_requests", "dpop_required": "dpop_bound_access_tokens",
	"certificate_bound": "tls_client_certificate_bound_access_tokens",
}

// unregistrable is what a program is told of a client that cannot be.
//
// Source: RFC 7591 section 3.2.2.
func unregistrable(err error) error {
	f, ok := fault.As(err)
	if !ok || f.Reason != commonv1.Reason_INVALID_FIELD {
		return err
	}
	name := strings.TrimPrefix(f.Meta["field"], "settings.")
	name, index, _ := strings.Cut(name, "[")
	if other := metadataNames[name]; other != "" {
		name = other
	}
	code := answer.InvalidClientMetadata
	switch name {
	case "redirect_uris":
		code = answer.InvalidRedirectURI
	case "software_statement":
		code = answer.InvalidSoftwareStatement
	}
	if index != "" {
		name += "[" + index
	}
	return answer.Refuse(code, name+" breaks a rule: "+f.Meta["rule"])
}

// refuseRegistration says why a caller gets no client. What to do about a token that is
// not taken is in the header WWW-Authenticate already.
//
// Source: RFC 6750 section 3.1; RFC 9449 section 7.1.
func refuseRegistration(w http.ResponseWriter, r *http.Request, f *fault.Fault) {
	e := &answer.Error{Status: http.StatusForbidden, Code: answer.AccessDenied, Description: f.Detail}
	switch {
	case f.Kind == fault.Unauthenticated:
		e.Status, e.Code = http.StatusUnauthorized, answer.InvalidToken
		if f.Reason == commonv1.Reason_PROOF_REJECTED {
			e.Code = answer.InvalidProof
		}
		if w.Header().Get("WWW-Authenticate") == "" {
			e.Challenge = "Bearer"
		}
	case slices.Contains([]fault.Kind{fault.Denied, fault.NotFound, fault.Precondition}, f.Kind), f.Reason == commonv1.Reason_LIMIT_REACHED:
	default:
		refuse(w, r, f)
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", "*")
	_ = e.WriteTo(w) // who asked is gone
}
