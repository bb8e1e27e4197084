package enrolment_test

import (
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/enrolment"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func signedIn(ago time.Duration, acr string, amr ...string) session.State {
	return session.State{ID: "ses_1", User: "usr_1", ACR: acr, AMR: amr, AuthenticatedAt: now.Add(-ago)}
}

func TestAdd(t *testing.T) {
	type held = enrolment.Held
	none := held{Password: true, Address: true}
	for name, tc := range map[string]struct {
		session     session.State
		held        held
		add, remove enrolment.Step
	}{
		"nobody": {session.State{}, none, enrolment.SignIn, enrolment.SignIn},

		"a password alone, and there is no second factor":   {signedIn(0, "aal1", "pwd"), none, enrolment.ProveAddress, enrolment.Allowed},
		"a password alone, and nobody can send a letter":    {signedIn(0, "aal1", "pwd"), held{Password: true}, enrolment.Refused, enrolment.Allowed},
		"a password and the address":                        {signedIn(time.Minute, "aal1", "pwd", "otp"), none, enrolment.Allowed, enrolment.Allowed},
		"just signed up":                                    {signedIn(0, "aal1", "otp"), none, enrolment.Allowed, enrolment.Allowed},
		"a password and the address, as long ago as it may": {signedIn(enrolment.Recent, "aal1", "pwd", "otp"), none, enrolment.Allowed, enrolment.Allowed},
		"an old session":                                    {signedIn(enrolment.Recent+1, "aal1", "pwd", "otp"), none, enrolment.SignIn, enrolment.SignIn},
		"an old session, and nobody can send a letter":      {signedIn(time.Hour, "aal1", "pwd"), held{Password: true}, enrolment.SignIn, enrolment.SignIn},
		"what was strong, and was removed just now":         {signedIn(0, "aal2", "swk", "user", "mfa"), none, enrolment.Allowed, enrolment.Allowed},

		"a password alone, and there is a passkey":           {signedIn(0, "aal1", "pwd"), held{Passkey: true, Address: true}, enrolment.StepUp, enrolment.StepUp},
		"a password and the address, and there is a passkey": {signedIn(0, "aal1", "pwd", "otp"), held{Passkey: true, Address: true}, enrolment.StepUp, enrolment.StepUp},
		"a recovery by mail, and there is a passkey":         {signedIn(0, "aal1", "otp", "recovery"), held{Passkey: true, Address: true}, enrolment.StepUp, enrolment.StepUp},
		"a password alone, and there is a TOTP":              {signedIn(0, "aal1", "pwd"), held{TOTP: true, Address: true}, enrolment.StepUp, enrolment.StepUp},
		"a password alone, and there is a security key":      {signedIn(0, "aal1", "pwd"), held{SecurityKey: true, Address: true}, enrolment.StepUp, enrolment.StepUp},
		"a code by mail, and there is a TOTP":                {signedIn(0, "aal1", "otp"), held{TOTP: true, Address: true}, enrolment.StepUp, enrolment.StepUp},
		"both factors":                                       {signedIn(0, "aal2", "pwd", "otp", "mfa"), held{TOTP: true}, enrolment.Allowed, enrolment.Allowed},
		"a code by mail and a TOTP":                          {signedIn(0, "aal1", "otp", "mfa"), held{TOTP: true, Address: true}, enrolment.Allowed, enrolment.Allowed},
		"a code by mail and a TOTP, too long ago":            {signedIn(time.Hour, "aal1", "otp", "mfa"), held{TOTP: true, Address: true}, enrolment.SignIn, enrolment.SignIn},
		"both factors, too long ago":                         {signedIn(time.Hour, "aal2", "pwd", "otp", "mfa"), held{TOTP: true, Address: true}, enrolment.SignIn, enrolment.SignIn},
		"a recovery code for a TOTP":                         {signedIn(0, "aal1", "pwd", "recovery"), held{TOTP: true}, enrolment.Allowed, enrolment.Allowed},
		"a recovery code for a TOTP, too long ago":           {signedIn(time.Hour, "aal1", "pwd", "recovery"), held{TOTP: true}, enrolment.SignIn, enrolment.SignIn},
	} {
		t.Run(name, func(t *testing.T) {
			if got := enrolment.Add(tc.session, tc.held, now); got != tc.add {
				t.Errorf("Add = %d, want %d", got, tc.add)
			}
			if got := enrolment.Remove(tc.session, tc.held, now); got != tc.remove {
				t.Errorf("Remove = %d, want %d", got, tc.remove)
			}
		})
	}
}

