package interaction_test

import (
	"testing"
	"time"

	"github.com/meridian-iam/meridian/services/sessions/internal/domain/authorize"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/enrolment"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/interaction"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
)

var (
	now   = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	acme  = interaction.Membership{ID: "org_acme", Slug: "acme"}
	other = interaction.Membership{ID: "org_other", Slug: "other"}
)

func signedIn(ago time.Duration, acr string) session.State {
	return session.State{ID: "ses_1", User: "usr_1", ACR: acr, AuthenticatedAt: now.Add(-ago)}
}

// agreed is what was agreed to for an organization.
func agreed(organization string, scopes ...string) map[string]interaction.Agreement {
	return map[string]interaction.Agreement{organization: {Scopes: scopes}}
}

func TestNext(t *testing.T) {
	type situation = interaction.Situation
	for name, tc := range map[string]struct {
		situation func(s *situation)
		step      interaction.Step
		org, code string
	}{
		"nobody is signed in":                         {func(s *situation) { s.Session = session.State{} }, interaction.SignIn, "", ""},
		"nobody, and nothing may be shown":            {func(s *situation) { s.Session = session.State{}; s.Request.Prompt.None = true }, 0, "", "login_required"},
		"signed in":                                   {func(*situation) {}, interaction.Done, "", ""},
		"signed in, and nothing may be shown":         {func(s *situation) { s.Request.Prompt.None = true }, interaction.Done, "", ""},
		"prompt login":                                {func(s *situation) { s.Request.Prompt.Login = true }, interaction.SignIn, "", ""},
		"prompt login, and that was done":             {func(s *situation) { s.Request.Prompt.Login = true; s.Session.AuthenticatedAt = now }, interaction.Done, "", ""},
		"prompt create":                               {func(s *situation) { s.Request.Prompt.Create = true }, interaction.SignIn, "", ""},
		"max_age is over":                             {func(s *situation) { s.Request.MaxAge = 59 * time.Minute }, interaction.SignIn, "", ""},
		"max_age is not over":                         {func(s *situation) { s.Request.MaxAge = time.Hour }, interaction.Done, "", ""},
		"max_age 0":                                   {func(s *situation) { s.Request.MaxAge = 0 }, interaction.SignIn, "", ""},
		"max_age 0, and signed in for this request":   {func(s *situation) { s.Request.MaxAge = 0; s.Session.AuthenticatedAt = now }, interaction.Done, "", ""},
		"max_age is over, and nothing may be shown":   {func(s *situation) { s.Request.MaxAge = 0; s.Request.Prompt.None = true }, 0, "", "login_required"},
		"more is asked for":                           {func(s *situation) { s.Request.Levels = []string{"aal2"} }, interaction.StepUp, "", ""},
		"more is preferred, less is taken":            {func(s *situation) { s.Request.Levels = []string{"aal2", "aal1"} }, interaction.Done, "", ""},
		"more was proved than asked for":              {func(s *situation) { s.Request.Levels = []string{"aal1"}; s.Session.ACR = "aal2" }, interaction.Done, "", ""},
		"more is asked for, and nothing may be shown": {func(s *situation) { s.Request.Levels = []string{"aal2"}; s.Request.Prompt.None = true }, 0, "", "interaction_required"},
		"more is asked for, and there is no way":      {func(s *situation) { s.Request.Levels = []string{"aal2"}; s.NoStepUp = true }, 0, "", "unmet_authentication_requirements"},
		"more is asked for, there is no second factor, and a password alone": {func(s *situation) {
			s.Request.Levels = []string{"aal2"}
			s.Session.AuthenticatedAt, s.Held = now, &enrolment.Held{Password: true, Address: true}
		}, interaction.ProveAddress, "", ""},
		"more is asked for, there is no second factor, and the address is proved": {func(s *situation) {
			s.Request.Levels = []string{"aal2"}
			s.Session.AMR, s.Session.AuthenticatedAt, s.Held = []string{"pwd", "otp"}, now, &enrolment.Held{Password: true, Address: true}
		}, interaction.Enrol, "", ""},
		"more is asked for, there is no second factor, and the address was proved long ago": {func(s *situation) {
			s.Request.Levels = []string{"aal2"}
			s.Session.AMR, s.Held = []string{"pwd", "otp"}, &enrolment.Held{Password: true, Address: true}
		}, interaction.SignIn, "", ""},
		"more is asked for, there is no second factor, and no address": {func(s *situation) {
			s.Request.Levels = []string{"aal2"}
			s.Session.AuthenticatedAt, s.Held = now, &enrolment.Held{Password: true}
		}, 0, "", "unmet_authentication_requirements"},
		"more is asked for, there is no second factor, and letters cannot be sent": {func(s *situation) {
			s.Request.Levels = []string{"aal2"}
			s.Held, s.NoStepUp = &enrolment.Held{Password: true, Address: true}, true
		}, 0, "", "unmet_authentication_requirements"},
		"more is asked for, there is no second factor, and nothing may be shown": {func(s *situation) {
			s.Request.Levels = []string{"aal2"}
			s.Request.Prompt.None = true
			s.Session.AMR, s.Session.AuthenticatedAt, s.Held = []string{"otp"}, now, &enrolment.Held{Address: true}
		}, 0, "", "interaction_required"},
		"more is asked for, and there is a second factor that was not proved": {func(s *situation) {
			s.Request.Levels = []string{"aal2"}
			s.Session.AMR, s.Session.AuthenticatedAt, s.Held = []string{"pwd", "otp"}, now, &enrolment.Held{Password: true, TOTP: true, Address: true}
		}, interaction.StepUp, "", ""},
		"more is asked for, and a recovery code stood in": {func(s *situation) {
			s.Request.Levels = []string{"aal2"}
			s.Session.AMR, s.Session.AuthenticatedAt, s.Held = []string{"pwd", "recovery"}, now, &enrolment.Held{Password: true, TOTP: true, Address: true}
		}, interaction.StepUp, "", ""},
		"the organization asks for more": {func(s *situation) {
			s.Client.OrganizationRequired = true
			s.Memberships = s.Memberships[:1]
			s.Demands = map[string]bool{"org_acme": true}
		}, interaction.StepUp, "org_acme", ""},
		"the organization asks for more, and a second factor was beside a letter": {func(s *situation) {
			s.Client.OrganizationRequired = true
			s.Memberships = s.Memberships[:1]
			s.Demands = map[string]bool{"org_acme": true}
			s.Session.AMR = []string{"otp", "mfa"}
		}, interaction.Done, "org_acme", ""},
		"aal2 is asked for, and a second factor was beside a letter": {func(s *situation) {
			s.Request.Levels = []string{"aal2"}
			s.Session.AMR = []string{"otp", "mfa"}
		}, interaction.StepUp, "", ""},
		"one of several organizations":      {func(s *situation) { s.Client.OrganizationRequired = true }, interaction.Organization, "", ""},
		"several, and nothing may be shown": {func(s *situation) { s.Client.OrganizationRequired = true; s.Request.Prompt.None = true }, 0, "", "interaction_required"},
		"one only":                          {func(s *situation) { s.Client.OrganizationRequired = true; s.Memberships = s.Memberships[:1] }, interaction.Done, "org_acme", ""},
		"none":                              {func(s *situation) { s.Client.OrganizationRequired = true; s.Memberships = nil }, 0, "", "access_denied"},
		"chosen":                            {func(s *situation) { s.Client.OrganizationRequired = true; s.Chosen = "org_other" }, interaction.Done, "org_other", ""},
		"chosen, and no member any more":    {func(s *situation) { s.Client.OrganizationRequired = true; s.Chosen = "org_third" }, 0, "", "access_denied"},
		"the request names one by id":       {func(s *situation) { s.Request.Organization = "org_other" }, interaction.Done, "org_other", ""},
		"the request names one by slug":     {func(s *situation) { s.Request.Organization = "acme" }, interaction.Done, "org_acme", ""},
		"the request names one of others":   {func(s *situation) { s.Request.Organization = "org_third" }, 0, "", "access_denied"},
		"the request names one, and asks to choose": {func(s *situation) {
			s.Request.Organization = "acme"
			s.Client.OrganizationRequired = true
			s.Request.Prompt.SelectAccount = true
		}, interaction.Organization, "", ""},
		"a client of an organization":                {func(s *situation) { s.Client.Organization = "org_acme"; s.Request.Organization = "other" }, interaction.Done, "org_acme", ""},
		"a client of an organization, and no member": {func(s *situation) { s.Client.Organization = "org_third"; s.Chosen = "org_acme" }, 0, "", "access_denied"},
		"consent":                              {func(s *situation) { s.Client.ConsentRequired = true }, interaction.Consent, "", ""},
		"consent to some is none to all":       {func(s *situation) { s.Client.ConsentRequired = true; s.Agreed = agreed("", "openid") }, interaction.Consent, "", ""},
		"consent earlier":                      {func(s *situation) { s.Client.ConsentRequired = true; s.Agreed = agreed("", "email", "openid") }, interaction.Done, "", ""},
		"consent earlier, and asked for again": {func(s *situation) { s.Request.Prompt.Consent = true; s.Agreed = agreed("", "email", "openid") }, interaction.Consent, "", ""},
		"consent for another organization": {func(s *situation) {
			s.Client.ConsentRequired, s.Client.OrganizationRequired, s.Chosen = true, true, "org_other"
			s.Agreed = agreed("org_acme", "email", "openid")
		}, interaction.Consent, "org_other", ""},
		"consent for another organization, and nothing may be shown": {func(s *situation) {
			s.Client.ConsentRequired, s.Client.OrganizationRequired, s.Request.Organization, s.Request.Prompt.None = true, true, "org_other", true
			s.Agreed = agreed("org_acme", "email", "openid")
		}, 0, "", "consent_required"},
		"consent for this organization": {func(s *situation) {
			s.Client.ConsentRequired, s.Client.OrganizationRequired, s.Chosen = true, true, "org_other"
			s.Agreed = agreed("org_other", "email", "openid")
		}, interaction.Done, "org_other", ""},
		"consent for no organization": {func(s *situation) {
			s.Client.ConsentRequired, s.Client.OrganizationRequired, s.Chosen = true, true, "org_other"
			s.Agreed = agreed("", "email", "openid")
		}, interaction.Consent, "org_other", ""},
		"consent for another API": {func(s *situation) {
			s.Client.ConsentRequired, s.Request.Resources = true, []string{"https://billing.example"}
			s.Agreed = map[string]interaction.Agreement{"": {Scopes: []string{"email", "openid"}, Resources: []string{"https://orders.example"}}}
		}, interaction.Consent, "", ""},
		"consent for this API": {func(s *situation) {
			s.Client.ConsentRequired, s.Request.Resources = true, []string{"https://orders.example"}
			s.Agreed = map[string]interaction.Agreement{"": {Scopes: []string{"email", "openid"}, Resources: []string{"https://orders.example"}}}
		}, interaction.Done, "", ""},
		"consent earlier, of a client that may be another": {func(s *situation) {
			s.Client.ConsentRequired, s.Client.ConsentAlways = true, true
			s.Agreed = agreed("", "email", "openid")
		}, interaction.Consent, "", ""},
		"consent to it now": {func(s *situation) { s.Client.ConsentAlways = true; s.AgreedNow = true }, interaction.Done, "", ""},
		"consent now":       {func(s *situation) { s.Client.ConsentRequired = true; s.AgreedNow = true }, interaction.Done, "", ""},
		"consent declined":  {func(s *situation) { s.Client.ConsentRequired = true; s.Declined = true }, 0, "", "access_denied"},
		"consent is needed, and nothing may be shown": {func(s *situation) { s.Client.ConsentRequired = true; s.Request.Prompt.None = true }, 0, "", "consent_required"},
	} {
		t.Run(name, func(t *testing.T) {
			s := situation{
				Request: authorize.Request{Scopes: []string{"openid", "email"}, MaxAge: -1, Redirect: authorize.Redirect{URI: "https://app.example/cb"}},
				Session: signedIn(time.Hour, "aal1"), Memberships: []interaction.Membership{acme, other}, AskedAt: now.Add(-time.Second), At: now,
			}
			tc.situation(&s)
			got, err := interaction.Next(s)
			code := ""
			if err != nil {
				code = err.Code
				if err.Redirect != s.Request.Redirect {
					t.Errorf("the client is told at %v", err.Redirect)
				}
			}
			if code != tc.code || got.Step != tc.step || got.Organization != tc.org {
				t.Errorf("Next = %v for %q, error %q; want %v for %q, error %q", got.Step, got.Organization, code, tc.step, tc.org, tc.code)
			}
		})
	}
}

