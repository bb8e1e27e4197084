package door

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
)

// ask shows what comes next.
func (s *step) ask() error { return s.askAgain("", "") }

// askAgain shows what comes next, or what was posted again, with what is wrong with it.
func (s *step) askAgain(kind string, problem pages.Problem) error {
	a, err := s.current()
	if err != nil || a == nil {
		return err
	}
	if complete(a, s.held.way) {
		return s.completed(a)
	}
	factor := next(a, kind, s.held.way)
	if factor == identityv1.Factor_FACTOR_UNSPECIFIED {
		return s.beginAgain("factor_unavailable")
	}
	if problem == "factor_unavailable" && slices.Contains(left(a), factorOf(kind)) {
		problem = wrong(kind) // it comes next, but what was sent for it is too old
	}
	view := s.factorPage(a, factor, problem)
	if factor == identityv1.Factor_FACTOR_PASSKEY {
		view.Passkey, err = s.challenge(factor)
	}
	if err != nil {
		// The page is shown all the same: there may be another way.
		if view.Problem = problemOf(err, kinds[factor]); view.Problem == "" {
			return err
		}
		if over(view.Problem) {
			return s.beginAgain(view.Problem)
		}
		s.limited(err)
	}
	return s.show(view)
}

// current is how far the authentication is that the browser holds; nil where it holds
// none: then what to do has been answered.
func (s *step) current() (*identityv1.Authentication, error) {
	if s.held.id == "" {
		return nil, s.to("/sign-in")
	}
	answer, err := s.Authentications.GetAuthentication(s.r.Context(), &identityv1.GetAuthenticationRequest{
		Authentication: s.held.id, Secret: s.held.secret.Reveal(),
	})
	if fault.Is(err, commonv1.Reason_AUTHENTICATION_ENDED) || fault.Is(err, commonv1.Reason_INVALID_FIELD) {
		return nil, s.beginAgain("ended")
	}
	if err != nil {
		return nil, fmt.Errorf("authentication: %w", err)
	}
	return answer.GetAuthentication(), nil
}

// way takes another way to prove who one is; a passkey, also of somebody who has not
// said who it is. What cannot be chosen is not: the page asks for what comes next.
func (s *step) way() error {
	kind := s.field("factor")
	switch {
	case s.held.id != "":
	case kind == "passkey":
		return s.begun(nil, s.startWithPasskey(), func(p pages.Problem) pages.View { return s.identifierPage("", p) })
	default:
		return s.to("/sign-in")
	}
	if kind == kinds[identityv1.Factor_FACTOR_EMAIL_CODE] {
		if _, err := s.challenge(identityv1.Factor_FACTOR_EMAIL_CODE); err != nil {
			return s.failed(err, "")
		}
	}
	if kind == noPassword || factorOf(kind) != identityv1.Factor_FACTOR_UNSPECIFIED {
		s.choose(kind)
	}
	return s.to("/sign-in/prove")
}

// prove takes the proof of a factor.
func (s *step) prove() error {
	kind := s.field("factor")
	text := s.field(kind)
	if kind != "password" && kind != "new_password" { // white space is part of these only
		text = strings.TrimSpace(text)
	}
	req := &identityv1.ContinueAuthenticationRequest{}
	switch {
	case s.held.id == "":
		return s.to("/sign-in")
	case !with(req, kind, text):
		return s.to("/sign-in/prove")
	case text == "" && s.slot != "":
		return s.beginAgain(wrong(kind))
	case text == "":
		return s.askAgain(kind, wrong(kind))
	}
	return s.proceed(req, kind)
}

// with puts a proof into a request, and says whether there is such a kind.
func with(req *identityv1.ContinueAuthenticationRequest, kind, text string) bool {
	switch kind {
	case "password":
		req.Proof = &identityv1.ContinueAuthenticationRequest_Password{Password: text}
	case "passkey":
		req.Proof = &identityv1.ContinueAuthenticationRequest_Passkey{Passkey: text}
	case "totp":
		req.Proof = &identityv1.ContinueAuthenticationRequest_Totp{Totp: text}
	case "recovery_code":
		req.Proof = &identityv1.ContinueAuthenticationRequest_RecoveryCode{RecoveryCode: text}
	case "email_code":
		req.Proof = &identityv1.ContinueAuthenticationRequest_EmailCode{EmailCode: text}
	case "new_password":
		req.Proof = &identityv1.ContinueAuthenticationRequest_NewPassword{NewPassword: text}
	default:
		return false
	}
	return true
}

// proceed gives identity a proof, and goes on.
func (s *step) proceed(req *identityv1.ContinueAuthenticationRequest, kind string) error {
	req.Authentication, req.Secret, req.Client, req.IdempotencyKey = s.held.id, s.held.secret.Reveal(), s.client(), key()
	answer, err := s.Authentications.ContinueAuthentication(s.r.Context(), req)
	if err != nil {
		return s.failed(fmt.Errorf("continue authentication: %w", err), kind)
	}
	a := answer.GetAuthentication()
	s.settle()
	s.choose("")
	if complete(a, "") {
		return s.completed(a)
	}
	if err := s.letter(a); err != nil {
		return s.failed(err, "")
	}
	return s.to("/sign-in/prove")
}

// settle makes an authentication that a page began the browser's own: its passkey was
// good.
func (s *step) settle() {
	if s.slot == "" {
		return
	}
	h := s.held
	s.drop()
	s.slot = ""
	s.hold(h)
}

// completed ends an authentication. Somebody new says before what to be called.
func (s *step) completed(a *identityv1.Authentication) error {
	switch {
	case a.GetPurpose() != identityv1.Purpose_PURPOSE_SIGN_UP:
		return s.finish("")
	case s.r.Method == http.MethodGet:
		return s.show(pages.Name{Frame: s.frame()})
	default:
		return s.to("/sign-in/prove")
	}
}

// named takes what somebody new is to be called.
func (s *step) named() error {
	name := strings.TrimSpace(s.field("name"))
	switch {
	case s.held.id == "":
		return s.to("/sign-in")
	case name == "":
		return s.show(pages.Name{Frame: s.frame(), Problem: wrong("name")})
	}
	return s.finish(name)
}

// finish takes the result, once, and says who has signed in.
func (s *step) finish(name string) error {
	result, err := s.Authentications.FinishAuthentication(s.r.Context(), &identityv1.FinishAuthenticationRequest{
		Authentication: s.held.id, Secret: s.held.secret.Reveal(), Name: name, IdempotencyKey: key(),
	})
	if err != nil {
		return s.unfinished(fmt.Errorf("finish authentication: %w", err))
	}
	s.drop()
	if result.GetDevice() != "" {
		setCookie(s.w, deviceCookie, result.GetDevice(), deviceLife)
	}
	next, err := s.Flow.SignedIn(s.w, s.r, s.pending, result)
	if err != nil {
		return fmt.Errorf("signed in: %w", err)
	}
	return s.leave(next)
}

// unfinished goes on where the result could not be taken.
func (s *step) unfinished(err error) error {
	problem := problemOf(err, "name")
	switch {
	case over(problem):
		return s.beginAgain(problem)
	case problem == wrong("name"):
		return s.show(pages.Name{Frame: s.frame(), Problem: problem})
	case problem == "factor_unavailable": // somebody new whose address has a user meanwhile may need more
		return s.to("/sign-in/prove")
	default:
		return err
	}
}
