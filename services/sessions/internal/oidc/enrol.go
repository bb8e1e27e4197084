package oidc

import (
	"context"
	"net/http"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/enrolment"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/interaction"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
	"github.com/meridian-iam/meridian/services/sessions/internal/door"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// The pages on which people change what they sign in with.
const (
	enrolPath    = "/enrol"
	totpPath     = "/account/totp"
	passkeyPath  = "/account/passkey"
	codesPath    = "/account/recovery-codes"
	passwordPath = "/account/password"
	unmetPath    = "/account/unmet"
)

// enrolPages are those that only they see who may change what they sign in with.
func (p *Provider) enrolPages() map[string]endpoint {
	return map[string]endpoint{
		"GET " + enrolPath:     p.enrolling(p.chooseFactor),
		"POST " + enrolPath:    p.enrolling(p.notNow),
		"GET " + totpPath:      p.enrolling(p.totpPage),
		"POST " + totpPath:     p.enrolling(p.addTOTP),
		"GET " + passkeyPath:   p.enrolling(p.passkeyPage),
		"POST " + passkeyPath:  p.enrolling(p.addPasskey),
		"GET " + codesPath:     p.enrolling(p.codesPage),
		"POST " + codesPath:    p.enrolling(p.issueCodes),
		"GET " + passwordPath:  p.enrolling(p.passwordPage),
		"POST " + passwordPath: p.enrolling(p.setPassword),
		"GET " + unmetPath:     p.unmet,
	}
}

// enroller is who may change what he or she signs in with.
type enroller struct {
	session store.Session
	user    *identityv1.User
	held    enrolment.Held
	// visit is the request that waits for it; nil: none does.
	visit *visit
}

func (e *enroller) frame() pages.Frame {
	if e.visit != nil {
		return e.visit.frame()
	}
	return pages.Frame{Locales: []string{e.user.GetLocale()}}
}

// next is where it goes on.
func (e *enroller) next() string {
	if e.visit != nil {
		return requestURL("/continue", e.visit.name)
	}
	return "/account"
}

// enrolling serves a page to who may see it, and sends others to where they prove what
// is missing. What is posted must come from a page of ours.
func (p *Provider) enrolling(page func(w http.ResponseWriter, r *http.Request, e *enroller) error) endpoint {
	return func(w http.ResponseWriter, r *http.Request, issuer string) error {
		if r.Method == http.MethodPost {
			if err := ours(r); err != nil {
				return err
			}
			if _, err := form(r); err != nil {
				return fault.New(fault.Invalid, commonv1.Reason_INVALID_FIELD, "the form cannot be read")
			}
		}
		e, err := p.enroller(w, r, issuer)
		if err != nil || e == nil {
			return err
		}
		return page(w, r, e)
	}
}

// enroller is who is in the browser, if that one may; nil: the browser was sent
// elsewhere.
func (p *Provider) enroller(w http.ResponseWriter, r *http.Request, issuer string) (*enroller, error) {
	if requestName(r) != "" {
		return p.enrollerOf(w, r, issuer)
	}
	s, user, err := p.somebody(r)
	if err != nil {
		return nil, err
	}
	e := &enroller{session: s, user: user}
	step := enrolment.SignIn
	if user != nil {
		if e.held, err = p.enrolled(r.Context(), user); err != nil {
			return nil, err
		}
		step = enrolment.Add(s.State, e.held, p.now())
	}
	if step == enrolment.Allowed && r.URL.Path != enrolPath {
		return e, nil
	}
	return nil, p.comeBack(w, r.URL.Path, step)
}

// enrollerOf is who is in the browser, for a request that waits for a second factor.
func (p *Provider) enrollerOf(w http.ResponseWriter, r *http.Request, issuer string) (*enroller, error) {
	v, err := p.pendingOf(r, issuer)
	if err != nil {
		return nil, err
	}
	s, o, err := p.next(r, v)
	if err != nil || o.Step != interaction.Enrol {
		return nil, p.advance(w, r, v) // it says what is the case
	}
	e := &enroller{visit: v, held: *s.Held}
	if e.session, e.user, err = p.somebody(r); err != nil || e.user == nil {
		return nil, p.advance(w, r, v)
	}
	return e, nil
}

// requestName is the request that a browser names.
func requestName(r *http.Request) string {
	if r.Method == http.MethodPost {
		return r.PostFormValue("request")
	}
	return r.URL.Query().Get("request")
}

// enrolled is what a user has. A passkey that identity does not take any more counts as one
// that was not proved.
func (p *Provider) enrolled(ctx context.Context, user *identityv1.User) (enrolment.Held, error) {
	out := enrolment.Held{Address: user.GetEmail() != ""}
	listed, err := p.People.Credentials.ListCredentials(ctx, &identityv1.ListCredentialsRequest{User: user.GetId()})
	if err != nil {
		return out, err
	}
	for _, c := range listed.GetCredentials() {
		switch c.GetKind() {
		case identityv1.CredentialKind_CREDENTIAL_KIND_PASSWORD:
			out.Password = true
		case identityv1.CredentialKind_CREDENTIAL_KIND_TOTP:
			out.TOTP = true
		case identityv1.CredentialKind_CREDENTIAL_KIND_PASSKEY:
			verifies := c.GetPasskey().GetUserVerified() || c.GetPasskey().GetFlagged()
			out.Passkey, out.SecurityKey = out.Passkey || verifies, out.SecurityKey || !verifies
		default: // recovery codes stand in for others
		}
	}
	return out, nil
}

// decided is what comes next for a situation. What the user has is asked for where a
// second factor is needed.
func (p *Provider) decided(ctx context.Context, s *interaction.Situation) (interaction.Outcome, error) {
	o, refused := interaction.Next(*s)
	if refused != nil {
		return o, refused
	}
	if o.Step != interaction.StepUp || s.Held != nil {
		return o, nil
	}
	user, err := p.People.User(ctx, s.Session.User)
	if err != nil {
		return o, err
	}
	held, err := p.enrolled(ctx, user)
	if err != nil {
		return o, err
	}
	s.Held = &held
	if o, refused = interaction.Next(*s); refused != nil {
		return o, refused
	}
	return o, nil
}

// chooseFactor lets a person choose which second factor to add.
func (p *Provider) chooseFactor(w http.ResponseWriter, r *http.Request, e *enroller) error {
	return p.Pages.Write(w, r, http.StatusOK, pages.Enrol{Frame: e.frame(), Password: e.held.Password})
}

// notNow goes back without a second factor: the client is told that there is none.
func (p *Provider) notNow(w http.ResponseWriter, r *http.Request, e *enroller) error {
	e.visit.pending.NoStepUp = true
	return p.advance(w, r, e.visit)
}

// unmet says that there is no way to prove what is asked for.
func (p *Provider) unmet(w http.ResponseWriter, r *http.Request, _ string) error {
	forgetCookie(w, r, returnCookie)
	return p.Pages.Write(w, r, http.StatusForbidden, pages.Error{Code: interaction.Unmet})
}

// returnCookie names the page that a person comes back to after proving something.
const returnCookie = "__Host-meridian_return"

// returns are the pages that people come back to, by what the cookie says: no other.
var returns = map[string]string{
	"totp": totpPath, "passkey": passkeyPath, "codes": codesPath, "password": passwordPath, "account": "/account",
	invitationReturn: invitationPath,
}

// comeBack sends a browser to where a person proves what is missing, from where it comes
// back to a page.
func (p *Provider) comeBack(w http.ResponseWriter, page string, step enrolment.Step) error {
	if step == enrolment.Refused {
		return redirect(w, unmetPath)
	}
	for name, path := range returns {
		if path == page {
			setCookie(w, returnCookie, name, enrolment.Recent)
			return redirect(w, "/sign-in")
		}
	}
	return redirect(w, "/account")
}

// pendingReturn is what a browser proves something for that comes back to a page.
func (p *Provider) pendingReturn(r *http.Request) (door.Pending, error) {
	page, known := returns[cookie(r, returnCookie)]
	switch {
	case !known:
		return door.Pending{}, nil
	case page == invitationPath:
		return p.pendingInvitation(r)
	}
	s, user, err := p.somebody(r)
	if err != nil || user == nil {
		return door.Pending{}, err
	}
	held, err := p.enrolled(r.Context(), user)
	if err != nil {
		return door.Pending{}, err
	}
	decide := enrolment.Add
	if page == "/account" {
		decide = enrolment.Remove
	}
	out := door.Pending{Email: user.GetEmail(), Locales: []string{user.GetLocale()}}
	switch decide(s.State, held, p.now()) {
	case enrolment.StepUp:
		out.StepUp, out.AMR = s.User, s.AMR
		if held.AAL2() {
			out.ACR = session.AAL2
		}
	case enrolment.ProveAddress:
		out.StepUp, out.AMR, out.ProveAddress = s.User, s.AMR, true
	default: // a sign-in
	}
	return out, nil
}

// returned is the page that a browser comes back to, or the account page.
func (p *Provider) returned(w http.ResponseWriter, r *http.Request) string {
	page, known := returns[cookie(r, returnCookie)]
	forgetCookie(w, r, returnCookie)
	if !known {
		return "/account"
	}
	return page
}
