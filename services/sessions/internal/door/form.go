package door

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// maxBody bounds what is posted, in bytes: a passkey's answer, escaped, and more.
const maxBody = 160 << 10

// posted reads a form, which must be one of a page of ours, with each field once.
//
// Errors: ACCESS_DENIED for what another site's page sent; INVALID_FIELD.
func posted(w http.ResponseWriter, r *http.Request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, "the form came from another site's page")
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		return unreadable()
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if r.ParseForm() != nil || !once(r.PostForm) {
		return unreadable()
	}
	return nil
}

// got reads the parameters of a page, each of them once.
//
// Errors: INVALID_FIELD.
func got(r *http.Request) error {
	parameters, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || !once(parameters) {
		return unreadable()
	}
	return nil
}

// once says whether each name is there once, and means the same to everybody who reads
// it.
func once(values url.Values) bool {
	for _, v := range values {
		if len(v) != 1 || strings.ContainsRune(v[0], 0) || !utf8.ValidString(v[0]) {
			return false
		}
	}
	return true
}

func unreadable() error {
	return fault.New(fault.Invalid, commonv1.Reason_INVALID_FIELD, "what was sent cannot be read, or has a name twice")
}

// field is what was posted in a field: nothing of a URL counts.
func (s *step) field(name string) string { return s.r.PostFormValue(name) }
