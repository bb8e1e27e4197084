package oidc

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
	"github.com/meridian-iam/meridian/services/sessions/internal/ending"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// tokens is the answer of the token endpoint.
//
// Source: RFC 6749 section 5.1; OpenID Connect Core 1.0 section 3.1.3.3.
type tokens struct {
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Expires int64  `json:"expires_in"`
	Refresh string `json:"refresh_token,omitempty"`
	ID      string `json:"id_token,omitempty"`
	Scope   string `json:"scope,omitempty"`
	// Issued is the type of what a token was exchanged for.
	Issued string `json:"issued_token_type,omitempty"`
}

// exchange is one request to the token endpoint.
type exchange struct {
	issuer string
	client store.Client
	form   url.Values
	// key is the thumbprint of the key that the client proved, or "".
	key string
	// certificate is the thumbprint of the one that the tokens are bound to, or "".
	certificate string
	// at is when the request was taken: before anything was looked at, so that what is
	// revoked meanwhile counts for its tokens.
	at time.Time
	// until is when its token ends at the latest; zero: as the client's do.
	until time.Time
}

// token gives tokens for a code, a refresh token, or the client itself.
func (p *Provider) token(w http.ResponseWriter, r *http.Request, issuer string) error {
	at := p.now()
	values, err := form(r)
	if err != nil {
		return err
	}
	if values.Get("grant_type") == workloadGrant {
		given, err := p.workload(w, r, &exchange{issuer: issuer, form: values, at: at})
		if err != nil {
			return err
		}
		return answer.JSON(w, http.StatusOK, given)
	}
	c, err := p.Clients.Authenticate(r.Context(), r, values, issuer)
	if err != nil {
		return err
	}
	x := &exchange{issuer: issuer, client: c, form: values, at: at}
	if x.key, err = p.proved(w, r, c, issuer); err != nil {
		return err
	}
	if x.certificate, err = boundTo(r, c); err != nil {
		return err
	}
	flows := map[string]struct {
		kind sessionsv1.GrantType
		give func(context.Context, *exchange) (tokens, error)
	}{
		"authorization_code": {sessionsv1.GrantType_GRANT_TYPE_AUTHORIZATION_CODE, p.redeem},
		"refresh_token":      {sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN, p.refresh},
		deviceGrant:          {sessionsv1.GrantType_GRANT_TYPE_DEVICE_CODE, p.poll},
		"client_credentials": {sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS, p.own},
		exchangeGrant:        {sessionsv1.GrantType_GRANT_TYPE_TOKEN_EXCHANGE, p.exchangeToken},
	}
	flow, ok := flows[values.Get("grant_type")]
	switch {
	case values.Get("grant_type") == "":
		return answer.Refuse(answer.InvalidRequest, "grant_type is missing")
	case !ok:
		return answer.Refuse(answer.UnsupportedGrantType, "grant_type must be one of the provider's metadata")
	case !may(c.State, flow.kind):
		return answer.Refuse(answer.UnauthorizedClient, "the client may not use this grant_type")
	}
	given, err := flow.give(r.Context(), x)
	if err != nil {
		return err
	}
	if client.Used(c.UsedAt, at) {
		if err := store.UseClient(r.Context(), p.DB, c.ID, at); err != nil {
			p.Logger.WarnContext(r.Context(), "not written that a client is used", slog.String("client", c.ID), slog.Any("error", err))
		}
	}
	return answer.JSON(w, http.StatusOK, given)
}

// tries is how often a use of a grant is decided again because another was faster.
const tries = 100

// redeem gives tokens for a code.
//
// Source: OAuth 2.1 section 4.1.3.
func (p *Provider) redeem(ctx context.Context, x *exchange) (tokens, error) {
	code := secret.NewString(x.form.Get("code"))
	if code.IsZero() {
		return tokens{}, answer.Refuse(answer.InvalidRequest, "code is missing")
	}
	return p.use(ctx, x, grant.GrantOfCode(code), func(g store.Grant) bool { return p.Secrets.IsCode(code, g.ID, g.Salt) },
		func(g store.Grant, ended bool) (grant.State, []proto.Message, error) {
			after, events, err := grant.Redeem{
				Client: x.client.ID, RedirectURI: x.form.Get("redirect_uri"), Verifier: x.form.Get("code_verifier"), Key: x.key,
				SessionEnded: ended, At: x.at,
			}.Decide(g.State)
			if err == nil {
				after = bound(after, x)
			}
			return after, events, err
		})
}

