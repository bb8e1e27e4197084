package oidc

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/authorize"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/interaction"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/party"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
	"github.com/meridian-iam/meridian/services/sessions/internal/uri"
)

// pushedPrefix begins the request_uri of a pushed request.
//
// Source: RFC 9126 section 2.2.
const pushedPrefix = "urn:ietf:params:oauth:request_uri:"

// authorize takes an authorization request: it is answered at once where nothing has to
// be asked, and else the pages ask.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request, issuer string) error {
	if fromElsewhere(r) {
		return p.comeAgain(w, r)
	}
	if err := p.anonymous(r); err != nil {
		return err
	}
	parameters, err := authorizationParameters(r)
	if err != nil {
		return p.helpful(w, r, err)
	}
	c, err := p.named(r.Context(), parameters.ClientID())
	if err != nil {
		return p.helpful(w, r, err)
	}
	party.Found(r.Context(), party.Party{ID: c.ID, Organization: c.Organization})
	if c.ID == "" || c.Disabled {
		return p.helpful(w, r, &authorize.Error{Code: authorize.InvalidRequest, Description: "client_id is not known"})
	}
	pushed := strings.HasPrefix(first(parameters["request_uri"]), pushedPrefix)
	if pushed {
		if parameters, err = p.pushed(r.Context(), c.ID, issuer, first(parameters["request_uri"])); err != nil {
			return p.helpful(w, r, err)
		}
	}
	request, err := authorize.Decide(parameters, known(c))
	if err == nil && c.Settings.GetPushedRequestsRequired() && !pushed {
		err = &authorize.Error{Code: authorize.InvalidRequest, Description: "the client must push its requests", Redirect: request.Redirect}
	}
	if err != nil {
		return p.helpful(w, r, err)
	}
	return p.advance(w, r, &visit{
		issuer: issuer, client: c,
		pending: pending{Request: request, AskedAt: p.now()},
	})
}

// authorizationParameters are those of a request, in the URL or posted.
//
// Source: OpenID Connect Core 1.0 section 3.1.2.1.
func authorizationParameters(r *http.Request) (authorize.Parameters, error) {
	if r.Method == http.MethodPost {
		values, err := form(r)
		if e, ok := asAnswer(err); ok && r.URL.RawQuery == "" && e != nil && r.PostForm != nil && len(r.PostForm["client_id"]) == 1 {
			return authorize.Parameters(r.PostForm), nil // Decide says which is twice, where the client is told
		}
		if e, ok := asAnswer(err); ok {
			return nil, &authorize.Error{Code: e.Code, Description: e.Description}
		}
		return authorize.Parameters(values), err
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &authorize.Error{Code: authorize.InvalidRequest, Description: "the parameters cannot be read"}
	}
	return authorize.Parameters(values), nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// client is a client by its id; the zero one: there is none.
func (p *Provider) client(ctx context.Context, clientID string) (store.Client, error) {
	if !id.Valid(id.Client, clientID) {
		return p.documented(ctx, clientID)
	}
	c, err := store.FindClient(ctx, p.DB.Pool(), clientID)
	if fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return store.Client{}, nil
	}
	return c, err
}

// known is what a request is held to.
func known(c store.Client) authorize.Client {
	return authorize.Client{
		ID:         c.ID,
		Registered: func(given string) bool { return uri.MatchesRedirect(c.Settings.GetRedirectUris(), given) },
		Codes:      may(c.State, sessionsv1.GrantType_GRANT_TYPE_AUTHORIZATION_CODE),
		Scopes:     c.Settings.GetScopes(), Resources: c.Settings.GetResources(), Named: client.IsDocument(c.ID),
	}
}

// may says whether a client may use a grant type.
func may(c client.State, grantType sessionsv1.GrantType) bool {
	for _, g := range c.Settings.GetGrantTypes() {
		if sessionsv1.GrantType(g) == grantType {
			return true
		}
	}
	return false
}

// helpful tells the client what is wrong with a request, or the person where nobody
// knows where the client is.
func (p *Provider) helpful(w http.ResponseWriter, r *http.Request, err error) error {
	e, ok := err.(*authorize.Error) //nolint:errorlint // decisions return it as it is
	if !ok {
		return err
	}
	issuer, _ := p.issuer(r)
	p.Refusals.record(r, issuer, e.Code, e.Description)
	if e.Redirect.URI == "" {
		return p.Pages.Write(w, r, http.StatusBadRequest, pages.Error{Code: e.Code, Detail: e.Description})
	}
	return p.respond(w, r, e.Redirect, url.Values{"error": {e.Code}, "error_description": {e.Description}, "iss": {issuer}})
}

