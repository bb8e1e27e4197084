package oidc

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/people"
)

// enrolmentKey is the idempotency key of what a page began, by the name in its form: the
// same form of the same session finds the same ceremony again, and nobody else's form
// does.
func (e *enroller) enrolmentKey(kind, name string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"enrolment", kind, e.session.ID, e.user.GetId(), name}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// enrolProblem is what a person is told of an error of what was asked for; "" for one
// that is no refusal.
func enrolProblem(err error) pages.Problem {
	f, ok := fault.As(err)
	switch {
	case !ok:
		return ""
	case f.Reason == commonv1.Reason_LIMIT_REACHED:
		return "full"
	case f.Reason == commonv1.Reason_AUTHENTICATION_ENDED:
		return "ended"
	case f.Reason == commonv1.Reason_RATE_LIMITED:
		return "limited"
	default:
		return ""
	}
}

// totpPage says what an authenticator app is. It begins nothing.
func (p *Provider) totpPage(w http.ResponseWriter, r *http.Request, e *enroller) error {
	return p.Pages.Write(w, r, http.StatusOK, pages.AddTOTP{Frame: e.frame()})
}

// maxTOTP is how long a code may be.
const maxTOTP = 16

// addTOTP shows the secret of an authenticator app, and takes its first code.
func (p *Provider) addTOTP(w http.ResponseWriter, r *http.Request, e *enroller) error {
	name := r.PostForm.Get("enrolment")
	if name == "" {
		return p.beginTOTP(w, r, e, rand.Text(), "")
	}
	code := strings.Join(strings.Fields(r.PostForm.Get("totp")), "")
	if code == "" || len(code) > maxTOTP {
		return p.beginTOTP(w, r, e, name, "code.wrong")
	}
	begun, err := p.People.Credentials.BeginTotp(r.Context(), &identityv1.BeginTotpRequest{
		User: e.user.GetId(), IdempotencyKey: e.enrolmentKey("totp", name),
	})
	if err == nil {
		_, err = p.People.Credentials.FinishTotp(r.Context(), &identityv1.FinishTotpRequest{
			User: e.user.GetId(), Ceremony: begun.GetCeremony(), Code: code, IdempotencyKey: rand.Text(),
		})
	}
	problem := enrolProblem(err)
	switch {
	case err == nil:
		return redirect(w, e.next())
	case fault.Is(err, commonv1.Reason_CREDENTIAL_REJECTED), fault.Is(err, commonv1.Reason_INVALID_FIELD):
		return p.beginTOTP(w, r, e, name, "code.wrong")
	case problem == "ended":
		return p.beginTOTP(w, r, e, rand.Text(), problem)
	case problem != "":
		return p.Pages.Write(w, r, http.StatusOK, pages.AddTOTP{Frame: e.frame(), Problem: problem})
	default:
		return err
	}
}

// beginTOTP shows the secret of the app that is added under a name: a new one for a new
// name.
func (p *Provider) beginTOTP(w http.ResponseWriter, r *http.Request, e *enroller, name string, problem pages.Problem) error {
	view := pages.AddTOTP{Frame: e.frame(), Problem: problem}
	begun, err := p.People.Credentials.BeginTotp(r.Context(), &identityv1.BeginTotpRequest{
		User: e.user.GetId(), IdempotencyKey: e.enrolmentKey("totp", name),
	})
	if err != nil {
		if view.Problem = enrolProblem(err); view.Problem == "" {
			return err
		}
		return p.Pages.Write(w, r, http.StatusOK, view)
	}
	view.Enrolment, view.URI, view.Secret = name, secret.NewString(begun.GetUri()), secret.NewString(begun.GetSecret())
	return p.Pages.Write(w, r, http.StatusOK, view)
}

// passkeyPage says what a passkey is. It begins nothing.
func (p *Provider) passkeyPage(w http.ResponseWriter, r *http.Request, e *enroller) error {
	return p.Pages.Write(w, r, http.StatusOK, pages.AddPasskey{Frame: e.frame()})
}

