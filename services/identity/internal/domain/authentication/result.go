package authentication

import (
	"slices"
	"time"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// Result is what an authentication has found out.
type Result struct {
	User  string
	Level Level
	// AMR are the methods of RFC 8176, and "recovery"; those of the session that
	// stepped up among them.
	AMR []string
	// AuthenticatedAt is the time of the last proof.
	AuthenticatedAt time.Time
	// Unenrolled: a second factor is required, and the user has none. Whoever takes
	// the result lets the user enroll one, and do nothing else before.
	Unenrolled bool
}

// String is the level as an acr.
func (l Level) String() string {
	if l == AAL2 {
		return "aal2"
	}
	return "aal1"
}

// Result returns the result of an authentication that is complete.
func (s *State) Result() Result {
	p := s.proved()
	r := Result{User: s.User, Level: p.level()}
	for _, step := range s.Done {
		r.AuthenticatedAt = step.At
	}
	if s.Purpose == identityv1.Purpose_PURPOSE_RECOVERY {
		r.Level = AAL1
	}
	r.AMR = s.amr(p)
	required := s.Policy.SecondFactor || s.Demanded == AAL2
	r.Unenrolled = required && !s.Has.anySecond() && !p.second()
	return r
}

// order is that of methods in a result.
func order() []string { return []string{"pwd", "otp", "hwk", "swk", "user", "mfa", "recovery"} }

// amr are the methods. A second factor makes mfa, also one beside a letter, which is no
// aal2: a mailbox is no authenticator (NIST SP 800-63B section 5.1.3.1).
func (s *State) amr(p proved) []string {
	used := map[string]bool{}
	for _, m := range s.Prior {
		used[m] = true
	}
	for _, step := range s.Done {
		switch step.Factor {
		case pwd:
			used["pwd"] = true
		case totp, code, link:
			used["otp"] = true
		case recovery:
			used["recovery"] = true
		case passkey:
			used["swk"] = used["swk"] || step.Synchronized
			used["hwk"] = used["hwk"] || !step.Synchronized
			used["user"] = used["user"] || step.UserVerified
		default: // no other is a step
		}
	}
	used["mfa"] = p.several() && s.Purpose != identityv1.Purpose_PURPOSE_RECOVERY
	used["recovery"] = used["recovery"] || s.Purpose == identityv1.Purpose_PURPOSE_RECOVERY
	return slices.DeleteFunc(order(), func(m string) bool { return !used[m] })
}
