package authentication_test

import (
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
)

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

// The letter of a sign-up with somebody's address has no code. Whoever guesses the one
// that was noted instead must not go on to that user's new password.
func TestSignUpWithSomebodysAddressProvesNothing(t *testing.T) {
	s := start(t, authentication.Start{Purpose: signUp, Policy: all, Email: "ada@example.com", User: user, Has: authentication.Enrolled{TOTP: true, Email: true}})
	if err := do(s, "code", user, now); !fault.Is(err, commonv1.Reason_AUTHENTICATION_REJECTED) {
		t.Errorf("a code that nobody was sent: %v", err)
	}
	if err := do(s, "new_password", user, now); !fault.Is(err, commonv1.Reason_FACTOR_UNAVAILABLE) || s.Complete() {
		t.Errorf("a new password for somebody: %v, complete %v", err, s.Complete())
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
