// Package oidc serves the endpoints of the OpenID provider: what clients and browsers
// send by the protocols, and what they are answered.
//
// Source: OAuth 2.1 (draft-ietf-oauth-v2-1); OpenID Connect Core 1.0; RFC 9700.
package oidc

import (
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/clientauth"
	"github.com/meridian-iam/meridian/services/sessions/internal/clientdoc"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
	"github.com/meridian-iam/meridian/services/sessions/internal/ending"
	"github.com/meridian-iam/meridian/services/sessions/internal/issuerkeys"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/party"
	"github.com/meridian-iam/meridian/services/sessions/internal/people"
)

// maxBody bounds what is posted, in bytes.
const maxBody = 64 << 10

// Keys sign and verify.
type Keys interface {
	// Sign makes a compact JWS with the key of this region that signs now.
	Sign(algorithm jose.Algorithm, typ string, claims any) (string, error)
	// Public are the keys whose signatures are taken; Remembered also those that were
	// deleted because their time had come, for hints of who logs out.
	Public() jose.Keys
	Remembered() jose.Keys
	// Set is the JWK Set that is published.
	Set() []byte
}

// Tokens verifies access tokens that this provider issued.
type Tokens interface {
	// Verify returns what an access token says that is valid and not revoked, whatever
	// it is for.
	//
	// Errors: TOKEN_REJECTED; unavailable while it is not known what was revoked.
	Verify(token secret.String) (accesstoken.Claims, error)
}

// Provider serves the endpoints.
type Provider struct {
	DB     *sqldb.DB
	Log    *eventlog.Store
	Region string
	Clock  func() time.Time
	Logger *slog.Logger
	// Issuers are as https://id.example.com, by the host that requests name.
	Issuers map[string]string
	Keys    Keys
	Tokens  Tokens
	Secrets grant.Secrets
	Clients *clientauth.Authenticator
	People  *people.People
	Ender   *ending.Ender
	Lives   session.Lives
	Pages   *pages.Pages
	// Guesses are user codes that were typed and are none, by remote address.
	Guesses *serve.Addresses
	// Refusals records what is refused.
	Refusals *Refusals
	// Certificates: clients are asked for certificates of TLS.
	Certificates bool
	// Certified are the issuers whose clients are asked at another host than the issuer's, by
	// that host.
	Certified map[string]string
	// Documents are the clients that nobody registered; nil: none.
	Documents *clientdoc.Documents
	// Registry makes clients; nil: programs register none.
	Registry sessionsv1connect.ClientServiceHandler
	// IssuerKeys are the keys of those whom trusts are about, where they are fetched.
	IssuerKeys *issuerkeys.Keys

	// anonymous counts what is kept of who may be anybody.
	anonymous func(r *http.Request) error
}

// TypedCodes is how many user codes an address may try that are none: ten, and ten more in
// each minute. There are 2.6e10 of them.
var TypedCodes = serve.Rate{PerSecond: 10. / 60, Burst: 10}

// Issuers are the hosts of issuers.
//
// Errors: a text that is no https://host, or http on a loopback address.
func Issuers(texts []string) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range texts {
		u, err := url.Parse(text)
		local := err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
		if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" ||
			u.Scheme != "https" && (u.Scheme != "http" || !local) || u.Host != strings.ToLower(u.Host) {
			return nil, fault.Field("issuers", "https", "an issuer is https:// and a host in lower case, without a path; http on a loopback address")
		}
		out[u.Host] = text
	}
	return out, nil
}

// audience is the service that the endpoints belong to, for the access log.
const audience = "meridian.sessions.v1.SessionService"

// endpoint answers one request to an issuer.
type endpoint func(w http.ResponseWriter, r *http.Request, issuer string) error

// Mount adds the endpoints to a server.
func (p *Provider) Mount(server *serve.Server) {
	p.anonymous = server.Anonymous
	for pattern, e := range map[string]struct {
		name   string
		answer endpoint
	}{
		"GET /.well-known/openid-configuration":       {"Discovery", p.discovery},
		"GET /.well-known/oauth-authorization-server": {"Discovery", p.discovery},
		"GET /oauth2/jwks":                            {"Keys", p.jwks},
		"POST /oauth2/token":                          {"Token", p.token},
		"POST /oauth2/par":                            {"PushedRequest", p.push},
		"POST /oauth2/device_authorization":           {"Device", p.deviceAuthorization},
		"POST /oauth2/introspect":                     {"Introspect", p.introspect},
		"POST /oauth2/revoke":                         {"Revoke", p.revoke},
		"GET /oauth2/userinfo":                        {"UserInfo", p.userinfo},
		"POST /oauth2/userinfo":                       {"UserInfo", p.userinfo},
	} {
		server.Mount(pattern, server.Plain(serve.Plain{
			Procedure: "/oauth2/" + e.name, Audience: audience, Answer: p.machine(e.answer), Refuse: refuse,
		}))
	}
	if p.Registry != nil {
		p.mountRegistration(server)
	}
	for _, path := range []string{"/oauth2/token", "/oauth2/par", "/oauth2/revoke", "/oauth2/userinfo", registerPath} {
		server.Mount("OPTIONS "+path, server.Plain(serve.Plain{
			Procedure: "/oauth2/Preflight", Audience: audience, Answer: preflight, Refuse: refuse,
		}))
	}
	for pattern, answer := range p.enrolPages() {
		server.Mount(pattern, server.Plain(serve.Plain{
			Procedure: "/oauth2/Account", Audience: audience, Answer: p.human(answer), Refuse: p.refusePage,
		}))
	}
	for pattern, e := range map[string]struct {
		name   string
		answer endpoint
	}{
		"GET /oauth2/authorize":  {"Authorize", p.authorize},
		"POST /oauth2/authorize": {"Authorize", p.authorize},
		"GET /oauth2/logout":     {"Logout", p.logout},
		"POST /oauth2/logout":    {"Logout", p.logout},
		"GET /continue":          {"Continue", p.goOn},
		"GET /organization":      {"Organization", p.organizationPage},
		"POST /organization":     {"Organization", p.chooseOrganization},
		"GET /account":           {"Account", p.account},
		"GET /invitation":        {"Invitation", p.invitationPage},
		"POST /invitation":       {"Invitation", p.decideInvitation},
		"POST /account/revoke":   {"Account", p.revokeItem},
		"GET /device":            {"DevicePage", p.devicePage},
		"POST /device":           {"DevicePage", p.typed},
		"GET /consent":           {"Consent", p.consentPage},
		"POST /consent":          {"Consent", p.consent},
	} {
		server.Mount(pattern, server.Plain(serve.Plain{
			Procedure: "/oauth2/" + e.name, Audience: audience, Answer: p.human(e.answer), Refuse: p.refusePage,
		}))
	}
}