// bound ties the refresh tokens of a public client to the key or the certificate that it
// proved; a confidential client proves itself. Nobody else can use tokens that are bound,
// so none has to be good twice.
//
// Source: RFC 9449 section 5; RFC 8705 section 4.
func bound(g grant.State, x *exchange) grant.State {
	g.Key = ""
	if x.proof() == "" {
		return g
	}
	g.Grace = 0
	if public(x.client) {
		g.Key = x.proof()
	}
	return g
}

// proof names the key or the certificate that the client proved, or is "".
func (x *exchange) proof() string {
	if x.key == "" && x.certificate != "" {
		return "x5t#S256:" + x.certificate
	}
	return x.key
}

// public says whether a client can keep no secret.
func public(c store.Client) bool {
	return sessionsv1.ClientAuthentication(c.Settings.GetAuthentication()) == sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE
}

// refresh gives tokens for a refresh token.
//
// Source: OAuth 2.1 section 4.3; RFC 9700 section 4.14.2.
func (p *Provider) refresh(ctx context.Context, x *exchange) (tokens, error) {
	presented := secret.NewString(x.form.Get("refresh_token"))
	if presented.IsZero() {
		return tokens{}, answer.Refuse(answer.InvalidRequest, "refresh_token is missing")
	}
	name, generation := grant.GrantOfRefresh(presented)
	return p.use(ctx, x, name, func(g store.Grant) bool { return p.Secrets.IsRefresh(presented, g.ID, g.Salt, generation) },
		func(g store.Grant, sessionEnded bool) (grant.State, []proto.Message, error) {
			return grant.Refresh{Client: x.client.ID, Generation: generation, Key: x.proof(), SessionEnded: sessionEnded, At: x.at}.Decide(g.State)
		})
}

// use lets a client use a grant by what it presents: the grant is read, the use is
// decided, and written unless another use was faster. What reveals a thief is recorded.
func (p *Provider) use(
	ctx context.Context, x *exchange, name string, good func(store.Grant) bool,
	decide func(g store.Grant, sessionEnded bool) (grant.State, []proto.Message, error),
) (tokens, error) {
	for range tries {
		g, ended, err := p.held(ctx, x, name, good)
		if err != nil {
			return tokens{}, err
		}
		after, events, err := decide(g, ended)
		if err != nil {
			return tokens{}, p.reveal(ctx, g, events, err)
		}
		out, err := p.entitled(ctx, x, g, after)
		if err != nil {
			return tokens{}, err
		}
		if after == g.State { // the same answer again
			return out, nil
		}
		swapped, err := store.SwapGrant(ctx, p.DB, g.State, after)
		if err != nil {
			return tokens{}, err
		}
		if swapped {
			return out, nil
		}
	}
	return tokens{}, fault.New(fault.Conflict, commonv1.Reason_CONFLICT, "others use the grant at the same time")
}

// held is the grant that a client presents something of, and whether its session is
// over.
func (p *Provider) held(ctx context.Context, x *exchange, name string, good func(store.Grant) bool) (g store.Grant, ended bool, err error) {
	bad := fault.New(fault.Unauthenticated, commonv1.Reason_GRANT_REJECTED, "what was presented is not good")
	if name == "" {
		return g, false, bad
	}
	g, err = store.FindGrant(ctx, p.DB.Pool(), name)
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return g, false, bad
	case err != nil:
		return g, false, err
	case !good(g) || g.Issuer != x.issuer:
		return g, false, bad
	}
	cut, err := store.CutOff(ctx, p.DB.Pool(), g.Client, g.Organization)
	if err != nil || !g.IssuedAt.After(cut) {
		return g, true, err
	}
	if blocked, err := p.blockedFor(ctx, g.Client, g.Organization); err != nil || blocked {
		return g, true, err
	}
	if g.Standalone {
		return g, false, nil
	}
	s, err := store.FindSession(ctx, p.DB.Pool(), g.Session)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return g, true, nil
	}
	return g, !s.Live(p.Lives, x.at), err
}

// reveal records that a grant is in two hands.
func (p *Provider) reveal(ctx context.Context, g store.Grant, events []proto.Message, refused error) error {
	for _, e := range events {
		revoked, ok := e.(*eventv1.GrantRevoked)
		if !ok {
			continue
		}
		if _, err := p.Ender.End(ctx, nobody, ending.Of{User: g.User, Grants: store.GrantsOf{ID: g.ID}, Reason: revoked.GetReason()}); err != nil {
			return err
		}
		p.Logger.WarnContext(ctx, "a grant was used twice and is revoked")
	}
	return refused
}

