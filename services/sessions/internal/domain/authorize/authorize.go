// Package authorize decides what an authorization request asks for, and what is wrong
// with it: RFC 6749 section 4.1, OAuth 2.1, OpenID Connect Core 1.0 section 3.1.2.
package authorize

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of parameters, in bytes. What is longer is refused: a redirect that carried it
// back would be cut by browsers and servers on the way.
const (
	maxParameter = 2048
	maxScopes    = 50
	maxResources = 10
	// challengeSize is that of a SHA-256 in base64url.
	challengeSize = 43
)

// Codes of errors.
//
// Source: RFC 6749 section 4.1.2.1; OpenID Connect Core 1.0 section 3.1.2.6; RFC 8707
// section 2.
const (
	InvalidRequest          = "invalid_request"
	UnauthorizedClient      = "unauthorized_client"
	UnsupportedResponseType = "unsupported_response_type"
	InvalidScope            = "invalid_scope"
	InvalidTarget           = "invalid_target"
	RequestNotSupported     = "request_not_supported"
	RequestURINotSupported  = "request_uri_not_supported"
	RegistrationUnsupported = "registration_not_supported"
)

// Error is what is wrong with a request.
type Error struct {
	// Code and Description are for the client. The description quotes nothing.
	Code, Description string
	// Redirect says where the client is told, with State; the zero one: the person is,
	// on a page, because nobody knows where the client is.
	Redirect Redirect
}

// Error implements error.
func (e *Error) Error() string { return e.Code + ": " + e.Description }

// Redirect is how an answer gets to the client.
type Redirect struct {
	// URI is registered for the client, or "".
	URI string
	// FormPost sends the answer in a form instead of the query.
	FormPost bool
	State    string
}

// Client is what of a client a request is held to.
type Client struct {
	ID string
	// Registered says whether a redirect URI is the client's.
	Registered func(uri string) bool
	// Codes says whether it may use the authorization code flow at all.
	Codes bool
	// Scopes are those that it may ask for.
	Scopes []string
	// Resources are the APIs that its tokens may be for; the first is for who names none,
	// unless they must be named: then its tokens are for the provider.
	Resources []string
	Named     bool
}

// Prompt says what a person must be asked.
type Prompt struct {
	// None: nothing may be shown. Login: to sign in again. Consent: to agree again.
	// SelectAccount: who it is, and for which organization. Create: to sign up.
	None, Login, Consent, SelectAccount, Create bool
}

// Request is an authorization request that is in order.
type Request struct {
	Client    string
	Redirect  Redirect
	Scopes    []string
	Resources []string
	// Challenge is the S256 code challenge.
	Challenge string
	Nonce     string
	Prompt    Prompt
	// MaxAge is how long ago the person may have signed in at most; absent: -1.
	MaxAge time.Duration
	// Levels are acr_values that this provider knows, the preferred first.
	Levels []string
	// LoginHint is who the client thinks it is; Organization which it is about, an id or
	// a slug; both are hints of strangers.
	LoginHint, Organization string
	// Locales are ui_locales, the preferred first.
	Locales []string
	// Key is the thumbprint of the key that tokens are to be bound to, or "".
	Key string
}

// Parameters are those of a request. A parameter that comes twice is in it twice.
type Parameters map[string][]string

// twice is the first by name of the parameters that are there more than once, or "":
// all but resource may be there once only.
//
// Source: RFC 6749 section 3.1: "Request and response parameters MUST NOT be included
// more than once."; RFC 8707 section 2.
func (p Parameters) twice() string {
	names := make([]string, 0, len(p))
	for name, values := range p {
		if name != "resource" && len(values) > 1 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names)
}