// What was proved long ago in a session counts for nothing when a password alone renews it.
func TestWhatWasProvedLongAgo(t *testing.T) {
	user := id.New(id.User)
	for name, tc := range map[string]struct {
		before session.Proof
		held   enrolment.Held
		want   enrolment.Step
	}{
		"a passkey":          {session.Proof{User: user, ACR: session.AAL2, AMR: []string{"swk", "user", "mfa"}}, enrolment.Held{Password: true, Passkey: true, Address: true}, enrolment.StepUp},
		"a key":              {session.Proof{User: user, ACR: session.AAL2, AMR: []string{"pwd", "hwk", "mfa"}}, enrolment.Held{Password: true, SecurityKey: true, Address: true}, enrolment.StepUp},
		"a code by mail":     {session.Proof{User: user, ACR: session.AAL1, AMR: []string{"otp"}}, enrolment.Held{Password: true, Address: true}, enrolment.ProveAddress},
		"a recovery by mail": {session.Proof{User: user, ACR: session.AAL1, AMR: []string{"otp", "recovery"}}, enrolment.Held{Password: true, TOTP: true, Address: true}, enrolment.StepUp},
	} {
		var s session.State
		tc.before.At = now.Add(-48 * time.Hour)
		begun, err := session.Start{ID: id.New(id.Session), Proof: tc.before, Lives: session.Lives{Idle: time.Hour, Absolute: time.Hour}}.Decide()
		if err != nil {
			t.Fatal(err)
		}
		s.Apply(begun[0])
		if got := enrolment.Add(s, tc.held, now); got != enrolment.SignIn {
			t.Errorf("%s, and nothing now: %d", name, got)
		}
		renewed, err := session.Strengthen{Proof: session.Proof{User: user, ACR: session.AAL1, AMR: []string{"pwd"}, At: now}}.Decide(s)
		if err != nil {
			t.Fatal(err)
		}
		s.Apply(renewed[0])
		if got := enrolment.Add(s, tc.held, now); got != tc.want {
			t.Errorf("%s, and a password now: %d, want %d", name, got, tc.want)
		}
	}
}

// FuzzAdd: nobody adds to an account by a password alone, nor with a session that is
// old, and who has a passkey adds and removes nothing without a second factor.
func FuzzAdd(f *testing.F) {
	f.Add(uint8(0), int64(0))
	f.Add(uint8(0xff), int64(3600))
	f.Fuzz(func(t *testing.T, bits uint8, age int64) {
		bit := func(n int) bool { return bits>>n&1 == 1 }
		s, h := signedIn(time.Duration(age%7200)*time.Second, "aal1", "pwd"), enrolment.Held{Password: true, TOTP: bit(0), Passkey: bit(1), SecurityKey: bit(2), Address: bit(3)}
		if bit(4) {
			s.AMR = append(s.AMR, "otp")
		}
		if bit(5) {
			s.AMR = append(s.AMR, "recovery")
		}
		if bit(6) {
			s.ACR = session.AAL2
		}
		allowed := enrolment.Add(s, h, now) == enrolment.Allowed
		removed := enrolment.Remove(s, h, now) == enrolment.Allowed
		old := now.Sub(s.AuthenticatedAt) > enrolment.Recent
		switch {
		case (allowed || removed) && old:
			t.Error("an old session changes something")
		case allowed && !bit(4) && !bit(5) && !bit(6):
			t.Error("a password alone adds something")
		case removed && h.Passkey && !h.TOTP && !h.SecurityKey && !bit(6):
			t.Error("a passkey is removed without it")
		}
	})
}
