// Package authentication decides who somebody is, step by step.
//
// What a level means (NIST SP 800-63B-4). aal2 is a password together with a
// TOTP or security key, or one passkey that verified the user. A code or link by
// email proves an address and nothing more: it never makes aal2, in whatever
// company. A recovery code stands in for a second factor that was lost: it lets
// its user in, at aal1.
//
// What completes an authentication. Requiring a second factor, which policies
// and users do, is met by a second proof of another kind, email and TOTP too;
// requiring aal2, which callers do, by aal2. Where the user has nothing to meet
// it with, the authentication completes all the same, and Result says so: the
// caller lets the user do nothing but enroll. Only a step-up, which is of nobody
// new, cannot be completed without.
package authentication

import (
	"maps"
	"slices"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

const (
	// Life is how long an authentication can be worked on.
	Life = 30 * time.Minute
	// ChallengeLife is how long a code, link or passkey challenge can be answered.
	ChallengeLife = 10 * time.Minute
	// MaxFailures is how many proofs may be wrong, all together.
	MaxFailures = 10
	// CodeAttempts is how many of them may be for one code or link.
	CodeAttempts = 5
	// MaxChallenges is how often something may be requested.
	MaxChallenges = 20
	// MaxPasswords is how many new passwords may be offered.
	MaxPasswords = 20
)

// Level is an authenticator assurance level; 0 is not said.
type Level int

// The levels.
const (
	AAL1 Level = 1
	AAL2 Level = 2
)

// Policy is what the organization, or the platform, decides about sign-ins, as
// it was at the start.
type Policy struct {
	// Password, Passkey and Email are the ways in.
	Password bool `json:"password,omitempty"`
	Passkey  bool `json:"passkey,omitempty"`
	Email    bool `json:"email,omitempty"`
	// Letters can be sent: addresses can be proved, in sign-up and recovery also
	// where Email is no way in.
	Letters bool `json:"letters,omitempty"`
	// SecondFactor is required.
	SecondFactor bool `json:"second_factor,omitempty"`
}

// Enrolled is what the user has. It is read anew for each decision.
type Enrolled struct {
	Password bool
	// Passkey is one that verifies the user, SecurityKey one that does not: it is
	// a second factor and nothing else.
	Passkey     bool
	SecurityKey bool
	TOTP        bool
	// RecoveryCode: there is one left.
	RecoveryCode bool
	Email        bool
}

// Step is a proof that was accepted.
type Step struct {
	Factor identityv1.Factor `json:"factor"`
	// Credential is what it was made with, and Version which password; empty for email.
	Credential string    `json:"credential,omitempty"`
	Version    int64     `json:"version,omitempty"`
	At         time.Time `json:"at"`
	// UserVerified and Synchronized are of a passkey.
	UserVerified bool `json:"user_verified,omitempty"`
	Synchronized bool `json:"synchronized,omitempty"`
}

// Challenge is what a factor waits for.
type Challenge struct {
	// Hash is of the code or link; a passkey's names its ceremony.
	Hash      []byte    `json:"hash"`
	ExpiresAt time.Time `json:"expires_at"`
	Attempts  int       `json:"attempts"`
	// Ceremony is the relying party's state.
	Ceremony []byte `json:"ceremony,omitempty"`
}

// State is an authentication. The zero State is one that does not exist.
type State struct {
	ID      string             `json:"id"`
	Purpose identityv1.Purpose `json:"purpose"`
	// User is who it is about: the address's at the start, or a passkey's. Empty:
	// nobody that is known.
	User string `json:"user,omitempty"`
	// Email is the address as it was typed, or empty.
	Email        string `json:"email,omitempty"`
	Realm        string `json:"realm,omitempty"`
	Organization string `json:"organization,omitempty"`
	Locale       string `json:"locale,omitempty"`
	Policy       Policy `json:"policy"`
	// Demanded is what the caller needs at least.
	Demanded Level `json:"demanded,omitempty"`
	// Address: a step-up is to prove the user's address, and nothing else.
	Address bool `json:"address,omitempty"`
	// Prior is what the session that steps up has proved, as amr.
	Prior      []string                        `json:"prior,omitempty"`
	Done       []Step                          `json:"done,omitempty"`
	Challenges map[identityv1.Factor]Challenge `json:"challenges,omitempty"`
	ExpiresAt  time.Time                       `json:"expires_at"`
	// Seen is when it was decided about last: time does not go back before it.
	Seen time.Time `json:"seen"`
	// Failures are attempts that were not right, those under way among them.
	Failures int `json:"failures,omitempty"`
	// Device and Network are where the last attempt came from: the id of a device that
	// the user signed in with before, or nothing.
	Device  string `json:"device,omitempty"`
	Network string `json:"network,omitempty"`
	// Requested and Offered are challenges and new passwords so far.
	Requested int `json:"requested,omitempty"`
	Offered   int `json:"offered,omitempty"`
	// NewPassword was taken; Hash is that of a user who is yet to be made.
	NewPassword bool   `json:"new_password,omitempty"`
	Hash        string `json:"hash,omitempty"`
	// Over: it is finished, or nobody may go on with it.
	Over bool `json:"over,omitempty"`
	// Calls are the calls that are known by their keys.
	Calls []Call `json:"calls,omitempty"`
	// Has is what the user has. It is not kept.
	Has Enrolled `json:"-"`
}

// Start opens an authentication.
type Start struct {
	ID                                       string
	Purpose                                  identityv1.Purpose
	User, Email, Realm, Organization, Locale string
	Policy                                   Policy
	Demanded                                 Level
	Address                                  bool
	Prior                                    []string
	Has                                      Enrolled
	At                                       time.Time
}

// Decide returns the authentication.
//
// Errors: INVALID_FIELD (email, user: absent where the purpose needs it, present
// where it does not), FACTOR_UNAVAILABLE when there is no way to begin, or, for a
// step-up, none to what is demanded. But for a step-up, neither depends on whether
// there is a user.
func (c Start) Decide() (State, error) {
	stepUp := c.Purpose == identityv1.Purpose_PURPOSE_STEP_UP
	switch {
	case stepUp && (c.User == "" || c.Email != ""):
		return State{}, fault.Field("user", "step_up", "a step-up is about a user, and nothing else is")
	case c.Purpose == identityv1.Purpose_PURPOSE_SIGN_UP && c.Email == "",
		c.Purpose == identityv1.Purpose_PURPOSE_RECOVERY && c.Email == "",
		c.Purpose == identityv1.Purpose_PURPOSE_SIGN_IN && c.Email == "" && !c.Policy.Passkey:
		return State{}, fault.Field("email", "required", "is needed here")
	}
	s := State{
		ID: c.ID, Purpose: c.Purpose, User: c.User, Email: c.Email, Realm: c.Realm, Organization: c.Organization,
		Locale: c.Locale, Policy: c.Policy, Demanded: c.Demanded, Address: c.Address, Prior: slices.Clone(c.Prior),
		ExpiresAt: c.At.Add(Life), Seen: c.At, Has: c.Has,
	}
	if len(s.Left()) == 0 || c.Purpose == identityv1.Purpose_PURPOSE_RECOVERY && !c.Policy.Password {
		return State{}, s.unavailable("there is no way to do this here")
	}
	return s, nil
}

// Copy returns a state that shares nothing that changes with s.
func (s *State) Copy() State {
	out := *s
	out.Done, out.Calls, out.Challenges = slices.Clone(s.Done), slices.Clone(s.Calls), maps.Clone(s.Challenges)
	return out
}

// settle moves the state to a time, which the functions below call first. Where
// the clock was put back, everything ends as much earlier: nothing lives longer
// for it.
func (s *State) settle(at time.Time) {
	back := s.Seen.Sub(at)
	s.Seen = at
	if back <= 0 {
		return
	}
	s.ExpiresAt = s.ExpiresAt.Add(-back)
	for f, c := range s.Challenges {
		c.ExpiresAt = c.ExpiresAt.Add(-back)
		s.Challenges[f] = c
	}
}

// alive says whether the authentication goes on. failures is how many may have
// been.
func (s *State) alive(failures int) error {
	if s.ID == "" || s.Over || s.Failures > failures || !s.Seen.Before(s.ExpiresAt) {
		return Ended()
	}
	return nil
}

// Look says whether the authentication can still be worked on.
//
// Errors: AUTHENTICATION_ENDED.
func (s *State) Look(at time.Time) error {
	s.settle(at)
	return s.alive(MaxFailures - 1)
}

// End ends the authentication, whatever it has reached.
func (s *State) End() { s.Over = true }

// Ended is the error for an authentication that is not there to be used.
func Ended() *fault.Fault {
	return fault.New(fault.Precondition, commonv1.Reason_AUTHENTICATION_ENDED, "the authentication is unknown, finished or over; start another")
}

// Rejected is the error for a proof that is wrong.
func Rejected() *fault.Fault {
	return fault.New(fault.Unauthenticated, commonv1.Reason_AUTHENTICATION_REJECTED, "the proof is wrong, or there is no such user")
}

// unavailable is the error for a factor that cannot be used now; its metadata
// names those that can.
func (s *State) unavailable(detail string) *fault.Fault {
	return fault.New(fault.Precondition, commonv1.Reason_FACTOR_UNAVAILABLE, detail).With("factors", names(s.Left()))
}
