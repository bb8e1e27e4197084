package oidc

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/authorize"
	"github.com/meridian-iam/meridian/services/sessions/internal/ending"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/party"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// logoutRequest is what a client, or a person, asks for.
//
// Source: OpenID Connect RP-Initiated Logout 1.0 section 2.
type logoutRequest struct {
	hint, clientID, redirectURI, state string
	confirmed                          bool
}

// logout ends the session of this browser. A client that shows by an ID token that it
// is of this session is not asked about; everybody else is, so that no other site logs
// people out. Where the browser goes then must be registered by a client that is known.
//
// Source: OpenID Connect RP-Initiated Logout 1.0 sections 2 to 4.
func (p *Provider) logout(w http.ResponseWriter, r *http.Request, issuer string) error {
	if fromElsewhere(r) {
		return p.comeAgain(w, r)
	}
	req, err := logoutParameters(r)
	if err != nil {
		return p.helpful(w, r, err)
	}
	hinted, known := p.hint(req.hint, issuer)
	if req.hint != "" && !known || known && req.clientID != "" && req.clientID != hinted.Audience {
		return p.helpful(w, r, &authorize.Error{Code: authorize.InvalidRequest, Description: "id_token_hint is not one of this issuer for this client"})
	}
	if known {
		req.clientID = hinted.Audience
	}
	c, err := p.client(r.Context(), req.clientID)
	if err != nil {
		return err
	}
	party.Found(r.Context(), party.Party{ID: c.ID, Organization: c.Organization})
	if req.redirectURI != "" && !slices.Contains(c.Settings.GetPostLogoutRedirectUris(), req.redirectURI) {
		return p.helpful(w, r, &authorize.Error{Code: authorize.InvalidRequest, Description: "post_logout_redirect_uri is not registered for the client"})
	}
	s, err := p.session(r.Context(), r)
	if err != nil {
		return err
	}
	asked := known && (hinted.Session == s.ID || s.ID == "")
	if s.ID != "" && !asked && !req.confirmed {
		view := pages.SignOut{Frame: pages.Frame{Client: shown(c)}, Fields: req.fields()}
		if req.redirectURI != "" {
			view.FormTargets = []string{target(req.redirectURI)}
		}
		return p.Pages.Write(w, r, http.StatusOK, view)
	}
	if err := p.signOut(w, r, s); err != nil {
		return err
	}
	if req.redirectURI == "" {
		return p.Pages.Write(w, r, http.StatusOK, pages.SignedOut{})
	}
	to := authorize.Redirect{URI: req.redirectURI, State: req.state}
	if req.state == "" {
		return redirect(w, req.redirectURI)
	}
	return p.respond(w, r, to, url.Values{})
}

// signOut ends a session and forgets its cookie.
func (p *Provider) signOut(w http.ResponseWriter, r *http.Request, s store.Session) error {
	forgetCookie(w, r, sessionCookie)
	if s.ID == "" {
		return nil
	}
	by := pagesCaller(s.User)
	_, err := p.Ender.End(r.Context(), by, ending.Of{User: s.User, Session: s.ID, Reason: eventv1.Revocation_REVOCATION_LOGOUT})
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return nil
	}
	return err
}

// pagesCaller is a user who acts on the pages, as himself records it.
func pagesCaller(user string) principal.Principal {
	return principal.Principal{Kind: principal.APIToken, ID: "sessions", OnBehalfOf: user}
}

// logoutParameters reads a request, each parameter once.
func logoutParameters(r *http.Request) (logoutRequest, error) {
	bad := &authorize.Error{Code: authorize.InvalidRequest, Description: "the parameters cannot be read, or one is there twice"}
	values := r.URL.Query()
	confirmed := false
	if r.Method == http.MethodPost {
		posted, err := form(r)
		if err != nil {
			return logoutRequest{}, bad
		}
		values, confirmed = posted, posted.Get("confirm") == "yes" && ours(r) == nil
	}
	for _, v := range values {
		if len(v) > 1 || len(v[0]) > jose.MaxToken {
			return logoutRequest{}, bad
		}
	}
	return logoutRequest{
		hint: values.Get("id_token_hint"), clientID: values.Get("client_id"), redirectURI: values.Get("post_logout_redirect_uri"),
		state: values.Get("state"), confirmed: confirmed,
	}, nil
}

// fields are what a form carries on.
func (r logoutRequest) fields() url.Values {
	out := url.Values{}
	for name, value := range map[string]string{
		"id_token_hint": r.hint, "client_id": r.clientID, "post_logout_redirect_uri": r.redirectURI, "state": r.state,
	} {
		if value != "" {
			out.Set(name, value)
		}
	}
	return out
}

// hint is what an ID token says that this issuer signed, however long ago.
func (p *Provider) hint(token, issuer string) (idClaims, bool) {
	var claims idClaims
	if token == "" {
		return claims, false
	}
	payload, err := jose.Verify(token, p.Keys.Remembered(), jose.Expect{Type: "JWT", Algorithms: []jose.Algorithm{jose.ES256, jose.RS256, jose.EdDSA}})
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return idClaims{}, false
	}
	return claims, claims.Issuer == issuer && claims.Subject != "" && !strings.ContainsRune(claims.Audience, ' ')
}
