package oidc

import (
	"net/http"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/authorize"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/interaction"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/party"
)

// human serves people in browsers. What is posted must come from a page of ours.
func (p *Provider) human(e endpoint) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		r = r.WithContext(party.Remember(r.Context()))
		issuer, ok := p.issuer(r)
		if !ok {
			p.Refusals.record(r, "", answer.InvalidRequest, noIssuer)
			return p.Pages.Write(w, r, http.StatusMisdirectedRequest, pages.Error{Code: answer.InvalidRequest, Detail: noIssuer})
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		return e(w, r, issuer)
	}
}

// ours refuses what another site's page posted in a person's name.
func ours(r *http.Request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, "the form came from another site's page")
	}
	return nil
}

// fromElsewhere says whether another site's page posted a request. Browsers keep their
// cookies from it, so that nobody seems to be signed in.
func fromElsewhere(r *http.Request) bool { return r.Method == http.MethodPost && ours(r) != nil }

// maxAgain bounds the parameters of a request that comes again, in bytes.
const maxAgain = 16 << 10

// comeAgain has the browser send the same parameters once more, by a method with which
// it sends its cookies.
func (p *Provider) comeAgain(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil || len(r.PostForm.Encode()) > maxAgain {
		return p.helpful(w, r, &authorize.Error{Code: authorize.InvalidRequest, Description: "the parameters cannot be read, or are more than 16 KiB"})
	}
	return redirect(w, r.URL.Path+"?"+r.PostForm.Encode())
}

// pageErrors are what people are told of faults that are no defects.
var pageErrors = map[fault.Kind]struct {
	status int
	code   string
}{
	fault.NotFound:  {http.StatusNotFound, "request_over"},
	fault.Denied:    {http.StatusForbidden, "access_denied"},
	fault.Invalid:   {http.StatusBadRequest, "invalid_request"},
	fault.Exhausted: {http.StatusTooManyRequests, "slow_down"},
}

// refusePage tells a person what went wrong.
func (p *Provider) refusePage(w http.ResponseWriter, r *http.Request, f *fault.Fault) {
	status, code := http.StatusInternalServerError, "server_error"
	if is, known := pageErrors[f.Kind]; known {
		status, code = is.status, is.code
	}
	if passing(f.Kind) {
		status, code = http.StatusServiceUnavailable, "temporarily_unavailable"
	}
	_ = p.Pages.Write(w, r, status, pages.Error{Code: code, Trace: f.Meta["trace"]}) // who asked is gone
}

// posted is the request that a form of ours goes on with.
func (p *Provider) posted(r *http.Request, issuer string) (*visit, error) {
	if err := ours(r); err != nil {
		return nil, err
	}
	if _, err := form(r); err != nil {
		return nil, fault.New(fault.Invalid, commonv1.Reason_INVALID_FIELD, "the form cannot be read")
	}
	return p.pendingOf(r, issuer)
}

// frame is what the pages of a request have.
func (v *visit) frame() pages.Frame {
	out := pages.Frame{Request: v.name, Client: shown(v.client), Locales: v.pending.Request.Locales, Theme: v.theme}
	if to := v.pending.Request.Redirect.URI; to != "" {
		out.FormTargets = []string{target(to)}
	}
	return out
}

// organizationPage lets a person choose an organization.
func (p *Provider) organizationPage(w http.ResponseWriter, r *http.Request, issuer string) error {
	v, err := p.pendingOf(r, issuer)
	if err != nil {
		return err
	}
	s, o, err := p.next(r, v)
	if err != nil || o.Step != interaction.Organization {
		return p.advance(w, r, v) // it says what is the case
	}
	view := pages.ChooseOrganization{Frame: v.frame()}
	for _, m := range s.Memberships {
		view.Organizations = append(view.Organizations, pages.Organization{ID: m.ID, Name: m.Name})
	}
	return p.Pages.Write(w, r, http.StatusOK, view)
}

// chooseOrganization takes the choice. Whether the person may is decided again.
func (p *Provider) chooseOrganization(w http.ResponseWriter, r *http.Request, issuer string) error {
	v, err := p.posted(r, issuer)
	if err != nil {
		return err
	}
	chosen := r.PostForm.Get("organization")
	if !id.Valid(id.Organization, chosen) {
		return redirect(w, requestURL("/organization", v.name))
	}
	v.pending.Chosen, v.pending.AgreedBy = chosen, "" // what was agreed to was for another
	return p.advance(w, r, v)
}

// consentPage asks a person whether a client may have what it asks for.
func (p *Provider) consentPage(w http.ResponseWriter, r *http.Request, issuer string) error {
	v, err := p.pendingOf(r, issuer)
	if err != nil {
		return err
	}
	s, o, err := p.next(r, v)
	if err != nil || o.Step != interaction.Consent {
		return p.advance(w, r, v) // it says what is the case
	}
	access := pages.Access{Scopes: v.pending.Request.Scopes, Resources: v.pending.Request.Resources}
	for _, m := range s.Memberships {
		if m.ID == o.Organization {
			access.Organization = m.Name
		}
	}
	if len(v.pending.Device) > 0 {
		return p.deviceConfirmation(w, r, v, access)
	}
	view := pages.Consent{Frame: v.frame(), RedirectURI: v.pending.Request.Redirect.URI, Access: access}
	describe(&view, v.client)
	return p.Pages.Write(w, r, http.StatusOK, view)
}

// consent takes what the person said. Anything but yes is no.
func (p *Provider) consent(w http.ResponseWriter, r *http.Request, issuer string) error {
	v, err := p.posted(r, issuer)
	if err != nil {
		return err
	}
	s, err := p.session(r.Context(), r)
	if err != nil {
		return err
	}
	if v.pending.Declined = r.PostForm.Get("decision") != "allow"; !v.pending.Declined {
		v.pending.AgreedBy = s.User
	}
	return p.advance(w, r, v)
}
