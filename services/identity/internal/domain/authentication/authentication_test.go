package authentication_test

import (
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
)

const (
	signIn  = identityv1.Purpose_PURPOSE_SIGN_IN
	signUp  = identityv1.Purpose_PURPOSE_SIGN_UP
	restore = identityv1.Purpose_PURPOSE_RECOVERY
	stepUp  = identityv1.Purpose_PURPOSE_STEP_UP
)

var (
	now    = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	user   = id.New(id.User)
	other  = id.New(id.User)
	all    = authentication.Policy{Password: true, Passkey: true, Email: true, Letters: true}
	strict = authentication.Policy{Password: true, Passkey: true, Email: true, Letters: true, SecondFactor: true}
)

// short are the names of factors in the tables.
var short = map[string]identityv1.Factor{
	"password": identityv1.Factor_FACTOR_PASSWORD,
	"passkey":  identityv1.Factor_FACTOR_PASSKEY,
	// A passkey that verified its user, and one that did not.
	"passkey+":     identityv1.Factor_FACTOR_PASSKEY,
	"totp":         identityv1.Factor_FACTOR_TOTP,
	"recovery":     identityv1.Factor_FACTOR_RECOVERY_CODE,
	"code":         identityv1.Factor_FACTOR_EMAIL_CODE,
	"link":         identityv1.Factor_FACTOR_EMAIL_LINK,
	"new_password": identityv1.Factor_FACTOR_NEW_PASSWORD,
}

func list(factors []identityv1.Factor) string {
	names := make([]string, len(factors))
	for i, f := range factors {
		for name, factor := range short {
			if factor == f && !strings.HasSuffix(name, "+") {
				names[i] = name
			}
		}
	}
	return strings.Join(names, " ")
}

// do makes one right step as the user.
func do(s *authentication.State, step, who string, at time.Time) error {
	f := short[step]
	if f != short["password"] && f != short["totp"] && f != short["recovery"] && f != short["new_password"] {
		if err := s.Request(f, authentication.Challenge{Hash: []byte(step)}, at); err != nil {
			return err
		}
	}
	if _, err := s.Attempt(f, at); err != nil {
		return err
	}
	if f == short["new_password"] {
		return s.Renew("hash", at)
	}
	return s.Prove(authentication.Proof{
		Step: authentication.Step{Factor: f, Credential: "crd", UserVerified: strings.HasSuffix(step, "+")},
		User: who, Challenge: []byte(step),
	}, at)
}

