package meridian

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/dpop"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// MetadataPath is where a product says what it is; the path of its name follows.
//
// Source: RFC 9728 section 3.
const MetadataPath = "/.well-known/oauth-protected-resource"

// Protect serves next to requests that come with a good access token which has all of the
// scopes; ClaimsOf returns what it says. A token that is bound to a key comes with a proof
// of it (DPoP), made for one of Resources that is an URL, its host and the request's path;
// one that is bound to a certificate comes on a connection of TLS where the client showed
// it.
//
// Anything else is answered with 401 and where clients read how they get a token
// (RFC 9728), with 403 and the scopes where some lack, and with 503 while it is not known
// what was revoked.
//
// Source: RFC 6750 section 3; RFC 9449 section 7; RFC 8705 section 3.
func (t *AccessTokens) Protect(next http.Handler, scopes ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, refused := t.admit(r, scopes)
		if refused != nil {
			t.refuse(w, r, refused)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, claims)))
	})
}

type claimsKey struct{}

// ClaimsOf returns what the token of a request says that Protect let through.
func ClaimsOf(ctx context.Context) (claims Claims, ok bool) {
	claims, ok = ctx.Value(claimsKey{}).(Claims)
	return claims, ok
}

// refusal is an answer to a request that is not let through.
type refusal struct {
	status int
	// code is the error's; "": there is none, because nothing was tried.
	code, description string
	// scheme is that of the challenge: Bearer, or DPoP.
	scheme string
	// scopes are those that are needed.
	scopes []string
}

func (t *AccessTokens) admit(r *http.Request, scopes []string) (Claims, *refusal) {
	use := dpop.Use{Request: dpop.Request{Proofs: r.Header.Values("DPoP"), Method: r.Method, URI: t.called(r)}}
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return Claims{}, &refusal{status: http.StatusUnauthorized, scheme: bearer, scopes: scopes}
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || token == "" || !strings.EqualFold(scheme, bearer) && !strings.EqualFold(scheme, dpop.Scheme) {
		return Claims{}, &refusal{http.StatusBadRequest, "invalid_request", "want one header Authorization: Bearer or DPoP, and a token", bearer, nil}
	}
	use.Scheme, use.Token = scheme, secret.NewString(token)
	claims, err := t.verifier.Verify(use.Token)
	switch {
	case fault.Is(err, commonv1.Reason_TOKEN_REJECTED):
		return Claims{}, &refusal{http.StatusUnauthorized, dpop.InvalidToken, "the token is unknown, expired or revoked", bearer, nil}
	case err != nil:
		return Claims{}, &refusal{status: http.StatusServiceUnavailable, description: "it is not known right now whether the token was revoked"}
	case !claims.Confirmation.Provable():
		return Claims{}, &refusal{http.StatusUnauthorized, dpop.InvalidToken, "the token is bound to something that cannot be proved here", bearer, nil}
	case !claims.Confirmation.Certified(r.TLS):
		return Claims{}, &refusal{http.StatusUnauthorized, dpop.InvalidToken, "the token is bound to another certificate", bearer, nil}
	}
	use.Thumbprint = claims.Confirmation.Key()
	if err := t.proofs.Check(use, t.revoked.clock.now()); err != nil {
		refused := &refusal{http.StatusUnauthorized, dpop.InvalidProof, "the proof is not taken", dpop.Scheme, nil}
		if failed, ok := errors.AsType[*dpop.Error](err); ok {
			refused.code, refused.description = failed.Code, failed.Description
		}
		return Claims{}, refused
	}
	granted := strings.Fields(claims.Scope)
	for _, scope := range scopes {
		if !slices.Contains(granted, scope) {
			return Claims{}, &refusal{http.StatusForbidden, "insufficient_scope", "the token has not all scopes that are needed", schemeOf(claims), scopes}
		}
	}
	return claims, nil
}

const bearer = "Bearer"

// schemeOf is how a token is sent.
func schemeOf(c Claims) string {
	if c.Confirmation.Key() != "" {
		return dpop.Scheme
	}
	return bearer
}

// refuse answers with a refusal.
func (t *AccessTokens) refuse(w http.ResponseWriter, r *http.Request, refused *refusal) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if refused.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
		http.Error(w, refused.description, refused.status)
		return
	}
	var parts []string
	part := func(name, value string) {
		if value != "" {
			parts = append(parts, name+`="`+value+`"`)
		}
	}
	part("error", refused.code)
	part("error_description", refused.description)
	part("scope", strings.Join(refused.scopes, " "))
	part("resource_metadata", t.metadataURL(r))
	if refused.scheme == dpop.Scheme {
		part("algs", strings.Join(dpop.Algorithms(), " "))
	}
	h.Set("WWW-Authenticate", strings.TrimSpace(refused.scheme+" "+strings.Join(parts, ", ")))
	http.Error(w, http.StatusText(refused.status), refused.status)
}

// place is the resource that is an URL at the host which a request names, or nil. Whoever
// chooses a header Host can choose among the product's own names only.
func (t *AccessTokens) place(r *http.Request) *url.URL {
	for _, u := range t.places {
		if hostOf(u.Scheme, r.Host) == hostOf(u.Scheme, u.Host) {
			return u
		}
	}
	return nil
}

// hostOf is a host without the port that its scheme has anyhow.
func hostOf(scheme, host string) string {
	port := map[string]string{"https": ":443", "http": ":80"}[scheme]
	return strings.ToLower(strings.TrimSuffix(host, port))
}

// called is the URI that a request's client called, or "" at a host that is none of the
// product's.
func (t *AccessTokens) called(r *http.Request) string {
	if u := t.place(r); u != nil {
		return u.Scheme + "://" + u.Host + pathOf(r)
	}
	return ""
}

// pathOf is the path that a request's client asked for, whatever handlers before took off.
func pathOf(r *http.Request) string {
	if asked, err := url.ParseRequestURI(r.RequestURI); err == nil {
		return asked.EscapedPath()
	}
	return r.URL.EscapedPath()
}

// metadataURL is where the client of a request reads what the product is; "": nowhere.
func (t *AccessTokens) metadataURL(r *http.Request) string {
	u := t.place(r)
	if u == nil && len(t.places) > 0 {
		u = t.places[0]
	}
	if u == nil {
		return ""
	}
	return u.Scheme + "://" + u.Host + MetadataPath + strings.TrimSuffix(u.EscapedPath(), "/")
}

// metadata is RFC 9728 section 2.
type metadata struct {
	Resource        string   `json:"resource"`
	Issuers         []string `json:"authorization_servers"`
	Scopes          []string `json:"scopes_supported,omitempty"`
	Methods         []string `json:"bearer_methods_supported"`
	ProofAlgorithms []string `json:"dpop_signing_alg_values_supported"`
}

// Metadata says what the product is, whose tokens it takes, and with what scopes, of
// Resources that are URLs. Serve it at MetadataPath and below.
//
// Source: RFC 9728.
func (t *AccessTokens) Metadata(scopes ...string) http.Handler {
	documents := map[string][]byte{}
	for _, u := range t.places {
		content, err := json.Marshal(metadata{u.String(), t.issuers, scopes, []string{"header"}, dpop.Algorithms()})
		if err == nil { // it never fails for strings
			documents[u.Host+MetadataPath+strings.TrimSuffix(u.EscapedPath(), "/")] = content
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var content []byte
		if u := t.place(r); u != nil {
			content = documents[u.Host+strings.TrimSuffix(pathOf(r), "/")]
		}
		if content == nil {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(content)
	})
}