// noIssuer is what is said at a host that is none of an issuer.
const noIssuer = "no issuer has this host"

// issuer is whom a request names, by its header Host alone.
func (p *Provider) issuer(r *http.Request) (string, bool) {
	issuer, ok := p.Issuers[strings.ToLower(r.Host)]
	return issuer, ok
}

// machine serves programs, in browsers of other origins too: nothing that a browser
// adds by itself counts here.
func (p *Provider) machine(e endpoint) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, DPoP-Nonce")
		r = r.WithContext(party.Remember(r.Context()))
		issuer, ok := p.reached(r)
		if !ok {
			return p.told(w, r, "", &answer.Error{Status: http.StatusMisdirectedRequest, Code: answer.InvalidRequest, Description: noIssuer})
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		return p.told(w, r, issuer, e(w, r, issuer))
	}
}

// told writes what a client is to know of an error; others are returned.
func (p *Provider) told(w http.ResponseWriter, r *http.Request, issuer string, err error) error {
	e, ok := asAnswer(err)
	if !ok {
		return err
	}
	p.Refusals.record(r, issuer, e.Code, e.Description)
	return e.WriteTo(w)
}

// refuse writes what went wrong without anybody's fault.
func refuse(w http.ResponseWriter, _ *http.Request, f *fault.Fault) {
	e := &answer.Error{Status: http.StatusInternalServerError, Code: answer.ServerError, Description: "internal error"}
	if passing(f.Kind) {
		e = &answer.Error{Status: http.StatusServiceUnavailable, Code: answer.Unavailable, Description: "try again"}
		w.Header().Set("Retry-After", "1")
	} else if f.Kind == fault.Exhausted {
		e = &answer.Error{Status: http.StatusTooManyRequests, Code: answer.SlowDown, Description: "too many requests"}
		w.Header().Set("Retry-After", "1")
	}
	if trace := f.Meta["trace"]; trace != "" {
		e.Description += ", trace " + trace
	}
	_ = e.WriteTo(w) // who asked is gone
}

// passing says whether what went wrong passes by itself.
func passing(kind fault.Kind) bool {
	return slices.Contains([]fault.Kind{fault.Unavailable, fault.Deadline, fault.Conflict, fault.UnknownOutcome, fault.Cancelled}, kind)
}

// preflight lets programs in browsers send their credentials in headers.
func preflight(w http.ResponseWriter, _ *http.Request) error {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
	h.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// form reads what a client posted. Each parameter is there once, but for resource and
// audience; nothing of it is in the URL, where others would see it.
//
// Source: RFC 6749 sections 2.3.1, 3.2 and 4.1.3; RFC 8707 section 2.
func form(r *http.Request) (url.Values, error) {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		return nil, answer.Refuse(answer.InvalidRequest, "Content-Type must be application/x-www-form-urlencoded")
	}
	if r.URL.RawQuery != "" {
		return nil, answer.Refuse(answer.InvalidRequest, "parameters belong into the body, not the URL")
	}
	if err := r.ParseForm(); err != nil {
		return nil, answer.Refuse(answer.InvalidRequest, "the body cannot be read: at most 64 KiB, in one encoding")
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "resource" && name != "audience" {
			return nil, answer.Refuse(answer.InvalidRequest, "a parameter is there more than once")
		}
		for _, v := range values {
			if strings.ContainsRune(v, 0) {
				return nil, answer.Refuse(answer.InvalidRequest, "a parameter has a null byte")
			}
		}
	}
	return r.PostForm, nil
}

// asAnswer is an error that a client is told: one of a protocol, or of a grant.
func asAnswer(err error) (*answer.Error, bool) {
	if e, ok := err.(*answer.Error); ok { //nolint:errorlint // endpoints return it as it is
		return e, true
	}
	if f, ok := fault.As(err); ok && f.Reason == commonv1.Reason_GRANT_REJECTED {
		return answer.Refuse(answer.InvalidGrant, f.Detail), true
	}
	return nil, false
}
