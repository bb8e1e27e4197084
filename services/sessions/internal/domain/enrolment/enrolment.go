// Package enrolment decides whether somebody may change what he or she signs in with.
package enrolment

import (
	"slices"
	"time"

	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
)

// Recent is how long ago somebody may have signed in who changes a credential.
const Recent = 10 * time.Minute

// Held is what a user has.
type Held struct {
	Password, TOTP bool
	// Passkey is one that verifies its user, SecurityKey one that does not.
	Passkey, SecurityKey bool
	// Address: the user has one, to which a code can be sent.
	Address bool
}

// Second says whether the user has a second factor.
func (h Held) Second() bool { return h.TOTP || h.Passkey || h.SecurityKey }

// AAL2 says whether the user can reach that: by something that is known, beside what is
// held.
func (h Held) AAL2() bool { return h.Passkey || h.Password && h.Second() }

// wanted says whether the second factor is asked for at each sign-in: one that is
// nothing else.
func (h Held) wanted() bool { return h.TOTP || h.SecurityKey }

// Step is what comes next.
type Step uint8

// The steps. The zero Step is Refused.
const (
	// Refused: there is no way to know that it is the owner of the account.
	Refused Step = iota
	// Allowed: the credential is changed.
	Allowed
	// SignIn: say who it is.
	SignIn
	// StepUp: prove the second factor.
	StepUp
	// ProveAddress: show that letters to the user's address arrive.
	ProveAddress
)

// Add says whether a credential may be added or changed.
//
// Who has a second factor has proved it: a first factor alone adds none beside it. Who
// has none has proved the address, by which the account could be recovered, so that a
// password that somebody else found is not enough to get the second factor that the
// account lacks. All of it is of the last minutes, whatever the session is. A recovery
// code stands in for a second factor that every sign-in asks for, and for no other: for
// the rest the session does not tell it from a recovery by mail.
//
// Source: NIST SP 800-63B-4 section 4.1.2 (binding another authenticator).
func Add(s session.State, h Held, at time.Time) Step {
	switch {
	case s.ID == "" || at.Sub(s.AuthenticatedAt) > Recent:
		return SignIn // what was proved long ago adds to nothing
	case s.Several(), h.wanted() && slices.Contains(s.AMR, "recovery"):
		return Allowed
	case h.Second():
		return StepUp
	case slices.Contains(s.AMR, "otp"): // of who has no TOTP: by mail
		return Allowed
	default:
		return whether(h.Address, ProveAddress, Refused)
	}
}

// Remove says whether a credential may be removed: a second factor is not got rid of by
// who did not prove it.
func Remove(s session.State, h Held, at time.Time) Step {
	if !h.Second() && s.ID != "" {
		return whether(at.Sub(s.AuthenticatedAt) <= Recent, Allowed, SignIn)
	}
	return Add(s, h, at)
}

func whether(is bool, then, otherwise Step) Step {
	if is {
		return then
	}
	return otherwise
}
