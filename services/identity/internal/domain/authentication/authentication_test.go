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
			left: []string{"passkey password code link", "totp recovery", ""}, steps: []string{"link", "totp"}, level: 1, amr: "otp",
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

func TestAttempts(t *testing.T) {
	password := authentication.Start{Purpose: signIn, Policy: all, Email: "ada@example.com", User: user, Has: authentication.Enrolled{Password: true, Passkey: true, Email: true}}
	code := short["code"]
	for name, run := range map[string]func(t *testing.T, s *authentication.State) (want commonv1.Reason, got error){
		"ten wrong proofs end it": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			for range authentication.MaxFailures {
				if _, err := s.Attempt(short["password"], now); err != nil {
					t.Fatal(err)
				}
			}
			_, err := s.Attempt(short["password"], now)
			return commonv1.Reason_AUTHENTICATION_ENDED, err
		},
		"the tenth may be right": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			for range authentication.MaxFailures - 1 {
				if _, err := s.Attempt(short["password"], now); err != nil {
					t.Fatal(err)
				}
			}
			return 0, do(s, "password", user, now)
		},
		"another user's proof": func(_ *testing.T, s *authentication.State) (commonv1.Reason, error) {
			return commonv1.Reason_AUTHENTICATION_REJECTED, do(s, "password", other, now)
		},
		"nobody's proof": func(_ *testing.T, s *authentication.State) (commonv1.Reason, error) {
			return commonv1.Reason_AUTHENTICATION_REJECTED, do(s, "code", "", now)
		},
		"a passkey that did not verify comes first": func(_ *testing.T, s *authentication.State) (commonv1.Reason, error) {
			return commonv1.Reason_AUTHENTICATION_REJECTED, do(s, "passkey", user, now)
		},
		"a passkey of somebody whose address it is not": func(_ *testing.T, s *authentication.State) (commonv1.Reason, error) {
			s.User = "" // the address is nobody's
			return commonv1.Reason_AUTHENTICATION_REJECTED, do(s, "passkey+", user, now)
		},
		"a factor that does not come next": func(_ *testing.T, s *authentication.State) (commonv1.Reason, error) {
			return commonv1.Reason_FACTOR_UNAVAILABLE, do(s, "totp", user, now)
		},
		"a new password proves nothing": func(_ *testing.T, s *authentication.State) (commonv1.Reason, error) {
			return commonv1.Reason_FACTOR_UNAVAILABLE, do(s, "new_password", user, now)
		},
		"a proof twice": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			if err := do(s, "password", user, now); err != nil {
				t.Fatal(err)
			}
			return commonv1.Reason_FACTOR_UNAVAILABLE, do(s, "password", user, now)
		},
		"two right attempts at once count once": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			if _, err := s.Attempt(short["password"], now); err != nil {
				t.Fatal(err)
			}
			if err := do(s, "password", user, now); err != nil {
				t.Fatal(err)
			}
			return commonv1.Reason_FACTOR_UNAVAILABLE, s.Prove(authentication.Proof{Step: authentication.Step{Factor: short["password"]}, User: user}, now)
		},
		"a code that was not requested": func(_ *testing.T, s *authentication.State) (commonv1.Reason, error) {
			_, err := s.Attempt(code, now)
			return commonv1.Reason_FACTOR_UNAVAILABLE, err
		},
		"a code that has expired": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			if err := s.Request(code, authentication.Challenge{}, now); err != nil {
				t.Fatal(err)
			}
			_, err := s.Attempt(code, now.Add(authentication.ChallengeLife))
			return commonv1.Reason_FACTOR_UNAVAILABLE, err
		},
		"a code after five attempts": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			if err := s.Request(code, authentication.Challenge{}, now); err != nil {
				t.Fatal(err)
			}
			for range authentication.CodeAttempts {
				if _, err := s.Attempt(code, now); err != nil {
					t.Fatal(err)
				}
			}
			_, err := s.Attempt(code, now)
			return commonv1.Reason_FACTOR_UNAVAILABLE, err
		},
		"a passkey challenge after one": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			if err := s.Request(short["passkey"], authentication.Challenge{}, now); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Attempt(short["passkey"], now); err != nil {
				t.Fatal(err)
			}
			_, err := s.Attempt(short["passkey"], now)
			return commonv1.Reason_FACTOR_UNAVAILABLE, err
		},
		"a code that was requested again while it was judged": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			if err := s.Request(code, authentication.Challenge{Hash: []byte("first")}, now); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Attempt(code, now); err != nil {
				t.Fatal(err)
			}
			if err := s.Request(code, authentication.Challenge{Hash: []byte("second")}, now); err != nil {
				t.Fatal(err)
			}
			err := s.Prove(authentication.Proof{Step: authentication.Step{Factor: code}, User: user, Challenge: []byte("first")}, now)
			return commonv1.Reason_FACTOR_UNAVAILABLE, err
		},
		"a code beside the link that was followed": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			if err := s.Request(code, authentication.Challenge{Hash: []byte("code")}, now); err != nil {
				t.Fatal(err)
			}
			if err := do(s, "link", user, now); err != nil {
				t.Fatal(err)
			}
			if len(s.Challenges) > 0 {
				t.Errorf("challenges left: %v", s.Challenges)
			}
			_, err := s.Attempt(code, now)
			return commonv1.Reason_FACTOR_UNAVAILABLE, err
		},
		"too many challenges": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			for range authentication.MaxChallenges {
				if err := s.Request(code, authentication.Challenge{}, now); err != nil {
					t.Fatal(err)
				}
			}
			return commonv1.Reason_AUTHENTICATION_ENDED, s.Request(code, authentication.Challenge{}, now)
		},
		"a password cannot be requested": func(_ *testing.T, s *authentication.State) (commonv1.Reason, error) {
			return commonv1.Reason_FACTOR_UNAVAILABLE, s.Request(short["password"], authentication.Challenge{}, now)
		},
		"after its time": func(_ *testing.T, s *authentication.State) (commonv1.Reason, error) {
			return commonv1.Reason_AUTHENTICATION_ENDED, do(s, "password", user, now.Add(authentication.Life))
		},
		"finish after its time": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			if err := do(s, "password", user, now); err != nil {
				t.Fatal(err)
			}
			return commonv1.Reason_AUTHENTICATION_ENDED, s.Finish(now.Add(authentication.Life))
		},
		"after it was ended": func(_ *testing.T, s *authentication.State) (commonv1.Reason, error) {
			s.End()
			return commonv1.Reason_AUTHENTICATION_ENDED, do(s, "password", user, now)
		},
		"what nobody could judge is not counted": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			for range 3 * authentication.MaxFailures {
				if _, err := s.Attempt(short["password"], now); err != nil {
					t.Fatal(err)
				}
				s.Unjudged(short["password"], nil)
			}
			return 0, do(s, "password", user, now)
		},
		"the clock goes back": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			if err := s.Request(code, authentication.Challenge{Hash: []byte("code")}, now.Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if err := s.Look(now.Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Attempt(code, now.Add(-time.Hour+authentication.ChallengeLife)); !fault.Is(err, commonv1.Reason_FACTOR_UNAVAILABLE) {
				t.Errorf("the code outlived the clock: %v", err)
			}
			return commonv1.Reason_AUTHENTICATION_ENDED, s.Look(now.Add(-time.Hour + authentication.Life - time.Minute))
		},
		"adopted without having been a sign-up": func(t *testing.T, s *authentication.State) (commonv1.Reason, error) {
			return commonv1.Reason_AUTHENTICATION_ENDED, s.Adopt(other, authentication.Enrolled{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			want, got := run(t, start(t, password))
			if want == 0 && got != nil || want != 0 && !fault.Is(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

func TestAdopt(t *testing.T) {
	for name, tc := range map[string]struct {
		policy authentication.Policy
		has    authentication.Enrolled
		want   commonv1.Reason
		left   string
	}{
		"as a sign-in":             {all, authentication.Enrolled{Password: true}, 0, ""},
		"which needs more":         {all, authentication.Enrolled{Password: true, TOTP: true}, 0, "totp"},
		"where email is no way in": {authentication.Policy{Password: true, Passkey: true, Letters: true}, authentication.Enrolled{}, commonv1.Reason_AUTHENTICATION_ENDED, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, authentication.Start{Purpose: signUp, Policy: tc.policy, Email: "ada@example.com"})
			for _, step := range []string{"code", "new_password"} {
				if err := do(s, step, "", now); err != nil {
					t.Fatal(err)
				}
			}
			err := s.Adopt(user, tc.has)
			if tc.want != 0 {
				if !fault.Is(err, tc.want) {
					t.Errorf("Adopt: %v, want %v", err, tc.want)
				}
				return
			}
			if err != nil || s.User != user || s.Hash != "" || s.NewPassword || list(s.Left()) != tc.left {
				t.Errorf("Adopt: %v, left %q, %+v", err, list(s.Left()), s)
			}
		})
	}
}

func TestRepeats(t *testing.T) {
	s := &authentication.State{}
	s.Note([]byte("key"), []byte("request"), "")
	if v, again, err := s.Repeats([]byte("key"), []byte("request")); v != "" || !again || err != nil {
		t.Errorf("under way: %v %v %v", v, again, err)
	}
	s.Note([]byte("key"), []byte("request"), authentication.Refused)
	if v, again, err := s.Repeats([]byte("key"), []byte("request")); v != authentication.Refused || !again || err != nil {
		t.Errorf("repeated: %v %v %v", v, again, err)
	}
	if _, _, err := s.Repeats([]byte("key"), []byte("other")); !fault.Is(err, commonv1.Reason_IDEMPOTENCY_KEY_REUSED) {
		t.Errorf("another request: %v", err)
	}
	if _, again, err := s.Repeats([]byte("other"), []byte("request")); again || err != nil {
		t.Errorf("another key: %v %v", again, err)
	}
	for i := range 100 {
		s.Note([]byte{byte(i)}, nil, authentication.Taken)
	}
	if len(s.Calls) > 50 {
		t.Errorf("%d calls are remembered", len(s.Calls))
	}
}

func TestRequestNamesFactors(t *testing.T) {
	s := start(t, authentication.Start{Purpose: signIn, Policy: all, Email: "ada@example.com", User: user})
	_, err := s.Attempt(short["totp"], now)
	f, _ := fault.As(err)
	const want = "FACTOR_PASSKEY,FACTOR_PASSWORD,FACTOR_EMAIL_CODE,FACTOR_EMAIL_LINK"
	if f == nil || f.Meta["factors"] != want {
		t.Errorf("%v names %v, want %s", err, f.Meta, want)
	}
}