// entitled makes the tokens of a grant, if its user may still have them: who may not
// loses the grant.
func (p *Provider) entitled(ctx context.Context, x *exchange, g store.Grant, after grant.State) (tokens, error) {
	scopes, resources, err := narrowed(x.form, g)
	if err != nil {
		return tokens{}, err
	}
	if err := p.People.Standing(ctx, g.User, g.Organization); err != nil {
		if _, told := asAnswer(err); told {
			_, ended := p.Ender.End(ctx, nobody, ending.Of{
				User: g.User, Grants: store.GrantsOf{ID: g.ID}, Reason: eventv1.Revocation_REVOCATION_NOT_ENTITLED,
			})
			if ended != nil && !fault.Is(ended, commonv1.Reason_NOT_FOUND) {
				return tokens{}, ended
			}
		}
		return tokens{}, err
	}
	rev, err := p.revisionOf(ctx, g.User, g.Organization)
	if err != nil {
		return tokens{}, err
	}
	claims := accesstoken.Claims{
		Subject: g.User, Audience: resources, Client: g.Client, Scope: strings.Join(scopes, " "), Session: g.Session, Grant: g.ID,
		Organization: g.Organization, AuthenticatedAt: g.AuthenticatedAt.Unix(), Context: g.ACR, Methods: g.AMR, Revision: rev,
	}
	out, err := p.issue(x, claims)
	if err != nil {
		return out, err
	}
	if after.Generation > 0 {
		out.Refresh = p.Secrets.Refresh(g.ID, g.Salt, after.Generation).Reveal()
	}
	if slices.Contains(scopes, "openid") {
		out.ID, err = p.idToken(x, g, out.Access)
	}
	return out, err
}

// narrowed are the scopes and resources that a client asks for now: all that it was
// given, or less.
//
// Source: RFC 6749 section 6; RFC 8707 section 2.2.
func narrowed(form url.Values, g store.Grant) (scopes, resources []string, err error) {
	scopes, resources = g.Scopes, g.Resources
	if asked := strings.Fields(form.Get("scope")); len(asked) > 0 {
		scopes = asked
		for _, scope := range asked {
			if !slices.Contains(g.Scopes, scope) {
				return nil, nil, answer.Refuse(answer.InvalidScope, "one of the scopes was not granted")
			}
		}
	}
	if asked := form["resource"]; len(asked) > 0 {
		resources = asked
		for _, resource := range asked {
			if !slices.Contains(g.Resources, resource) {
				return nil, nil, answer.Refuse(answer.InvalidTarget, "one of the resources was not granted")
			}
		}
	}
	return scopes, resources, nil
}

// own gives a client a token of its own, or of the service account that it is for.
//
// Source: OAuth 2.1 section 4.2.
func (p *Provider) own(ctx context.Context, x *exchange) (tokens, error) {
	settings := x.client.Settings
	g := store.Grant{Scopes: without(settings.GetScopes(), "openid", "profile", "email", "offline_access"), Resources: settings.GetResources()}
	scopes, resources, err := narrowed(x.form, g)
	if err != nil {
		return tokens{}, err
	}
	if len(x.form["resource"]) == 0 && len(resources) > 1 {
		resources = resources[:1]
	}
	claims := accesstoken.Claims{
		Subject: x.client.ID, Audience: resources, Client: x.client.ID, Scope: strings.Join(scopes, " "), Organization: x.client.Organization,
	}
	switch account := settings.GetServiceAccount(); {
	case account != "":
		if err := p.People.Account(ctx, x.client.Organization, account); err != nil {
			return tokens{}, err
		}
		claims.Subject = account
	case x.client.Organization != "":
		if _, err := p.People.Organization(ctx, x.client.Organization); err != nil {
			return tokens{}, err
		}
	}
	return p.issue(x, claims)
}

func without(words []string, less ...string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(word string) bool { return slices.Contains(less, word) })
}

// issue signs an access token.
//
// Source: RFC 9068 section 2.
func (p *Provider) issue(x *exchange, claims accesstoken.Claims) (tokens, error) {
	life := seconds(x.client.Settings.GetAccessTokenSeconds())
	claims.Issuer, claims.IssuedAt, claims.Expires = x.issuer, x.at.Unix(), x.at.Add(life).Unix()
	if until := x.until.Unix(); !x.until.IsZero() && until < claims.Expires {
		claims.Expires = until
	}
	claims.ID = id.New(id.Token)
	if len(claims.Audience) == 0 {
		claims.Audience = []string{x.issuer}
	}
	out := tokens{Type: "Bearer", Expires: claims.Expires - claims.IssuedAt, Scope: claims.Scope}
	if x.key != "" {
		out.Type = "DPoP"
	}
	if x.key != "" || x.certificate != "" {
		claims.Confirmation = &accesstoken.Confirmation{Thumbprint: x.key, Certificate: x.certificate}
	}
	var err error
	out.Access, err = p.Keys.Sign("ES256", "at+jwt", claims)
	return out, err
}

// nobody asked for it.
var nobody principal.Principal
