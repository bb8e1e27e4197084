package door

import (
	"net/http"
	"strconv"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
)

// wrong is what is said of a proof that is not right.
func wrong(kind string) pages.Problem {
	switch kind {
	case "email":
		return "email.invalid"
	case "name":
		return "name.invalid"
	case "password":
		return "password.wrong"
	case "new_password":
		return "password.policy"
	case "passkey":
		return "passkey.wrong"
	case "email_link":
		return "link.wrong"
	default:
		return "code.wrong"
	}
}

// problems are what people are told of refusals, whatever was asked for.
var problems = map[commonv1.Reason]pages.Problem{
	commonv1.Reason_AUTHENTICATION_ENDED: "ended", commonv1.Reason_RATE_LIMITED: "limited", commonv1.Reason_USER_SUSPENDED: "suspended",
	commonv1.Reason_USER_ERASED: "suspended", commonv1.Reason_ORGANIZATION_STATE: "organization_state",
	commonv1.Reason_FACTOR_UNAVAILABLE: "factor_unavailable", commonv1.Reason_NOT_FOUND: "organization_state",
}

// problemOf is what people are told of an error of what was asked for; "" for one that
// is no refusal.
func problemOf(err error, kind string) pages.Problem {
	f, ok := fault.As(err)
	switch {
	case !ok:
		return ""
	case f.Reason == commonv1.Reason_AUTHENTICATION_REJECTED:
		return wrong(kind)
	case f.Reason == commonv1.Reason_INVALID_FIELD && kind == "email" && f.Meta["field"] != "email":
		return "" // a field that nobody typed: a defect of ours
	case f.Reason == commonv1.Reason_INVALID_FIELD, f.Reason == commonv1.Reason_FACTOR_UNAVAILABLE && kind == "email_link":
		return wrong(kind)
	default:
		return problems[f.Reason]
	}
}

// over says whether a problem ends an authentication.
func over(p pages.Problem) bool { return p == "ended" || p == "suspended" || p == "organization_state" }

// failed asks again after a refusal of a factor: for the same where that helps, and else
// from the beginning.
func (s *step) failed(err error, kind string) error {
	problem := problemOf(err, kind)
	switch {
	case problem == "":
		return err
	case over(problem):
		return s.beginAgain(problem)
	}
	s.limited(err)
	if s.slot != "" { // the page that offered it begins another
		if problem == "factor_unavailable" {
			problem = wrong(kind)
		}
		return s.beginAgain(problem)
	}
	return s.askAgain(kind, problem)
}

// beginAgain shows the page that begins. What the browser had is of no use any more.
func (s *step) beginAgain(problem pages.Problem) error {
	email := s.held.email
	if problem != "link.wrong" { // a link proves nothing about what the browser has
		s.drop()
	}
	return s.show(s.identifierPage(email, problem))
}

// limited says when to try again, where that is why.
func (s *step) limited(err error) {
	f, ok := fault.As(err)
	if !ok || f.Reason != commonv1.Reason_RATE_LIMITED {
		return
	}
	s.status = http.StatusTooManyRequests
	if f.RetryAfter > 0 {
		s.w.Header().Set("Retry-After", strconv.FormatInt(int64((f.RetryAfter+time.Second-1)/time.Second), 10))
	}
}
