package authzen

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// refuse answers an error: a status and a line of text for people.
func refuse(w http.ResponseWriter, r *http.Request, f *fault.Fault) {
	echo(w, r)
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	status := statusOf(f)
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((f.RetryAfter+time.Second-1)/time.Second), 10))
	}
	w.WriteHeader(status)
	// The client is gone when this fails; there is nobody left to tell.
	_, _ = io.WriteString(w, f.Reason.String()+": "+textOf(f)+"\n")
}

// statusOf is the HTTP status of a fault.
func statusOf(f *fault.Fault) int {
	switch f.Kind {
	case fault.Invalid, fault.Precondition, fault.Exists:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Denied:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Exhausted:
		switch f.Reason {
		case commonv1.Reason_RATE_LIMITED:
			return http.StatusTooManyRequests
		case commonv1.Reason_BATCH_TOO_LARGE:
			return http.StatusRequestEntityTooLarge
		default:
			return http.StatusInternalServerError
		}
	case fault.Unavailable, fault.Conflict:
		return http.StatusServiceUnavailable
	case fault.Deadline:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// names are the fields of a call as AuthZEN has them.
var names = [...][2]string{
	{"circumstances.context: ", "context: "},
	{"permission: ", "action.name: "},
	{"cursor: is not a cursor of this list", "page.token: is not a token of this search"},
	{"freshness.at_least", RevisionHeader},
}

// textOf is a fault's detail with the names of AuthZEN.
func textOf(f *fault.Fault) string {
	for _, name := range names {
		if rest, found := strings.CutPrefix(f.Detail, name[0]); found {
			return name[1] + rest
		}
	}
	return f.Detail
}

// maxRequestID bounds the ids that are sent back, in bytes.
const maxRequestID = 256

// echo sends the request's id back. One that is long, or holds more than
// printable ASCII, is not.
func echo(w http.ResponseWriter, r *http.Request) {
	given := r.Header.Get("X-Request-ID")
	if given == "" || len(given) > maxRequestID {
		return
	}
	for i := range len(given) {
		if given[i] < ' ' || given[i] > '~' {
			return
		}
	}
	w.Header().Set("X-Request-ID", given)
}