// FuzzNext: where nothing may be shown nothing is; nobody gets tokens for an
// organization that he or she is no member of.
func FuzzNext(f *testing.F) {
	f.Add(uint16(0), "acme", "org_other", int64(0))
	f.Add(uint16(0xffff), "org_third", "", int64(3600))
	f.Fuzz(func(t *testing.T, bits uint16, hint, chosen string, age int64) {
		bit := func(n int) bool { return bits>>n&1 == 1 }
		s := interaction.Situation{
			Request: authorize.Request{Scopes: []string{"openid"}, Organization: hint, MaxAge: time.Duration(age) * time.Second},
			Client:  interaction.Client{OrganizationRequired: bit(0), ConsentRequired: bit(1)},
			Chosen:  chosen, AskedAt: now.Add(-time.Second), At: now, AgreedNow: bit(2), Declined: bit(3), NoStepUp: bit(4),
		}
		s.Request.Prompt = authorize.Prompt{None: bit(5), Login: bit(6), Consent: bit(7), SelectAccount: bit(8), Create: bit(9)}
		if bit(10) {
			s.Session = signedIn(time.Hour, "aal1")
		}
		if bit(11) {
			s.Memberships = []interaction.Membership{acme, other}
		}
		if bit(12) {
			s.Request.Levels = []string{"aal2"}
		}
		got, err := interaction.Next(s)
		switch {
		case err != nil:
		case s.Request.Prompt.None && got.Step != interaction.Done:
			t.Errorf("step %v is shown", got.Step)
		case got.Step == interaction.Done && s.Session.ID == "":
			t.Error("nobody is signed in, and it is done")
		case got.Organization != "" && !bit(11):
			t.Errorf("tokens for %q", got.Organization)
		}
	})
}