func start(t *testing.T, c authentication.Start) *authentication.State {
	t.Helper()
	c.ID, c.At = id.New(id.Authentication), now
	s, err := c.Decide()
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// Each row is an authentication from its start to its end.
func TestSteps(t *testing.T) {
	both := authentication.Enrolled{Password: true, TOTP: true, RecoveryCode: true, Email: true}
	for name, tc := range map[string]struct {
		start authentication.Start
		has   authentication.Enrolled
		// steps are what is done, and before each, what is left.
		left  []string
		steps []string
		// incomplete after all steps.
		incomplete bool
		level      authentication.Level
		amr        string
		unenrolled bool
	}{
		"password": {
			start: authentication.Start{Purpose: signIn, Policy: all}, has: authentication.Enrolled{Password: true, Passkey: true},
			left: []string{"passkey password code link", ""}, steps: []string{"password"}, level: 1, amr: "pwd",
		},
		"a passkey that verified": {
			start: authentication.Start{Purpose: signIn, Policy: strict, Demanded: 2}, has: authentication.Enrolled{Passkey: true, TOTP: true},
			left: []string{"passkey password code link", ""}, steps: []string{"passkey+"}, level: 2, amr: "hwk user mfa",
		},
		"password and TOTP, which the user turned on": {
			start: authentication.Start{Purpose: signIn, Policy: all, Demanded: 1}, has: both,
			left: []string{"passkey password code link", "totp recovery", ""}, steps: []string{"password", "totp"}, level: 2, amr: "pwd otp mfa",
		},
		"password and recovery code": {
			start: authentication.Start{Purpose: signIn, Policy: strict, Demanded: 2}, has: both,
			left: []string{"passkey password code link", "totp recovery", ""}, steps: []string{"password", "recovery"}, level: 1, amr: "pwd recovery",
		},
		"password and security key": {
			start: authentication.Start{Purpose: signIn, Policy: all}, has: authentication.Enrolled{Password: true, SecurityKey: true},
			left: []string{"passkey password code link", "passkey", ""}, steps: []string{"password", "passkey"}, level: 2, amr: "pwd hwk mfa",
		},
		"email code": {
			start: authentication.Start{Purpose: signIn, Policy: all}, has: authentication.Enrolled{Password: true},
			left: []string{"passkey password code link", ""}, steps: []string{"code"}, level: 1, amr: "otp",
		},
		"email and TOTP is no aal2": {
			start: authentication.Start{Purpose: signIn, Policy: strict}, has: both,
			left: []string{"passkey password code link", "totp recovery", ""}, steps: []string{"link", "totp"}, level: 1, amr: "otp mfa",
		},
		"email, then all that aal2 takes": {
			start: authentication.Start{Purpose: signIn, Policy: all, Demanded: 2}, has: both,
			left: []string{"passkey password code link", "totp password recovery", "password", ""}, steps: []string{"code", "totp", "password"}, level: 2, amr: "pwd otp mfa",
		},
		"email, and aal2 is out of reach": {
			start: authentication.Start{Purpose: signIn, Policy: all, Demanded: 2}, has: authentication.Enrolled{Email: true},
			left: []string{"passkey password code link", ""}, steps: []string{"code"}, level: 1, amr: "otp", unenrolled: true,
		},
		"email is no second factor": {
			start: authentication.Start{Purpose: signIn, Policy: strict}, has: authentication.Enrolled{Password: true, Email: true},
			left: []string{"passkey password code link", ""}, steps: []string{"password"}, level: 1, amr: "pwd", unenrolled: true,
		},
		"a passkey is required, and password is not enough": {
			start: authentication.Start{Purpose: signIn, Policy: strict}, has: authentication.Enrolled{Password: true, Passkey: true},
			left: []string{"passkey password code link", "passkey"}, steps: []string{"password"}, incomplete: true,
		},
		"without an address only a passkey": {
			start: authentication.Start{Purpose: signIn, Policy: all, Email: "-"}, has: authentication.Enrolled{Passkey: true},
			left: []string{"passkey", ""}, steps: []string{"passkey+"}, level: 2, amr: "hwk user mfa",
		},
		"policy of passwords": {
			start: authentication.Start{Purpose: signIn, Policy: authentication.Policy{Password: true, Letters: true}}, has: both,
			left: []string{"password", "totp recovery"}, steps: []string{"password"}, incomplete: true,
		},
		"sign-up": {
			start: authentication.Start{Purpose: signUp, Policy: all},
			left:  []string{"code link", "new_password"}, steps: []string{"code"}, level: 1, amr: "otp",
		},
		"sign-up with a password": {
			start: authentication.Start{Purpose: signUp, Policy: all},
			left:  []string{"code link", "new_password", ""}, steps: []string{"link", "new_password"}, level: 1, amr: "otp",
		},
		"sign-up where there are passwords only": {
			start: authentication.Start{Purpose: signUp, Policy: authentication.Policy{Password: true, Letters: true}},
			left:  []string{"code link", "new_password"}, steps: []string{"link"}, incomplete: true,
		},
		"sign-up under a strict policy": {
			start: authentication.Start{Purpose: signUp, Policy: strict},
			left:  []string{"code link", "new_password"}, steps: []string{"code"}, level: 1, amr: "otp", unenrolled: true,
		},
		"recovery": {
			start: authentication.Start{Purpose: restore, Policy: all}, has: authentication.Enrolled{Password: true, Passkey: true},
			left: []string{"code link", "new_password", ""}, steps: []string{"code", "new_password"}, level: 1, amr: "otp recovery",
		},
		"recovery of a user with a second factor": {
			start: authentication.Start{Purpose: restore, Policy: all}, has: both,
			left: []string{"code link", "totp recovery", "new_password", ""}, steps: []string{"code", "totp", "new_password"}, level: 1, amr: "otp recovery",
		},
		"recovery never gives more than aal1": {
			start: authentication.Start{Purpose: restore, Policy: strict}, has: authentication.Enrolled{Passkey: true},
			left: []string{"code link", "passkey", "new_password", ""}, steps: []string{"code", "passkey+", "new_password"}, level: 1, amr: "otp hwk user recovery",
		},
		"recovery without a new password": {
			start: authentication.Start{Purpose: restore, Policy: all}, has: authentication.Enrolled{Password: true},
			left: []string{"code link", "new_password"}, steps: []string{"code"}, incomplete: true,
		},
		"step-up": {
			start: authentication.Start{Purpose: stepUp, Policy: all}, has: authentication.Enrolled{Password: true, Email: true},
			left: []string{"password code link", ""}, steps: []string{"password"}, level: 1, amr: "pwd",
		},
		"step-up that proves the address, and nothing else": {
			start: authentication.Start{Purpose: stepUp, Policy: authentication.Policy{Password: true, Letters: true}, Prior: []string{"pwd"}, Address: true},
			has:   authentication.Enrolled{Password: true, Email: true},
			left:  []string{"code link", ""}, steps: []string{"code"}, level: 1, amr: "pwd otp",
		},
		"step-up of a user with a second factor": {
			start: authentication.Start{Purpose: stepUp, Policy: all}, has: both,
			left: []string{"totp password", "password", ""}, steps: []string{"totp", "password"}, level: 2, amr: "pwd otp mfa",
		},
		"step-up of a session with a password": {
			start: authentication.Start{Purpose: stepUp, Policy: all, Demanded: 2, Prior: []string{"pwd"}}, has: both,
			left: []string{"totp", ""}, steps: []string{"totp"}, level: 2, amr: "pwd otp mfa",
		},
		"step-up of a session by email": {
			start: authentication.Start{Purpose: stepUp, Policy: all, Demanded: 2, Prior: []string{"otp"}}, has: both,
			left: []string{"totp password", "totp"}, steps: []string{"password"}, incomplete: true,
		},
		"step-up of a session that has it asks again": {
			start: authentication.Start{Purpose: stepUp, Policy: all, Demanded: 2, Prior: []string{"pwd", "otp", "hwk", "mfa"}}, has: both,
			left: []string{"password totp", ""}, steps: []string{"totp"}, level: 2, amr: "pwd otp hwk mfa",
		},
		"step-up of a session by email, of who has no password": {
			start: authentication.Start{Purpose: stepUp, Policy: all, Prior: []string{"otp"}}, has: authentication.Enrolled{TOTP: true, Email: true},
			left: []string{"totp", ""}, steps: []string{"totp"}, level: 1, amr: "otp mfa",
		},
		"step-up of a session by email, with a security key": {
			start: authentication.Start{Purpose: stepUp, Policy: all, Prior: []string{"otp"}}, has: authentication.Enrolled{SecurityKey: true, Email: true},
			left: []string{"passkey", ""}, steps: []string{"passkey"}, level: 1, amr: "otp hwk mfa",
		},
		"step-up of who has no password, again": {
			start: authentication.Start{Purpose: stepUp, Policy: all, Prior: []string{"otp", "mfa"}}, has: authentication.Enrolled{TOTP: true, Email: true},
			left: []string{"totp", ""}, steps: []string{"totp"}, level: 1, amr: "otp mfa",
		},
		"step-up where a second factor is required and there is none": {
			start: authentication.Start{Purpose: stepUp, Policy: strict}, has: authentication.Enrolled{Password: true},
			left: []string{"password", ""}, steps: []string{"password"}, level: 1, amr: "pwd", unenrolled: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := tc.start
			switch {
			case c.Purpose == stepUp:
				c.User = user
			case c.Email == "-":
				c.Email = ""
			default:
				c.Email, c.User = "ada@example.com", user
			}
			who := user
			if c.Purpose == signUp {
				c.User, who = "", ""
			}
			c.Has = tc.has
			s := start(t, c)
			for i := 0; ; i++ {
				if got := list(s.Left()); got != tc.left[i] {
					t.Fatalf("after %v: left %q, want %q", tc.steps[:i], got, tc.left[i])
				}
				if i == len(tc.steps) {
					break
				}
				if s.Complete() && c.Purpose != signUp {
					t.Fatalf("complete after %v", tc.steps[:i])
				}
				if err := do(s, tc.steps[i], who, now.Add(time.Duration(i)*time.Second)); err != nil {
					t.Fatalf("%s: %v", tc.steps[i], err)
				}
			}
			err := s.Finish(now.Add(time.Minute))
			if tc.incomplete {
				if !fault.Is(err, commonv1.Reason_FACTOR_UNAVAILABLE) {
					t.Errorf("Finish: %v, want FACTOR_UNAVAILABLE", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Finish(now.Add(time.Minute)); !fault.Is(err, commonv1.Reason_AUTHENTICATION_ENDED) {
				t.Errorf("finished twice: %v", err)
			}
			r := s.Result()
			if r.Level != tc.level || strings.Join(r.AMR, " ") != tc.amr || r.Unenrolled != tc.unenrolled || r.User != who {
				t.Errorf("Result = %+v; want %v, %s, unenrolled %v", r, tc.level, tc.amr, tc.unenrolled)
			}
		})
	}
}

func TestStartRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		start authentication.Start
		want  commonv1.Reason
	}{
		"sign-in without an address or passkeys": {authentication.Start{Purpose: signIn, Policy: authentication.Policy{Password: true}}, commonv1.Reason_INVALID_FIELD},
		"sign-up without an address":             {authentication.Start{Purpose: signUp, Policy: all}, commonv1.Reason_INVALID_FIELD},
		"recovery without an address":            {authentication.Start{Purpose: restore, Policy: all}, commonv1.Reason_INVALID_FIELD},
		"sign-up without letters":                {authentication.Start{Purpose: signUp, Email: "a@b.c", Policy: authentication.Policy{Password: true}}, commonv1.Reason_FACTOR_UNAVAILABLE},
		"recovery where there are no passwords":  {authentication.Start{Purpose: restore, Email: "a@b.c", Policy: authentication.Policy{Email: true, Letters: true}}, commonv1.Reason_FACTOR_UNAVAILABLE},
		"sign-in by email without letters":       {authentication.Start{Purpose: signIn, Email: "a@b.c", Policy: authentication.Policy{Email: true}}, commonv1.Reason_FACTOR_UNAVAILABLE},
		"step-up of nobody":                      {authentication.Start{Purpose: stepUp, Policy: all}, commonv1.Reason_INVALID_FIELD},
		"step-up with an address":                {authentication.Start{Purpose: stepUp, Policy: all, User: user, Email: "a@b.c"}, commonv1.Reason_INVALID_FIELD},
		"step-up to aal2 that cannot be reached": {authentication.Start{Purpose: stepUp, Policy: all, User: user, Demanded: 2, Has: authentication.Enrolled{Password: true, Email: true}}, commonv1.Reason_FACTOR_UNAVAILABLE},
		"step-up of a user who has nothing":      {authentication.Start{Purpose: stepUp, Policy: all, User: user}, commonv1.Reason_FACTOR_UNAVAILABLE},
		"no purpose":                             {authentication.Start{Policy: all, Email: "a@b.c"}, commonv1.Reason_FACTOR_UNAVAILABLE},
	} {
		t.Run(name, func(t *testing.T) {
			c := tc.start
			c.ID, c.At = id.New(id.Authentication), now
			if s, err := c.Decide(); !fault.Is(err, tc.want) || s.ID != "" {
				t.Errorf("Decide = %+v, %v; want %v", s, err, tc.want)
			}
		})
	}
}

// What is left before the first proof is the same for everybody.
func TestNothingTellsWhatAnAddressHas(t *testing.T) {
	for _, purpose := range []identityv1.Purpose{signIn, signUp, restore} {
		for _, policy := range []authentication.Policy{all, strict, {Password: true, Letters: true}} {
			want := ""
			for bits := range 64 {
				c := authentication.Start{
					ID: id.New(id.Authentication), Purpose: purpose, Email: "ada@example.com", Policy: policy, At: now,
					Has: authentication.Enrolled{
						Password: bits&1 > 0, Passkey: bits&2 > 0, SecurityKey: bits&4 > 0, TOTP: bits&8 > 0, RecoveryCode: bits&16 > 0, Email: bits&32 > 0,
					},
				}
				if bits%2 == 1 {
					c.User = user
				}
				s, err := c.Decide()
				if err != nil {
					t.Fatal(err)
				}
				got := list(s.Left())
				if want == "" {
					want = got
				}
				if got != want || s.Complete() {
					t.Errorf("%v with %+v: left %q, want %q", purpose, c.Has, got, want)
				}
			}
		}
	}
}
