package authentication_test

import (
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/id"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/authentication"
)

// run is an authentication that somebody does anything with. What it notes by
// itself is compared with what the state says.
type run struct {
	t *testing.T
	s *authentication.State
	// proved are the factors that were taken, and whose they were.
	proved    map[identityv1.Factor]int
	owner     string
	verified  bool
	attempts  int
	right     int
	finished  int
	passwords int
}

// FuzzSequences holds the laws of every sequence of calls: a result needs the
// proofs that were asked for, all of them one user's, none of them twice.
func FuzzSequences(f *testing.F) {
	f.Add([]byte{0, 63, 0x11, 0x21, 0x41}, uint8(0))
	f.Add([]byte{1, 3, 0x34, 0x64, 0x77, 0x80}, uint8(3))
	f.Add([]byte{3, 255, 0x11, 0x13, 0x80, 0x80}, uint8(17))
	f.Fuzz(func(t *testing.T, ops []byte, policy uint8) {
		if len(ops) < 2 || len(ops) > 200 {
			return
		}
		c := authentication.Start{
			ID: id.New(id.Authentication), At: now, Demanded: authentication.Level(policy >> 5 % 3),
			Purpose: identityv1.Purpose(ops[0]%4 + 1),
			Policy: authentication.Policy{
				Password: policy&1 > 0, Passkey: policy&2 > 0, Email: policy&4 > 0, Letters: policy&8 > 0, SecondFactor: policy&16 > 0,
			},
			Has: authentication.Enrolled{
				Password: ops[1]&1 > 0, Passkey: ops[1]&2 > 0, SecurityKey: ops[1]&4 > 0, TOTP: ops[1]&8 > 0, RecoveryCode: ops[1]&16 > 0, Email: true,
			},
		}
		switch {
		case c.Purpose == stepUp:
			c.User = user
		case ops[1]&32 > 0:
			c.Email = "ada@example.com"
			if c.Purpose != signUp && ops[1]&64 > 0 {
				c.User = user
			}
		}
		s, err := c.Decide()
		if err != nil {
			return
		}
		r := &run{t: t, s: &s, proved: map[identityv1.Factor]int{}}
		for i, op := range ops[2:] {
			r.step(op, now.Add(time.Duration(i)*time.Second))
		}
	})
}

func (r *run) step(op byte, at time.Time) {
	f := identityv1.Factor(op>>4%7 + 1)
	who := []string{user, other, ""}[op>>2%3]
	switch {
	case op>>4 >= 14:
		r.finish(at)
	case op>>4 >= 7:
		_ = r.s.Request(f, authentication.Challenge{Hash: []byte{byte(f)}}, at)
	case f == short["new_password"]:
		if _, err := r.s.Attempt(f, at); err == nil && r.s.Renew("hash", at) == nil {
			r.passwords++
		}
	default:
		if _, err := r.s.Attempt(f, at); err != nil {
			return
		}
		r.attempts++
		if op&1 == 0 {
			return // it was wrong
		}
		proof := authentication.Proof{Step: authentication.Step{Factor: f, UserVerified: op&2 > 0}, User: who, Challenge: []byte{byte(f)}}
		if r.s.Prove(proof, at) == nil {
			r.took(f, who, op&2 > 0)
		}
	}
	if wrong := r.attempts - r.right; wrong > authentication.MaxFailures {
		r.t.Fatalf("%d wrong attempts", wrong)
	}
}

func (r *run) took(f identityv1.Factor, who string, verified bool) {
	if r.finished > 0 {
		r.t.Fatal("a proof after the end")
	}
	r.right++
	r.proved[f]++
	if r.proved[f] > 1 {
		r.t.Fatalf("%v proved twice", f)
	}
	if len(r.proved) > 1 && who != r.owner {
		r.t.Fatal("proofs of two users")
	}
	r.owner = who
	r.verified = r.verified || verified && f == short["passkey"]
}

func (r *run) finish(at time.Time) {
	complete := r.s.Complete()
	if err := r.s.Finish(at); err != nil {
		return
	}
	r.finished++
	s, result := r.s, r.s.Result()
	mail := r.proved[short["code"]]+r.proved[short["link"]] > 0
	holds := r.proved[short["totp"]]+r.proved[short["passkey"]] > 0
	second := r.verified || (holds || r.proved[short["recovery"]] > 0) && (r.proved[short["password"]] > 0 || mail)
	has := s.Has.TOTP || s.Has.SecurityKey || s.Has.Passkey
	required := s.Policy.SecondFactor || s.Has.TOTP || s.Has.SecurityKey
	switch {
	case r.finished > 1 || !complete:
		r.t.Fatal("finished twice, or without being complete")
	case len(r.proved) == 0 || result.User != r.owner || r.owner == "" && s.Purpose != signUp:
		r.t.Fatalf("a result for %q without proof, of %q", result.User, r.owner)
	case s.Purpose == signUp && !mail:
		r.t.Fatal("signed up with an address that was not proved")
	case s.Purpose == restore && (!mail || r.passwords == 0 || result.Level != authentication.AAL1):
		r.t.Fatal("recovered without an address or a password, or to aal2")
	case (s.Purpose == signIn || s.Purpose == restore) && required && has && !second:
		r.t.Fatal("no second factor of a user who has one")
	case s.Purpose == stepUp && s.Demanded == authentication.AAL2 && result.Level != authentication.AAL2:
		r.t.Fatal("stepped up to less than was demanded")
	case result.Level == authentication.AAL2 && !r.verified && (!holds || r.proved[short["password"]] == 0):
		r.t.Fatal("aal2 of one factor")
	case result.Unenrolled && has:
		r.t.Fatal("unenrolled, with a second factor")
	case s.Purpose == signIn && len(s.Done) == 1 && s.Done[0].Factor == short["passkey"] && !r.verified:
		r.t.Fatal("a passkey alone that did not verify")
	}
}
