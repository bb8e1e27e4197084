package provider_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// TestInvitations: who was invited by a letter joins at the provider's pages, or does not.
func TestInvitations(t *testing.T) {
	w := start(t)
	made, err := w.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: "acme", Name: "Acme", IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	organization := made.GetOrganization().GetId()
	for name, test := range map[string]func(*testing.T, *world, string){
		"somebody new": testInvitedNewcomer, "a user": testInvitedUser, "declined": testInvitationDeclined, "O44 others": testInvitationOfOthers,
	} {
		t.Run(name, func(t *testing.T) { test(t, w, organization) })
	}
}

var invitationLink = regexp.MustCompile(`http://localhost:[0-9]+/invitation\?token=[^\s"<>]+`)

// invite invites an address, and returns where the letter leads.
func (w *world) invite(t *testing.T, organization, email string) (link string) {
	t.Helper()
	_, err := w.Invitations.CreateInvitation(t.Context(), &identityv1.CreateInvitationRequest{
		Organization: organization, Email: email, Role: identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN, IdempotencyKey: rand.Text(),
	})
	if err != nil {
		t.Fatal(err)
	}
	letter := w.mail.Letter(t, email, 1)
	if link = invitationLink.FindString(letter); !strings.HasPrefix(link, w.issuer) {
		t.Fatalf("the letter leads to %q:\n%s", link, letter)
	}
	return link
}

// members are the addresses of an organization's.
func (w *world) members(t *testing.T, organization string) string {
	t.Helper()
	listed, err := w.Memberships.ListMembers(t.Context(), &identityv1.ListMembersRequest{Organization: organization})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range listed.GetMemberships() {
		out = append(out, m.GetEmail())
	}
	return strings.Join(out, " ")
}

// testInvitedNewcomer: in a browser, somebody new signs up with the address, and accepts.
func testInvitedNewcomer(t *testing.T, w *world, organization string) {
	const email = "invited@example.com"
	link := w.invite(t, organization, email)
	p := w.person(t)
	p.Goto(link)
	if role := p.Text("#role"); role != "Administrator" {
		t.Errorf("the role is %q", role)
	}
	p.send("#sign-up")
	p.send("#continue") // the address is there
	p.Fill("#email_code", w.letterCode(t, email, 2))
	p.send("#continue")
	p.Fill("#new_password", password)
	p.send("#continue")
	p.Fill("#name", "Invited")
	p.send("#continue")
	p.WaitURL(w.issuer + "/invitation")
	p.send("#accept")
	p.Wait("h1:has-text('Welcome')")
	if got := w.members(t, organization); !strings.Contains(got, email) {
		t.Errorf("members are %s", got)
	}
	p.Goto(link)
	p.Wait("h1:has-text('cannot be used')")
	if got := p.Errors(); len(got) > 0 {
		t.Errorf("errors of the pages: %q", got)
	}
}

// testInvitedUser: a user signs in for it, without script.
func testInvitedUser(t *testing.T, w *world, organization string) {
	const email = "already@example.com"
	w.user(t, email)
	link := w.invite(t, organization, email)
	v := w.visitor(t)
	for range 2 { // programs open links ahead
		v.open(link)
	}
	if v.status != http.StatusOK || v.header.Get("Cache-Control") != "no-store" || v.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("%d %v", v.status, v.header)
	}
	v.send("decision", "sign_in")
	if !strings.Contains(v.body, `value="`+email+`"`) {
		t.Errorf("the page does not know the address:\n%s", v.body)
	}
	v.signIn(email)
	if v.at.Path != "/invitation" {
		t.Fatalf("at %s:\n%s", v.at, v.body)
	}
	v.send("decision", "accept")
	if got := w.members(t, organization); !strings.Contains(got, email) {
		t.Errorf("members are %s; the page says\n%s", got, v.body)
	}
}

func testInvitationDeclined(t *testing.T, w *world, organization string) {
	link := w.invite(t, organization, "declines@example.com")
	v := w.visitor(t)
	v.open(link)
	v.send("decision", "decline")
	v.open(link)
	if strings.Contains(v.body, "Acme") || strings.Contains(v.body, "declines@example.com") || strings.Contains(v.body, "<form") {
		t.Errorf("the invitation is there:\n%s", v.body)
	}
}

// testInvitationOfOthers: an invitation is for whom it names, and what is posted by
// another site's page or with another secret changes nothing.
func testInvitationOfOthers(t *testing.T, w *world, organization string) {
	const email, thief = "meant@example.com", "thief@example.com"
	w.user(t, thief)
	link, err := url.Parse(w.invite(t, organization, email))
	if err != nil {
		t.Fatal(err)
	}
	token := link.Query().Get("token")
	v := w.visitor(t)
	v.open(w.issuer + "/sign-in")
	v.signIn(thief)
	v.open(link.String())
	if strings.Contains(v.body, `value="accept"`) || !strings.Contains(v.body, thief) {
		t.Errorf("another user is asked:\n%s", v.body)
	}
	v.post("/invitation", url.Values{"token": {token}, "decision": {"accept"}}, w.issuer)
	for _, decision := range []string{"accept", "decline", "sign_in"} {
		v.post("/invitation", url.Values{"token": {token}, "decision": {decision}}, "https://evil.example")
		if v.status != http.StatusForbidden {
			t.Errorf("%s from elsewhere: %d", decision, v.status)
		}
	}
	for _, bad := range []string{"", "x", token + "x", token[:len(token)-1], strings.Repeat("a", 300)} {
		v.open(w.issuer + "/invitation?token=" + bad)
		if v.status != http.StatusOK || strings.Contains(v.body, "Acme") || strings.Contains(v.body, email) {
			t.Errorf("token of %d bytes: %d\n%s", len(bad), v.status, v.body)
		}
	}
	if got := w.members(t, organization); strings.Contains(got, thief) {
		t.Errorf("members are %s", got)
	}
	v.open(link.String())
	if !strings.Contains(v.body, "Acme") {
		t.Errorf("the invitation is gone:\n%s", v.body)
	}
}
