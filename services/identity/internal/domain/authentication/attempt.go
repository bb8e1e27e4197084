package authentication

import (
	"bytes"
	"slices"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// Request notes what was sent, or given to the browser, for a factor. What was
// noted for it before ends; so a letter that was thrown away opens nothing.
//
// Errors: AUTHENTICATION_ENDED, also when MaxChallenges were requested;
// FACTOR_UNAVAILABLE.
func (s *State) Request(f identityv1.Factor, c Challenge, at time.Time) error {
	if err := s.Look(at); err != nil {
		return err
	}
	switch {
	case !needsChallenge(f) || !slices.Contains(s.Left(), f):
		return s.unavailable("this factor cannot be requested now")
	case s.Requested >= MaxChallenges:
		return Ended()
	}
	if s.Challenges == nil {
		s.Challenges = map[identityv1.Factor]Challenge{}
	}
	c.ExpiresAt, c.Attempts = at.Add(ChallengeLife), CodeAttempts
	if f == passkey {
		c.Attempts = 1
	}
	s.Challenges[f] = c
	s.Requested++
	return nil
}

func needsChallenge(f identityv1.Factor) bool { return f == passkey || f == code || f == link }

// Attempt reserves a try of a factor: it counts as wrong until Prove says that it
// was right. So what is tried at once, or while a process dies, is counted before
// it is judged. It returns the challenge that is tried, if the factor has one.
//
// Errors: AUTHENTICATION_ENDED, FACTOR_UNAVAILABLE (also without a challenge that
// can be tried). Neither reserves anything.
func (s *State) Attempt(f identityv1.Factor, at time.Time) (Challenge, error) {
	if err := s.Look(at); err != nil {
		return Challenge{}, err
	}
	if !slices.Contains(s.Left(), f) {
		return Challenge{}, s.unavailable("this factor cannot be used now")
	}
	if f == renew {
		if s.Offered >= MaxPasswords {
			return Challenge{}, Ended()
		}
		s.Offered++
		return Challenge{}, nil
	}
	c, requested := s.Challenges[f]
	if needsChallenge(f) {
		if !requested || c.Attempts <= 0 || !at.Before(c.ExpiresAt) {
			return Challenge{}, s.unavailable("request this factor first, or again")
		}
		c.Attempts--
		s.Challenges[f] = c
	}
	s.Failures++
	return c, nil
}

// Unjudged gives back what Attempt reserved for a try that nobody could judge:
// what was needed for it could not be reached.
func (s *State) Unjudged(f identityv1.Factor, tried []byte) {
	if f == renew {
		s.Offered = max(s.Offered-1, 0)
		return
	}
	s.Failures = max(s.Failures-1, 0)
	if c, ok := s.Challenges[f]; ok && bytes.Equal(c.Hash, tried) {
		c.Attempts++
		s.Challenges[f] = c
	}
}

// Proof is an attempt that was right.
type Proof struct {
	Step

	// User is whose credential it was made with, or whose address it is; empty
	// only for the address of nobody, in a sign-up.
	User string
	// Challenge is the hash of the challenge that was tried.
	Challenge []byte
}

// Prove takes an attempt that was right, and gives its reservation back.
//
// Errors: AUTHENTICATION_ENDED; FACTOR_UNAVAILABLE, also when another attempt was
// faster, or the challenge is not the one that was tried; AUTHENTICATION_REJECTED
// for another user's proof, and for a first passkey that did not verify its user.
// None takes anything: the attempt stays counted as wrong.
func (s *State) Prove(p Proof, at time.Time) error {
	s.settle(at)
	if err := s.alive(MaxFailures); err != nil {
		return err
	}
	switch {
	case p.Factor == renew || !slices.Contains(s.Left(), p.Factor):
		return s.unavailable("this factor cannot be used now")
	case needsChallenge(p.Factor) && !bytes.Equal(s.Challenges[p.Factor].Hash, p.Challenge):
		return s.unavailable("this factor was requested again")
	case !s.belongs(p), p.Factor == passkey && !p.UserVerified && s.passwordless():
		return Rejected()
	}
	s.Failures--
	delete(s.Challenges, p.Factor)
	if p.Factor == code || p.Factor == link { // one letter is enough
		delete(s.Challenges, code)
		delete(s.Challenges, link)
	}
	s.User = p.User
	p.Step.At = at
	s.Done = append(s.Done, p.Step)
	return nil
}

// passwordless says whether a passkey now would be all that a sign-in has.
func (s *State) passwordless() bool {
	return len(s.Done) == 0 && s.Purpose == identityv1.Purpose_PURPOSE_SIGN_IN
}

// belongs says whether a proof is of the user whom the authentication is about.
func (s *State) belongs(p Proof) bool {
	switch {
	case s.Purpose == identityv1.Purpose_PURPOSE_SIGN_UP:
		// With somebody's address there was no code to be sent: it could be guessed only.
		return s.User == "" && p.User == "" && s.Email != ""
	case s.User != "":
		return p.User == s.User
	case len(s.Done) > 0:
		return false
	default: // whoever the passkey says, unless an address was given
		return p.User != "" && p.Factor == passkey && s.Email == ""
	}
}

// Renew takes a new password, which was good enough. Of a user who is yet to be
// made it is kept until Finish: hash is what to store.
//
// Errors: AUTHENTICATION_ENDED, FACTOR_UNAVAILABLE.
func (s *State) Renew(hash string, at time.Time) error {
	s.settle(at)
	if err := s.alive(MaxFailures - 1); err != nil {
		return err
	}
	if !slices.Contains(s.Left(), renew) {
		return s.unavailable("this factor cannot be used now")
	}
	s.NewPassword = true
	if s.Purpose == identityv1.Purpose_PURPOSE_SIGN_UP {
		s.Hash = hash
	}
	return nil
}

// Adopt goes on with a sign-up as the sign-in of the user whom the address got
// meanwhile. A new password is not taken along: it would be set for somebody who
// did not ask for it.
//
// Errors: AUTHENTICATION_ENDED where the address alone is no way in.
func (s *State) Adopt(user string, has Enrolled) error {
	if s.Purpose != identityv1.Purpose_PURPOSE_SIGN_UP || !s.proved().mail || !s.Policy.Email {
		return Ended()
	}
	s.Purpose, s.User, s.Has = identityv1.Purpose_PURPOSE_SIGN_IN, user, has
	s.NewPassword, s.Hash = false, ""
	return nil
}

// Finish ends an authentication that is complete.
//
// Errors: AUTHENTICATION_ENDED, FACTOR_UNAVAILABLE.
func (s *State) Finish(at time.Time) error {
	if err := s.Look(at); err != nil {
		return err
	}
	if !s.Complete() {
		return s.unavailable("the authentication is not complete")
	}
	s.Over = true
	return nil
}

// maxCalls is how many calls are known by their keys: more than an authentication
// has without calls that are refused.
const maxCalls = 48

// Call is a call that took effect, or is about to.
type Call struct {
	// Key and Request are keyed hashes of the idempotency key and of the request.
	Key     []byte `json:"key"`
	Request []byte `json:"request"`
	// Verdict is what came of it.
	Verdict Verdict `json:"verdict,omitempty"`
}

// Verdict is the outcome of a call. The zero Verdict is not known yet.
type Verdict string

// The verdicts.
const (
	Taken   Verdict = "taken"
	Refused Verdict = "refused"
)

// Repeats finds a call by its key. A call that is repeated reserves nothing and
// has the verdict of the first.
//
// Errors: IDEMPOTENCY_KEY_REUSED for the key of another request.
func (s *State) Repeats(key, request []byte) (verdict Verdict, repeated bool, err error) {
	for _, c := range s.Calls {
		switch {
		case !bytes.Equal(c.Key, key):
		case !bytes.Equal(c.Request, request):
			return "", false, fault.New(fault.Invalid, commonv1.Reason_IDEMPOTENCY_KEY_REUSED,
				"the idempotency key was used before with a different request").With("field", "idempotency_key")
		default:
			return c.Verdict, true, nil
		}
	}
	return "", false, nil
}

// Note notes a call and what came of it.
func (s *State) Note(key, request []byte, verdict Verdict) {
	for i, c := range s.Calls {
		if bytes.Equal(c.Key, key) {
			s.Calls[i].Verdict = verdict
			return
		}
	}
	s.Calls = append(s.Calls, Call{Key: key, Request: request, Verdict: verdict})
	if len(s.Calls) > maxCalls {
		s.Calls = s.Calls[len(s.Calls)-maxCalls:]
	}
}

// Forget takes a call back that Note noted: it may be repeated as if it were new.
func (s *State) Forget(key []byte) {
	s.Calls = slices.DeleteFunc(s.Calls, func(c Call) bool { return bytes.Equal(c.Key, key) })
}
