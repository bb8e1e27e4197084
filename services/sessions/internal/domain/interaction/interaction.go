// Package interaction decides what a person still has to do before an authorization
// request is answered.
package interaction

import (
	"slices"
	"time"

	"github.com/meridian-iam/meridian/services/sessions/internal/domain/authorize"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/enrolment"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
)

// Step is what comes next.
type Step uint8

// The steps.
const (
	// Done: the request is answered.
	Done Step = iota
	// SignIn: say who it is; to sign up where the request asks for it.
	SignIn
	// StepUp: prove more, of the same user.
	StepUp
	// Organization: choose one.
	Organization
	// Consent: agree to what the client asks for.
	Consent
	// ProveAddress: show that letters to the user's address arrive, before Enrol.
	ProveAddress
	// Enrol: add the second factor that the user does not have.
	Enrol
)

// Codes of errors beside those of package authorize.
//
// Source: OpenID Connect Core 1.0 section 3.1.2.6; RFC 9470 section 5.
const (
	LoginRequired       = "login_required"
	InteractionRequired = "interaction_required"
	ConsentRequired     = "consent_required"
	AccessDenied        = "access_denied"
	Unmet               = "unmet_authentication_requirements"
)

// Membership is an organization that the user may act in.
type Membership struct {
	ID, Slug, Name string
}

// Client is what of a client counts here.
type Client struct {
	// Organization owns the client: its tokens are for that one; "": the platform's.
	Organization string
	// OrganizationRequired: its tokens are for one organization. ConsentRequired: users
	// are asked whether they agree. ConsentAlways: each time, because nobody knows that it
	// is the same client as the last time.
	OrganizationRequired, ConsentRequired, ConsentAlways bool
}

// Agreement is what a user agreed that a client may have.
type Agreement struct{ Scopes, Resources []string }

// covers says whether nothing of it is new.
func (a Agreement) covers(scopes, resources []string) bool {
	return within(scopes, a.Scopes) && within(resources, a.Resources)
}

func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// Situation is a request, and what is known of the person in the browser.
type Situation struct {
	Request authorize.Request
	Client  Client
	// AskedAt is when the request came; At is now.
	AskedAt, At time.Time
	// Session is who is signed in; the zero one: nobody.
	Session session.State
	// Memberships are the organizations that the user may act in.
	Memberships []Membership
	// Demands says whether an organization asks for a second factor.
	Demands map[string]bool
	// Chosen is the organization that the user chose for this request, or "".
	Chosen string
	// Agreed is what the user agreed to earlier, by the organization that it is for, "" for
	// none; AgreedNow: to all, for this request. Declined: not at all.
	Agreed              map[string]Agreement
	AgreedNow, Declined bool
	// NoStepUp: the user has no way to prove more.
	NoStepUp bool
	// Held is what the user has to prove more with; nil: that is not known.
	Held *enrolment.Held
}

// Outcome is what comes next. At the end it says whom the tokens are for.
type Outcome struct {
	Step Step
	// Organization is what the tokens are for; "": for none.
	Organization string
	// ACR is what StepUp must reach; "": any second factor.
	ACR string
}

// Next returns what comes next, or the error that the client gets. Where nothing may be
// shown, what would be needed is the error.
//
// Source: OpenID Connect Core 1.0 sections 3.1.2.1, 3.1.2.3, 3.1.2.4 and 3.1.2.6; RFC
// 9470 section 5.
func Next(s Situation) (Outcome, *authorize.Error) {
	if s.Declined {
		return Outcome{}, s.refuse(AccessDenied, "the user did not agree")
	}
	if s.signIn() {
		return s.ask(Outcome{Step: SignIn}, LoginRequired, "the user must sign in")
	}
	organization, chosen, err := s.organization()
	if err != nil {
		return Outcome{}, err
	}
	if !chosen {
		return s.ask(Outcome{Step: Organization}, InteractionRequired, "the user must choose an organization")
	}
	if !s.strong(organization) {
		return s.more(organization)
	}
	if s.consent(organization) {
		return s.ask(Outcome{Step: Consent, Organization: organization}, ConsentRequired, "the user must agree")
	}
	return Outcome{Step: Done, Organization: organization}, nil
}

