package oidc

import (
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/door"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
)

const (
	// invitationPath is where the letter leads, with the parameter token.
	invitationPath = "/invitation"
	// invitationCookie holds the secret of the letter while somebody signs in for it.
	invitationCookie = "__Host-meridian_invitation"
	// invitationReturn is what the cookie that leads back says.
	invitationReturn = "invitation"
	// maxInvitation bounds the secret, in bytes.
	maxInvitation = 256
)

// invited is an invitation, and who is in the browser.
type invited struct {
	token string
	found *identityv1.LookUpInvitationResponse
	user  *identityv1.User
	view  pages.Invitation
}

// invited looks an invitation up for who is in the browser; found is nil for a secret
// that opens nothing.
func (p *Provider) invited(r *http.Request, token string) (invited, error) {
	out := invited{token: token, view: pages.Invitation{Over: true}}
	_, user, err := p.somebody(r)
	if err != nil {
		return out, err
	}
	out.user = user
	if user != nil {
		out.view.Locales = []string{user.GetLocale()}
	}
	if token == "" || len(token) > maxInvitation {
		return out, nil
	}
	found, err := p.People.Invitations.LookUpInvitation(r.Context(), &identityv1.LookUpInvitationRequest{Secret: token, User: user.GetId()})
	if fault.Is(err, commonv1.Reason_INVITATION_REJECTED) || fault.Is(err, commonv1.Reason_NOT_FOUND) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	i := found.GetInvitation()
	out.found, out.view = found, pages.Invitation{
		Frame: out.view.Frame, Token: token, Organization: found.GetOrganizationName(), Email: i.GetEmail(),
		Role: strings.ToLower(strings.TrimPrefix(i.GetRole().String(), "MEMBERSHIP_ROLE_")),
		User: user.GetEmail(), Addressed: found.GetAddressed(),
	}
	if user != nil && out.view.User == "" {
		out.view.User = orDash(user.GetName())
	}
	out.view.Theme, err = p.themeOf(r.Context(), i.GetOrganization())
	return out, err
}

// invitationPage shows an invitation. It changes nothing: programs open links ahead.
func (p *Provider) invitationPage(w http.ResponseWriter, r *http.Request, _ string) error {
	token := r.URL.Query().Get("token")
	if token == "" { // back from signing in
		token = cookie(r, invitationCookie)
	}
	i, err := p.invited(r, token)
	if err != nil {
		return err
	}
	return p.Pages.Write(w, r, http.StatusOK, i.view)
}

// decideInvitation takes what somebody said to an invitation.
func (p *Provider) decideInvitation(w http.ResponseWriter, r *http.Request, _ string) error {
	if err := ours(r); err != nil {
		return err
	}
	if _, err := form(r); err != nil {
		return fault.New(fault.Invalid, commonv1.Reason_INVALID_FIELD, "the form cannot be read")
	}
	i, err := p.invited(r, r.PostForm.Get("token"))
	if err != nil || i.found == nil {
		return p.shownInvitation(w, r, i.view, err)
	}
	switch decision := r.PostForm.Get("decision"); {
	case decision == "sign_in", decision == "sign_up":
		setCookie(w, invitationCookie, i.token, pendingLife)
		setCookie(w, returnCookie, invitationReturn, pendingLife)
		return redirect(w, map[string]string{"sign_in": "/sign-in", "sign_up": "/sign-up"}[decision])
	case decision == "accept" && i.view.Addressed:
		return p.acceptInvitation(w, r, i)
	case decision == "decline":
		_, err := p.People.Invitations.DeclineInvitation(r.Context(), &identityv1.DeclineInvitationRequest{Secret: i.token, IdempotencyKey: rand.Text()})
		forgetCookie(w, r, invitationCookie)
		i.view.Declined = err == nil
		return p.shownInvitation(w, r, i.view, err)
	default:
		return p.shownInvitation(w, r, i.view, nil)
	}
}

// acceptInvitation makes who is signed in a member: somebody who is one is as well off.
func (p *Provider) acceptInvitation(w http.ResponseWriter, r *http.Request, i invited) error {
	_, err := p.People.Invitations.AcceptInvitation(r.Context(), &identityv1.AcceptInvitationRequest{
		Secret: i.token, Who: &identityv1.AcceptInvitationRequest_User{User: i.user.GetId()}, IdempotencyKey: rand.Text(),
	})
	if fault.Is(err, commonv1.Reason_ALREADY_EXISTS) {
		err = nil
	}
	forgetCookie(w, r, invitationCookie)
	i.view.Joined = err == nil
	return p.shownInvitation(w, r, i.view, err)
}

// shownInvitation shows what became of an invitation, or why nothing did.
func (p *Provider) shownInvitation(w http.ResponseWriter, r *http.Request, view pages.Invitation, err error) error {
	f, _ := fault.As(err)
	switch {
	case err == nil:
	case fault.Is(err, commonv1.Reason_INVITATION_REJECTED):
		view.Over = true
	case fault.Is(err, commonv1.Reason_LIMIT_REACHED), fault.Is(err, commonv1.Reason_ORGANIZATION_STATE):
		view.Problem = "organization_state"
	case f != nil && f.Reason == commonv1.Reason_USER_SUSPENDED:
		view.Problem = "suspended"
	default:
		return err
	}
	return p.Pages.Write(w, r, http.StatusOK, view)
}

// pendingInvitation is an invitation that somebody signs in for: with the address that is
// invited, as the organization has it.
func (p *Provider) pendingInvitation(r *http.Request) (door.Pending, error) {
	i, err := p.invited(r, cookie(r, invitationCookie))
	if err != nil || i.found == nil {
		return door.Pending{}, err
	}
	return door.Pending{
		Email: i.view.Email, Organization: i.found.GetInvitation().GetOrganization(), OrganizationName: i.view.Organization,
		Client: i.view.Organization, Theme: i.view.Theme,
	}, nil
}