// addPasskey gives the browser what it makes a passkey by, and takes what it made.
func (p *Provider) addPasskey(w http.ResponseWriter, r *http.Request, e *enroller) error {
	name, response := r.PostForm.Get("enrolment"), r.PostForm.Get("passkey")
	if name == "" || len(response) < 2 {
		return p.beginPasskey(w, r, e, "")
	}
	begun, err := p.People.Credentials.BeginPasskey(r.Context(), &identityv1.BeginPasskeyRequest{
		User: e.user.GetId(), IdempotencyKey: e.enrolmentKey("passkey", name),
	})
	if err == nil {
		_, err = p.People.Credentials.FinishPasskey(r.Context(), &identityv1.FinishPasskeyRequest{
			User: e.user.GetId(), Ceremony: begun.GetCeremony(), Response: response, Name: browserName(r), IdempotencyKey: rand.Text(),
		})
	}
	f, _ := fault.As(err)
	problem := enrolProblem(err)
	switch {
	case err == nil:
		return redirect(w, e.next())
	case fault.Is(err, commonv1.Reason_ALREADY_EXISTS), fault.Is(err, commonv1.Reason_CREDENTIAL_REJECTED) && f.Meta["rule"] == "excluded":
		return p.beginPasskey(w, r, e, "passkey.known")
	case fault.Is(err, commonv1.Reason_CREDENTIAL_REJECTED), fault.Is(err, commonv1.Reason_INVALID_FIELD):
		return p.beginPasskey(w, r, e, "passkey.refused")
	case problem != "":
		return p.beginPasskey(w, r, e, problem)
	default:
		return err
	}
}

// beginPasskey asks the browser for a passkey, under a new name: a challenge is for one
// try.
func (p *Provider) beginPasskey(w http.ResponseWriter, r *http.Request, e *enroller, problem pages.Problem) error {
	view, name := pages.AddPasskey{Frame: e.frame(), Problem: problem}, rand.Text()
	begun, err := p.People.Credentials.BeginPasskey(r.Context(), &identityv1.BeginPasskeyRequest{
		User: e.user.GetId(), IdempotencyKey: e.enrolmentKey("passkey", name),
	})
	if err != nil {
		if view.Problem = enrolProblem(err); view.Problem == "" {
			return err
		}
		return p.Pages.Write(w, r, http.StatusOK, view)
	}
	view.Enrolment, view.Options = name, begun.GetOptions()
	return p.Pages.Write(w, r, http.StatusOK, view)
}

// codesPage asks whether somebody wants recovery codes.
func (p *Provider) codesPage(w http.ResponseWriter, r *http.Request, e *enroller) error {
	return p.Pages.Write(w, r, http.StatusOK, pages.RecoveryCodes{Frame: e.frame()})
}

// issueCodes makes recovery codes, and shows them, once.
func (p *Provider) issueCodes(w http.ResponseWriter, r *http.Request, e *enroller) error {
	made, err := p.People.Credentials.IssueRecoveryCodes(r.Context(), &identityv1.IssueRecoveryCodesRequest{
		User: e.user.GetId(), IdempotencyKey: rand.Text(),
	})
	view := pages.RecoveryCodes{Frame: e.frame()}
	if err != nil {
		if view.Problem = enrolProblem(err); view.Problem == "" {
			return err
		}
	}
	for _, code := range made.GetCodes() {
		view.Codes = append(view.Codes, secret.NewString(code))
	}
	return p.Pages.Write(w, r, http.StatusOK, view)
}

// passwordPage asks for a new password.
func (p *Provider) passwordPage(w http.ResponseWriter, r *http.Request, e *enroller) error {
	return p.Pages.Write(w, r, http.StatusOK, pages.NewPassword{Frame: e.frame(), Email: e.user.GetEmail()})
}

// maxPassword is how long a password may be, in bytes.
const maxPassword = 1024

// setPassword takes a new password. The policy of the organization that owns the
// address's domain holds.
func (p *Provider) setPassword(w http.ResponseWriter, r *http.Request, e *enroller) error {
	view := pages.NewPassword{Frame: e.frame(), Email: e.user.GetEmail(), Problem: "password.policy"}
	text := r.PostForm.Get("new_password")
	if text == "" || len(text) > maxPassword {
		return p.Pages.Write(w, r, http.StatusOK, view)
	}
	organization, err := people.Realm(r.Context(), p.People.Domains, e.user.GetEmail())
	if err != nil {
		return err
	}
	_, err = p.People.Credentials.SetPassword(r.Context(), &identityv1.SetPasswordRequest{
		User: e.user.GetId(), Secret: &identityv1.SetPasswordRequest_Password{Password: text}, Organization: organization, IdempotencyKey: rand.Text(),
	})
	if err == nil {
		err = p.endOthers(r.Context(), e.user.GetId(), e.session.ID)
	}
	problem := enrolProblem(err)
	switch {
	case err == nil:
		return redirect(w, e.next())
	case fault.Is(err, commonv1.Reason_INVALID_FIELD):
		return p.Pages.Write(w, r, http.StatusOK, view)
	case problem != "":
		view.Problem = problem
		return p.Pages.Write(w, r, http.StatusOK, view)
	default:
		return err
	}
}