// respond sends the browser back to the client, with what it is told.
//
// Source: OAuth 2.1 section 4.1.2; RFC 9207 section 2; OAuth 2.0 Form Post Response Mode.
func (p *Provider) respond(w http.ResponseWriter, r *http.Request, to authorize.Redirect, told url.Values) error {
	if to.State != "" {
		told.Set("state", to.State)
	}
	if to.FormPost {
		return p.Pages.Write(w, r, http.StatusOK, pages.FormPost{
			Frame: pages.Frame{FormTargets: []string{target(to.URI)}}, Action: to.URI, Fields: told,
		})
	}
	separator := "?"
	if strings.Contains(to.URI, "?") {
		separator = "&"
	}
	return redirect(w, to.URI+separator+told.Encode())
}

// redirect sends the browser elsewhere, by a method without a body whatever it came
// with.
//
// Source: OAuth 2.1 section 7.5.2 (303, and not 307).
func redirect(w http.ResponseWriter, location string) error {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// target is what of a redirect URI a page must allow its forms to lead to.
func target(redirectURI string) string {
	u, err := url.Parse(redirectURI)
	switch {
	case err != nil:
		return ""
	case u.Scheme == "http" || u.Scheme == "https":
		return u.Scheme + "://" + u.Host
	default:
		return u.Scheme + ":"
	}
}

// visit is a request on its way, and who is in the browser.
type visit struct {
	issuer string
	client store.Client
	// name is what the request is found by, "" for one that has just come.
	name    string
	row     store.Request
	pending pending
	theme   pages.Theme
}

// situation is what is known of the person in the browser.
func (p *Provider) situation(r *http.Request, v *visit) (interaction.Situation, error) {
	ctx := r.Context()
	s := interaction.Situation{
		Request: v.pending.Request, AskedAt: v.pending.AskedAt, At: p.now(), Chosen: v.pending.Chosen,
		Declined: v.pending.Declined, NoStepUp: v.pending.NoStepUp,
		Client: interaction.Client{
			Organization: v.client.Organization, OrganizationRequired: v.client.Settings.GetOrganizationRequired(),
			ConsentRequired: v.client.Settings.GetConsentRequired(), ConsentAlways: impersonable(v),
		},
	}
	signedIn, err := p.session(ctx, r)
	if err != nil || signedIn.ID == "" {
		return s, err
	}
	if _, err := p.People.User(ctx, signedIn.User); err != nil {
		if _, ok := asAnswer(err); ok {
			return s, nil // who may not sign in is not signed in
		}
		return s, err
	}
	s.Session, s.AgreedNow = signedIn.State, v.pending.AgreedBy == signedIn.User
	if s.Memberships, err = p.People.Memberships(ctx, signedIn.User); err != nil {
		return s, err
	}
	agreed, err := store.ListConsents(ctx, p.DB.Pool(), signedIn.User, v.client.ID)
	s.Agreed = make(map[string]interaction.Agreement, len(agreed))
	for _, c := range agreed {
		s.Agreed[c.Organization] = interaction.Agreement{Scopes: c.Scopes, Resources: c.Resources}
	}
	return s, err
}

// next is what comes next for a request, or why it is refused.
func (p *Provider) next(r *http.Request, v *visit) (interaction.Situation, interaction.Outcome, error) {
	s, err := p.situation(r, v)
	if err != nil {
		return s, interaction.Outcome{}, err
	}
	o, err := p.decided(r.Context(), &s)
	if err != nil || o.Organization == "" {
		return s, o, err
	}
	organization, err := p.People.Organization(r.Context(), o.Organization)
	if _, ok := asAnswer(err); ok {
		return s, o, &authorize.Error{Code: interaction.AccessDenied, Description: "the organization cannot be used", Redirect: v.pending.Request.Redirect}
	}
	if err != nil {
		return s, o, err
	}
	if blocked, err := p.blockedFor(r.Context(), v.client.ID, o.Organization); err != nil {
		return s, o, err
	} else if blocked {
		return s, o, &authorize.Error{Code: interaction.AccessDenied, Description: "the organization does not take the client", Redirect: v.pending.Request.Redirect}
	}
	s.Demands = map[string]bool{organization.GetId(): organization.GetSettings().GetRequireSecondFactor()}
	o, err = p.decided(r.Context(), &s)
	return s, o, err
}

// advance answers a request, or sends the browser to the page that asks what is missing.
func (p *Provider) advance(w http.ResponseWriter, r *http.Request, v *visit) error {
	s, o, err := p.next(r, v)
	if err != nil {
		return p.over(w, r, v, err)
	}
	switch {
	case o.Step == interaction.Done && len(v.pending.Device) > 0:
		return p.allowDevice(w, r, v, s, o)
	case o.Step == interaction.Done:
		return p.finish(w, r, v, s, o)
	}
	if err := p.keep(w, r, v); err != nil {
		return err
	}
	page := map[interaction.Step]string{
		interaction.SignIn: "/sign-in", interaction.StepUp: "/sign-in", interaction.ProveAddress: "/sign-in", interaction.Enrol: enrolPath,
		interaction.Organization: "/organization", interaction.Consent: "/consent",
	}[o.Step]
	return redirect(w, requestURL(page, v.name))
}

// over ends a request that is refused.
func (p *Provider) over(w http.ResponseWriter, r *http.Request, v *visit, err error) error {
	refused, ok := err.(*authorize.Error) //nolint:errorlint // decisions return it as it is
	if ok && v.name != "" {
		if _, err := store.TakeRequest(r.Context(), p.DB, v.row.Hash); err != nil && !fault.Is(err, commonv1.Reason_NOT_FOUND) {
			return err
		}
	}
	if ok && len(v.pending.Device) > 0 {
		return p.deviceRefused(w, r, refused)
	}
	return p.helpful(w, r, err)
}

// pushedLife is how long a pushed request waits.
const pushedLife = time.Minute

// push takes an authorization request from a client itself, so that nothing of it
// passes through a browser.
//
// Source: RFC 9126 section 2.
func (p *Provider) push(w http.ResponseWriter, r *http.Request, issuer string) error {
	values, err := form(r)
	if err != nil {
		return err
	}
	c, err := p.Clients.Authenticate(r.Context(), r, values, issuer)
	if err != nil {
		return err
	}
	if err := p.countAnonymous(r, c); err != nil {
		return err
	}
	parameters := authorize.Parameters{}
	for name, v := range values {
		switch name {
		case "client_secret", "client_assertion", "client_assertion_type":
		default:
			parameters[name] = v
		}
	}
	if first(parameters["request_uri"]) != "" {
		return answer.Refuse(answer.InvalidRequest, "request_uri must not be pushed")
	}
	parameters["client_id"] = []string{c.ID}
	key, err := p.provedAhead(w, r, first(parameters["dpop_jkt"]), issuer)
	if err != nil {
		return err
	}
	if key != "" {
		parameters["dpop_jkt"] = []string{key}
	}
	if _, err := authorize.Decide(parameters, known(c)); err != nil {
		if e, ok := err.(*authorize.Error); ok { //nolint:errorlint // decisions return it as it is
			return answer.Refuse(e.Code, e.Description)
		}
		return err
	}
	name, hash := randomText()
	content, err := encode(parameters)
	if err != nil {
		return err
	}
	err = store.InsertRequest(r.Context(), p.DB, store.Request{
		Hash: hash, Client: c.ID, Issuer: issuer, Content: content, HomeRegion: p.Region, ExpiresAt: p.now().Add(pushedLife),
	})
	if err != nil {
		return err
	}
	return answer.JSON(w, http.StatusCreated, struct {
		URI     string `json:"request_uri"`
		Expires int    `json:"expires_in"`
	}{pushedPrefix + name, int(pushedLife / time.Second)})
}

// countAnonymous counts what a client asks to be kept that has proved nothing.
//
// Errors: RATE_LIMITED.
func (p *Provider) countAnonymous(r *http.Request, c store.Client) error {
	if sessionsv1.ClientAuthentication(c.Settings.GetAuthentication()) != sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_NONE {
		return nil
	}
	return p.anonymous(r)
}

// pushed takes a request that a client has pushed, once.
//
// Source: RFC 9126 section 4.
func (p *Provider) pushed(ctx context.Context, clientID, issuer, requestURI string) (authorize.Parameters, error) {
	gone := &authorize.Error{Code: "invalid_request_uri", Description: "request_uri is unknown, expired, used or another client's"}
	name := strings.TrimPrefix(requestURI, pushedPrefix)
	row, err := store.FindRequest(ctx, p.DB.Pool(), hashOf(name))
	switch {
	case fault.Is(err, commonv1.Reason_NOT_FOUND):
		return nil, gone
	case err != nil:
		return nil, err
	case row.Client != clientID || row.Issuer != issuer || row.Browser != nil || !p.Clock().Before(row.ExpiresAt):
		return nil, gone // another client's is not spent by who found it
	}
	if row, err = store.TakeRequest(ctx, p.DB, row.Hash); fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	var parameters authorize.Parameters
	return parameters, decode(row.Content, &parameters)
}