// get is a parameter, "" when it is absent: one without a value is as if omitted (RFC
// 6749 section 3.1).
func (p Parameters) get(name string) string {
	if values := p[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// ClientID is whom a request says that it is of, or "" where it does not say so once.
func (p Parameters) ClientID() string {
	if len(p["client_id"]) != 1 || len(p.get("client_id")) > maxParameter {
		return ""
	}
	return p.get("client_id")
}

// Decide returns what a request of a client asks for.
//
// Errors: *Error. Until the redirect URI is known to be the client's, it is for the
// person; from then on it is for the client.
//
// Source: RFC 6749 section 4.1.2.1; RFC 9700 sections 2.1 and 4.11.
func Decide(p Parameters, c Client) (Request, error) {
	r := Request{Client: c.ID, MaxAge: -1}
	uri := p.get("redirect_uri")
	switch {
	case p.ClientID() != c.ID || c.ID == "":
		return r, &Error{Code: InvalidRequest, Description: "client_id must be there once"}
	case len(p["redirect_uri"]) != 1:
		return r, &Error{Code: InvalidRequest, Description: "redirect_uri must be there once"}
	case len(uri) > maxParameter || !c.Registered(uri):
		return r, &Error{Code: InvalidRequest, Description: "redirect_uri is not registered for the client"}
	}
	r.Redirect = Redirect{URI: uri, FormPost: p.get("response_mode") == "form_post"}
	if state := p["state"]; len(state) == 1 && len(state[0]) <= maxParameter {
		r.Redirect.State = state[0]
	}
	for _, read := range []func(Parameters, Client) *Error{r.shape, r.flow, r.proof, r.aims, r.asks, r.hints} {
		if err := read(p, c); err != nil {
			err.Redirect = r.Redirect
			return Request{}, err
		}
	}
	return r, nil
}

// shape refuses what is no request, whatever it asks for.
func (r *Request) shape(p Parameters, _ Client) *Error {
	if name := p.twice(); name != "" {
		return &Error{Code: InvalidRequest, Description: "a parameter is there more than once"}
	}
	for _, values := range p {
		for _, v := range values {
			if len(v) > maxParameter || strings.ContainsRune(v, 0) {
				return &Error{Code: InvalidRequest, Description: "a parameter is too long: 2048 bytes are enough; or has a null byte"}
			}
		}
	}
	switch {
	case p.get("request") != "":
		return &Error{Code: RequestNotSupported, Description: "request objects are not taken: push the request instead"}
	case p.get("request_uri") != "":
		return &Error{Code: RequestURINotSupported, Description: "request_uri must be one of a pushed request"}
	case p.get("registration") != "":
		return &Error{Code: RegistrationUnsupported, Description: "clients are registered before"}
	}
	return nil
}

// flow takes codes, in a query or a form.
func (r *Request) flow(p Parameters, c Client) *Error {
	switch {
	case p.get("response_type") == "":
		return &Error{Code: InvalidRequest, Description: "response_type is missing"}
	case p.get("response_type") != "code":
		return &Error{Code: UnsupportedResponseType, Description: "response_type must be code"}
	case !c.Codes:
		return &Error{Code: UnauthorizedClient, Description: "the client may not use authorization codes"}
	}
	switch p.get("response_mode") {
	case "", "query", "form_post":
		return nil
	default:
		return &Error{Code: InvalidRequest, Description: "response_mode must be query or form_post"}
	}
}

// proof asks every client for a challenge.
//
// Source: OAuth 2.1 section 4.1.1; RFC 7636 section 4.4.1; RFC 9700 section 2.1.1.
func (r *Request) proof(p Parameters, _ Client) *Error {
	r.Challenge, r.Nonce, r.Key = p.get("code_challenge"), p.get("nonce"), p.get("dpop_jkt")
	switch {
	case r.Challenge == "":
		return &Error{Code: InvalidRequest, Description: "code_challenge is missing"}
	case p.get("code_challenge_method") != "S256":
		return &Error{Code: InvalidRequest, Description: "code_challenge_method must be S256"}
	case !hash(r.Challenge):
		return &Error{Code: InvalidRequest, Description: "code_challenge must be a SHA-256 in base64url"}
	case r.Key != "" && !hash(r.Key):
		return &Error{Code: InvalidRequest, Description: "dpop_jkt must be a SHA-256 in base64url"}
	}
	return nil
}

// hash says whether a text has the form of a SHA-256 in base64url.
func hash(text string) bool {
	return len(text) == challengeSize && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// aims reads what the tokens are to be good for.
func (r *Request) aims(p Parameters, c Client) *Error {
	r.Scopes = words(p.get("scope"))
	if len(r.Scopes) > maxScopes {
		return &Error{Code: InvalidScope, Description: "there are more than 50 scopes"}
	}
	for _, scope := range r.Scopes {
		if !slices.Contains(c.Scopes, scope) {
			return &Error{Code: InvalidScope, Description: "the client may not ask for one of the scopes"}
		}
	}
	r.Resources = slices.DeleteFunc(slices.Clone(p["resource"]), func(v string) bool { return v == "" })
	slices.Sort(r.Resources)
	r.Resources = slices.Compact(r.Resources)
	if len(r.Resources) > maxResources {
		return &Error{Code: InvalidTarget, Description: "there are more than 10 resources"}
	}
	for _, resource := range r.Resources {
		if !slices.Contains(c.Resources, resource) {
			return &Error{Code: InvalidTarget, Description: "the client's tokens are not for one of the resources"}
		}
	}
	if len(r.Resources) == 0 && len(c.Resources) > 0 && !c.Named {
		r.Resources = c.Resources[:1:1]
	}
	return nil
}

// asks reads what the person must be asked.
//
// Source: OpenID Connect Core 1.0 section 3.1.2.1; Initiating User Registration via
// OpenID Connect 1.0 (prompt=create).
func (r *Request) asks(p Parameters, _ Client) *Error {
	prompts := words(p.get("prompt"))
	for _, prompt := range prompts {
		switch prompt {
		case "none":
			r.Prompt.None = true
		case "login":
			r.Prompt.Login = true
		case "consent":
			r.Prompt.Consent = true
		case "select_account":
			r.Prompt.SelectAccount = true
		case "create":
			r.Prompt.Create = true
		default:
			return &Error{Code: InvalidRequest, Description: "prompt must be of none, login, consent, select_account, create"}
		}
	}
	if r.Prompt.None && len(prompts) > 1 {
		return &Error{Code: InvalidRequest, Description: "prompt none goes with no other"}
	}
	if text := p.get("max_age"); text != "" {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return &Error{Code: InvalidRequest, Description: "max_age must be seconds"}
		}
		r.MaxAge = time.Duration(seconds) * time.Second
	}
	return nil
}

// hints reads what helps, and is passed over where it does not.
func (r *Request) hints(p Parameters, _ Client) *Error {
	for _, level := range words(p.get("acr_values")) {
		if (level == "aal1" || level == "aal2") && !slices.Contains(r.Levels, level) {
			r.Levels = append(r.Levels, level)
		}
	}
	r.LoginHint, r.Organization = p.get("login_hint"), p.get("organization")
	r.Locales = words(p.get("ui_locales"))
	return nil
}

// words are the parts of a list that is separated by spaces, each once.
func words(text string) []string {
	var out []string
	for word := range strings.SplitSeq(text, " ") {
		if word != "" && !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}
