package authentication

import (
	"slices"
	"strings"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

const (
	pwd      = identityv1.Factor_FACTOR_PASSWORD
	passkey  = identityv1.Factor_FACTOR_PASSKEY
	totp     = identityv1.Factor_FACTOR_TOTP
	recovery = identityv1.Factor_FACTOR_RECOVERY_CODE
	code     = identityv1.Factor_FACTOR_EMAIL_CODE
	link     = identityv1.Factor_FACTOR_EMAIL_LINK
	renew    = identityv1.Factor_FACTOR_NEW_PASSWORD
)

// proved is what the steps so far, and the session before them, amount to.
type proved struct {
	// steps of this authentication, those of email apart; mailed: the session before it
	// began with a letter.
	first, mail, mailed bool
	// knows a password; holds a TOTP or key; verified by a passkey.
	knows, holds, verified bool
	// stood in: a recovery code.
	stoodIn bool
	// what is done already, here.
	key, totp bool
}

func (s *State) proved() proved {
	p := proved{first: len(s.Done) > 0}
	for _, amr := range s.Prior {
		p.knows = p.knows || amr == "pwd"
		p.holds = p.holds || amr == "hwk" || amr == "swk"
	}
	// A TOTP is no first factor: what nothing else is beside was a letter.
	p.mailed = slices.Contains(s.Prior, "otp") && !p.knows && !p.holds
	for _, step := range s.Done {
		switch step.Factor {
		case pwd:
			p.knows = true
		case passkey:
			p.holds, p.key = true, true
			p.verified = p.verified || step.UserVerified
		case totp:
			p.holds, p.totp = true, true
		case recovery:
			p.stoodIn = true
		case code, link:
			p.mail = true
		default: // no other is a step
		}
	}
	return p
}

// second says whether a second factor was proved: a passkey that verified the
// user, or a TOTP, key or recovery code beside something of another kind.
func (p proved) second() bool {
	return p.several() || p.stoodIn && (p.knows || p.mail)
}

// several says whether it was proved by a factor, and nothing that stands in for one.
func (p proved) several() bool {
	return p.verified || p.holds && (p.knows || p.mail || p.mailed)
}

// level is what the proofs are worth.
func (p proved) level() Level {
	if p.verified || p.knows && p.holds {
		return AAL2
	}
	return AAL1
}

// wantsSecond says whether a second factor is required: by the policy, or by the
// user, who has one that is nothing else.
func (s *State) wantsSecond() bool {
	return s.Policy.SecondFactor || s.Has.TOTP || s.Has.SecurityKey
}

// Left returns the factors of which one comes next, the preferred first. Before
// the first is proved it depends on the policy alone, but for a step-up: whoever
// asks must not learn what an address has. A sign-up that is complete may still
// have a new password left, which it can do without.
func (s *State) Left() []identityv1.Factor {
	p := s.proved()
	switch s.Purpose {
	case identityv1.Purpose_PURPOSE_SIGN_IN:
		if !p.first {
			return s.waysIn()
		}
		return s.more(p)
	case identityv1.Purpose_PURPOSE_STEP_UP:
		return s.stepUp(p)
	case identityv1.Purpose_PURPOSE_SIGN_UP, identityv1.Purpose_PURPOSE_RECOVERY:
		return s.byMail(p)
	default:
		return nil
	}
}

// waysIn are the first factors of a sign-in.
func (s *State) waysIn() []identityv1.Factor {
	var out []identityv1.Factor
	if s.Policy.Passkey {
		out = append(out, passkey)
	}
	if s.Email == "" {
		return out
	}
	if s.Policy.Password {
		out = append(out, pwd)
	}
	if s.Policy.Email && s.Policy.Letters {
		out = append(out, code, link)
	}
	return out
}

// more are the factors that a sign-in needs after the first.
func (s *State) more(p proved) []identityv1.Factor {
	var out []identityv1.Factor
	if s.wantsSecond() && !p.second() {
		out = s.seconds(p)
	}
	if s.Demanded == AAL2 && p.level() < AAL2 && !p.stoodIn {
		out = append(out, s.toAAL2(p)...)
	}
	return unique(out)
}

// seconds are the second factors that the user has.
func (s *State) seconds(p proved) []identityv1.Factor {
	var out []identityv1.Factor
	if (s.Has.Passkey || s.Has.SecurityKey) && !p.key {
		out = append(out, passkey)
	}
	if s.Has.TOTP && !p.totp {
		out = append(out, totp)
	}
	if s.standIn(p) {
		out = append(out, recovery)
	}
	return out
}

// standIn says whether a recovery code can be used: where there is a second
// factor that it stands in for.
func (s *State) standIn(p proved) bool {
	return s.Has.RecoveryCode && s.Has.anySecond() && !p.stoodIn && s.Purpose != identityv1.Purpose_PURPOSE_STEP_UP
}

func (e Enrolled) anySecond() bool { return e.TOTP || e.SecurityKey || e.Passkey }

// toAAL2 are the factors that lead to aal2: none when the user has no way there.
func (s *State) toAAL2(p proved) []identityv1.Factor {
	var out []identityv1.Factor
	knowable := p.knows || s.Has.Password && s.Policy.Password
	holdable := p.holds || s.Has.anySecond()
	if !p.key && (s.Has.Passkey || s.Has.SecurityKey && knowable) {
		out = append(out, passkey)
	}
	if s.Has.TOTP && !p.holds && knowable {
		out = append(out, totp)
	}
	if !p.knows && holdable && knowable {
		out = append(out, pwd)
	}
	if !p.holds && s.standIn(p) {
		out = append(out, recovery)
	}
	return out
}

// target is the level that a step-up is to reach: without a demand, aal2 where a
// second factor is required and the user has one.
func (s *State) target(p proved) Level {
	switch {
	case s.Demanded != 0:
		return s.Demanded
	case s.wantsSecond() && (p.level() == AAL2 || len(s.toAAL2(p)) > 0):
		return AAL2
	default:
		return AAL1
	}
}

// stepUp are the factors of a user who is signed in. One is asked for even where
// the session has proved enough.
func (s *State) stepUp(p proved) []identityv1.Factor {
	if s.Address {
		return s.address(p)
	}
	target := s.target(p)
	switch {
	case target > p.level():
		return s.toAAL2(p)
	case s.wantsSecond() && !p.second() && len(s.seconds(p)) > 0:
		return s.seconds(p)
	case p.first:
		return nil
	}
	var out []identityv1.Factor
	if s.Has.Passkey || s.Has.SecurityKey {
		out = append(out, passkey)
	}
	if s.Has.Password && s.Policy.Password {
		out = append(out, pwd)
	}
	if s.Has.TOTP {
		out = append(out, totp)
	}
	if s.Has.Email && s.Policy.Email && s.Policy.Letters && target < AAL2 {
		out = append(out, code, link)
	}
	return out
}

// address are the factors that prove the address of a user who is signed in.
func (s *State) address(p proved) []identityv1.Factor {
	if p.mail || !s.Has.Email || !s.Policy.Letters {
		return nil
	}
	return []identityv1.Factor{code, link}
}

// byMail are the factors of a sign-up or a recovery: the address, a second factor
// of whoever has one and needs it, and the new password.
func (s *State) byMail(p proved) []identityv1.Factor {
	switch {
	case !p.mail && s.Policy.Letters:
		return []identityv1.Factor{code, link}
	case !p.mail:
		return nil
	}
	if s.Purpose == identityv1.Purpose_PURPOSE_RECOVERY && s.wantsSecond() && !p.second() {
		if out := s.seconds(p); len(out) > 0 {
			return out
		}
	}
	if s.Policy.Password && !s.NewPassword {
		return []identityv1.Factor{renew}
	}
	return nil
}

// Complete says whether the result can be taken.
func (s *State) Complete() bool {
	if len(s.Done) == 0 {
		return false
	}
	p := s.proved()
	switch s.Purpose {
	case identityv1.Purpose_PURPOSE_SIGN_UP:
		// The password can be left out where there is another way in.
		return p.mail && (s.NewPassword || s.Policy.Email || s.Policy.Passkey || !s.Policy.Password)
	case identityv1.Purpose_PURPOSE_RECOVERY:
		return s.NewPassword && len(s.Left()) == 0
	case identityv1.Purpose_PURPOSE_STEP_UP:
		if s.Address {
			return p.mail
		}
		return p.level() >= s.target(p) && len(s.Left()) == 0
	default:
		return len(s.Left()) == 0
	}
}

func unique(factors []identityv1.Factor) []identityv1.Factor {
	var out []identityv1.Factor
	for _, f := range factors {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	// What stands in comes last.
	slices.SortStableFunc(out, func(a, b identityv1.Factor) int {
		return boolean(a == recovery) - boolean(b == recovery)
	})
	return out
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// names joins the names of factors with commas, for metadata.
func names(factors []identityv1.Factor) string {
	all := make([]string, len(factors))
	for i, f := range factors {
		all[i] = f.String()
	}
	return strings.Join(all, ",")
}