// more is how the user proves more: with the second factor that there is, and else with
// one that is enrolled first. Who has one enrols none here.
func (s Situation) more(organization string) (Outcome, *authorize.Error) {
	step := StepUp
	if s.Held != nil && !s.Held.Second() {
		step = map[enrolment.Step]Step{
			enrolment.Allowed: Enrol, enrolment.ProveAddress: ProveAddress, enrolment.SignIn: SignIn,
		}[enrolment.Add(s.Session, *s.Held, s.At)]
	}
	if s.NoStepUp || step == Done {
		return Outcome{}, s.refuse(Unmet, "the user cannot prove what acr_values or the organization asks for")
	}
	o := Outcome{Step: step, Organization: organization}
	if s.asked() {
		o.ACR = session.AAL2
	}
	return s.ask(o, InteractionRequired, "the user must prove more")
}

func (s Situation) refuse(code, description string) *authorize.Error {
	return &authorize.Error{Code: code, Description: description, Redirect: s.Request.Redirect}
}

// ask is a step that shows something, which a request may forbid.
func (s Situation) ask(o Outcome, code, description string) (Outcome, *authorize.Error) {
	if s.Request.Prompt.None {
		return Outcome{}, s.refuse(code, description)
	}
	return o, nil
}

// signIn says whether the user must say again who it is: nobody is signed in, the
// client asks for it, or it was too long ago.
func (s Situation) signIn() bool {
	since := s.Session.AuthenticatedAt
	again := s.Request.Prompt.Login || s.Request.Prompt.Create
	return s.Session.ID == "" || again && since.Before(s.AskedAt) ||
		s.Request.MaxAge >= 0 && since.Before(s.AskedAt) && s.At.Sub(since) > s.Request.MaxAge
}

// organization is what the tokens are for, and whether that is settled.
func (s Situation) organization() (organization string, chosen bool, err *authorize.Error) {
	denied := s.refuse(AccessDenied, "the user is no member of an organization that this is for")
	if own := s.Client.Organization; own != "" {
		if !s.member(own) {
			return "", false, denied
		}
		return own, true, nil
	}
	if s.Chosen != "" {
		if !s.member(s.Chosen) {
			return "", false, denied
		}
		return s.Chosen, true, nil
	}
	again := s.Request.Prompt.SelectAccount && s.Client.OrganizationRequired && len(s.Memberships) > 1
	if hint := s.Request.Organization; hint != "" && !again {
		for _, m := range s.Memberships {
			if m.ID == hint || m.Slug == hint {
				return m.ID, true, nil
			}
		}
		return "", false, denied
	}
	switch {
	case !s.Client.OrganizationRequired:
		return "", true, nil
	case len(s.Memberships) == 0:
		return "", false, denied
	case len(s.Memberships) == 1:
		return s.Memberships[0].ID, true, nil
	default:
		return "", false, nil
	}
}

func (s Situation) member(organization string) bool {
	return slices.ContainsFunc(s.Memberships, func(m Membership) bool { return m.ID == organization })
}

// strong says whether the session has proved what the request and the organization ask
// for: a level, and a second factor. More than was asked for is fine.
func (s Situation) strong(organization string) bool {
	return !s.asked() && (!s.Demands[organization] || s.Session.Several())
}

// asked says whether the request asks for a higher level.
func (s Situation) asked() bool {
	return len(s.Request.Levels) > 0 && !slices.Contains(s.Request.Levels, s.Session.ACR) && s.Session.ACR != session.AAL2
}

// consent says whether the user must be asked.
func (s Situation) consent(organization string) bool {
	if s.AgreedNow {
		return false
	}
	if s.Request.Prompt.Consent || s.Client.ConsentAlways {
		return true
	}
	return s.Client.ConsentRequired && !s.Agreed[organization].covers(s.Request.Scopes, s.Request.Resources)
}
