package door

import (
	"fmt"
	"slices"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
)

// noPassword is the way of somebody new who goes on without a password.
const noPassword = "no_password"

// wayPath is where the forms of other ways lead.
const wayPath = "/sign-in/way"

// kinds are the factors that pages ask for, by the names of their fields.
var kinds = map[identityv1.Factor]string{
	identityv1.Factor_FACTOR_PASSWORD: "password", identityv1.Factor_FACTOR_PASSKEY: "passkey", identityv1.Factor_FACTOR_TOTP: "totp",
	identityv1.Factor_FACTOR_RECOVERY_CODE: "recovery_code", identityv1.Factor_FACTOR_EMAIL_CODE: "email_code",
	identityv1.Factor_FACTOR_NEW_PASSWORD: "new_password",
}

// factorOf is the factor of a kind, unspecified for none.
func factorOf(kind string) identityv1.Factor {
	for factor, name := range kinds {
		if name == kind {
			return factor
		}
	}
	return identityv1.Factor_FACTOR_UNSPECIFIED
}

// left are the factors that come next and that there are pages for, identity's preferred
// first; but a first password before a passkey, which was offered beside the address, and
// needs a script.
func left(a *identityv1.Authentication) []identityv1.Factor {
	var out []identityv1.Factor
	for _, f := range a.GetFactorsLeft() {
		if kinds[f] != "" {
			out = append(out, f)
		}
	}
	password := slices.Index(out, identityv1.Factor_FACTOR_PASSWORD)
	begins := a.GetPurpose() == identityv1.Purpose_PURPOSE_SIGN_IN && len(a.GetFactorsDone()) == 0
	if begins && password > 0 {
		out = slices.Insert(slices.Delete(out, password, password+1), 0, identityv1.Factor_FACTOR_PASSWORD)
	}
	return out
}

// next is the factor to ask for: one of those that are wanted, if it comes next, or the
// preferred.
func next(a *identityv1.Authentication, wanted ...string) identityv1.Factor {
	come := left(a)
	for _, kind := range wanted {
		if f := factorOf(kind); slices.Contains(come, f) {
			return f
		}
	}
	if len(come) == 0 {
		return identityv1.Factor_FACTOR_UNSPECIFIED
	}
	return come[0]
}

// complete says whether nothing is to be asked for any more. The new password of a
// sign-up can be left out where identity says that it is complete before.
func complete(a *identityv1.Authentication, way string) bool {
	return a.GetState() == identityv1.AuthenticationState_AUTHENTICATION_STATE_COMPLETE &&
		(next(a) != identityv1.Factor_FACTOR_NEW_PASSWORD || way == noPassword)
}

// factorPage is the page that asks for a factor, without a passkey's options.
func (s *step) factorPage(a *identityv1.Authentication, factor identityv1.Factor, problem pages.Problem) pages.Factor {
	view := pages.Factor{
		Frame: s.frame(), Kind: kinds[factor], Email: s.held.email, Problem: problem,
		Resend: factor == identityv1.Factor_FACTOR_EMAIL_CODE, Recover: factor == identityv1.Factor_FACTOR_PASSWORD,
	}
	for _, other := range left(a) {
		if other != factor {
			view.Others = append(view.Others, pages.Other{Factor: kinds[other], Path: wayPath})
		}
	}
	if a.GetState() == identityv1.AuthenticationState_AUTHENTICATION_STATE_COMPLETE {
		view.Others = append(view.Others, pages.Other{Factor: noPassword, Path: wayPath})
	}
	return view
}

// letter sends a code where one comes next.
func (s *step) letter(a *identityv1.Authentication) error {
	if next(a, s.held.way) != identityv1.Factor_FACTOR_EMAIL_CODE {
		return nil
	}
	_, err := s.challenge(identityv1.Factor_FACTOR_EMAIL_CODE)
	return err
}

// challenge prepares a factor, and returns the options of a passkey.
func (s *step) challenge(factor identityv1.Factor) (options string, err error) {
	out, err := s.Authentications.RequestChallenge(s.r.Context(), &identityv1.RequestChallengeRequest{
		Authentication: s.held.id, Secret: s.held.secret.Reveal(), Factor: factor, Client: s.client(), IdempotencyKey: key(),
	})
	if err != nil {
		return "", fmt.Errorf("request challenge: %w", err)
	}
	return out.GetPasskeyOptions(), nil
}
