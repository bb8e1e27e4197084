package door

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
)

// identifier asks who it is; of a user who must prove more it asks for that at once.
// Who was sent to sign up may say, by create=no, that there is an account.
func (s *step) identifier() error {
	switch {
	case s.pending.StepUp != "":
		return s.stepUp()
	case s.pending.Create && s.r.URL.Query().Get("create") != "no":
		return s.to("/sign-up")
	default:
		return s.show(s.identifierPage(s.pending.Email, ""))
	}
}

func (s *step) identifierPage(email string, problem pages.Problem) pages.Identifier {
	return pages.Identifier{Frame: s.frame(), Email: email, Problem: problem, Passkeys: true, SignUp: true}
}

// identified begins with who it is. Whether there is such a user nobody is told: the
// pages are the same.
func (s *step) identified() error {
	return s.begin(identityv1.Purpose_PURPOSE_SIGN_IN, func(email string, p pages.Problem) pages.View { return s.identifierPage(email, p) })
}

// signUp asks for the address of somebody new.
func (s *step) signUp() error { return s.show(pages.SignUp{Frame: s.frame(), Email: s.pending.Email}) }

func (s *step) signedUp() error {
	return s.begin(identityv1.Purpose_PURPOSE_SIGN_UP, func(email string, p pages.Problem) pages.View {
		return pages.SignUp{Frame: s.frame(), Email: email, Problem: p}
	})
}

// recovery asks for the address of who forgot a password: the one that was typed before,
// if one was.
func (s *step) recovery() error {
	email := s.held.email
	if email == "" {
		email = s.pending.Email
	}
	return s.show(pages.Recover{Frame: s.frame(), Email: email})
}

func (s *step) recover() error {
	return s.begin(identityv1.Purpose_PURPOSE_RECOVERY, func(email string, p pages.Problem) pages.View {
		return pages.Recover{Frame: s.frame(), Email: email, Problem: p}
	})
}

// begin begins with the address that was posted, or asks for it again.
func (s *step) begin(purpose identityv1.Purpose, again func(email string, p pages.Problem) pages.View) error {
	email := strings.TrimSpace(s.field("email"))
	if email == "" {
		return s.show(again(email, "email.invalid"))
	}
	organization, err := s.realm(s.r.Context(), email)
	if err != nil {
		return err
	}
	a, err := s.start(&identityv1.StartAuthenticationRequest{Purpose: purpose, Email: email, Organization: organization, Acr: s.pending.ACR})
	return s.begun(a, err, func(p pages.Problem) pages.View { return again(email, p) })
}

// stepUp asks the user of a session for more, or goes on with that.
func (s *step) stepUp() error {
	if s.held.id != "" {
		begun, err := s.Authentications.GetAuthentication(s.r.Context(), &identityv1.GetAuthenticationRequest{
			Authentication: s.held.id, Secret: s.held.secret.Reveal(),
		})
		if err == nil && begun.GetAuthentication().GetPurpose() == identityv1.Purpose_PURPOSE_STEP_UP {
			return s.to("/sign-in/prove")
		}
	}
	a, err := s.start(&identityv1.StartAuthenticationRequest{
		Purpose: identityv1.Purpose_PURPOSE_STEP_UP, User: s.pending.StepUp, Amr: s.pending.AMR, Organization: s.pending.Organization, Acr: s.pending.ACR,
		ProveAddress: s.pending.ProveAddress,
	})
	if fault.Is(err, commonv1.Reason_FACTOR_UNAVAILABLE) {
		next, err := s.Flow.NoStepUp(s.w, s.r, s.pending)
		if err != nil {
			return fmt.Errorf("no step-up: %w", err)
		}
		return s.leave(next)
	}
	return s.begun(a, err, func(p pages.Problem) pages.View { return s.identifierPage("", p) })
}

// start begins an authentication, which the browser holds from then on, in place of what
// it had.
func (s *step) start(req *identityv1.StartAuthenticationRequest) (*identityv1.Authentication, error) {
	req.Locale, req.Client, req.IdempotencyKey = s.locale(), s.client(), key()
	started, err := s.Authentications.StartAuthentication(s.r.Context(), req)
	if err != nil {
		return nil, fmt.Errorf("start authentication: %w", err)
	}
	a := started.GetAuthentication()
	s.hold(held{id: a.GetId(), secret: secret.NewString(started.GetSecret()), email: req.GetEmail()})
	return a, nil
}

// begun goes on after an authentication was started, or shows the page that asks again.
func (s *step) begun(a *identityv1.Authentication, err error, again func(pages.Problem) pages.View) error {
	if err == nil {
		err = s.letter(a)
	}
	if err == nil {
		return s.to("/sign-in/prove")
	}
	problem := problemOf(err, "email")
	if problem == "" {
		return err
	}
	s.limited(err)
	return s.show(again(problem))
}

// passkeyOptions begins with a passkey that says who it is, for a script: a page that is
// only looked at begins nothing. It answers with the options as JSON, or, where there are
// no passkeys, with 404.
func (s *step) passkeyOptions() error {
	options, err := s.anyPasskey()
	if err != nil {
		if problemOf(err, "passkey") == "" {
			return err
		}
		s.status = http.StatusNotFound
		s.limited(err)
		s.w.Header().Set("Cache-Control", "no-store")
		s.w.WriteHeader(s.status)
		return nil
	}
	s.w.Header().Set("Content-Type", "application/json")
	s.w.Header().Set("X-Content-Type-Options", "nosniff")
	s.w.Header().Set("Cache-Control", "no-store")
	_, err = s.w.Write([]byte(options))
	return err
}

func (s *step) anyPasskey() (options string, err error) {
	s.slot = passkeyCookie
	if err := s.startWithPasskey(); err != nil {
		return "", err
	}
	return s.challenge(identityv1.Factor_FACTOR_PASSKEY)
}

// startWithPasskey begins with whoever the passkey says it is, beside what the person
// may have begun.
func (s *step) startWithPasskey() error {
	_, err := s.start(&identityv1.StartAuthenticationRequest{
		Purpose: identityv1.Purpose_PURPOSE_SIGN_IN, Organization: s.pending.Organization, Acr: s.pending.ACR,
	})
	return err
}
