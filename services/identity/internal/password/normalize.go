package password

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// maxBytes bounds any candidate, whatever a policy says.
const maxBytes = 1024

// candidate is a password that somebody typed.
type candidate struct {
	typed string
	// normal is typed under the OpaqueString profile of RFC 8265: composed (NFC),
	// with every space a plain one, so that two keyboards write one password.
	normal string
	// unstorable is why Hash refuses it: it holds control characters or code
	// points that are not assigned. Other systems may have hashed it.
	unstorable error
}

// read takes a candidate. What no system hashes is an error: nothing, what is
// no UTF-8, and zero bytes, at which some of them would stop.
//
// Errors: INVALID_FIELD (password: min_length, max_length, utf8, null).
func read(s secret.String) (candidate, error) {
	typed := s.Reveal()
	switch {
	case typed == "":
		return candidate{}, refuse("min_length", "must not be empty")
	case len(typed) > maxBytes:
		return candidate{}, refuse("max_length", "must be at most 1024 bytes long")
	case !utf8.ValidString(typed):
		return candidate{}, refuse("utf8", "must be valid UTF-8")
	case strings.IndexByte(typed, 0) >= 0:
		return candidate{}, refuse("null", "must not contain zero bytes")
	}
	normal, ok := opaque(typed)
	if !ok {
		return candidate{typed: typed, normal: typed, unstorable: refuse("characters",
			"must not contain control characters or unassigned characters")}, nil
	}
	return candidate{typed: typed, normal: normal}, nil
}

// opaque enforces the OpaqueString profile. Enforcing it again must change
// nothing (RFC 8264, section 7).
func opaque(typed string) (string, bool) {
	normal, err := precis.OpaqueString.String(typed)
	if err != nil {
		return "", false
	}
	again, err := precis.OpaqueString.String(normal)
	return normal, err == nil && again == normal
}

// texts returns what a stored hash is compared with.
func (c candidate) texts() []string {
	if c.typed == c.normal {
		return []string{c.normal}
	}
	return []string{c.normal, c.typed}
}

func refuse(rule, detail string) *fault.Fault { return fault.Field("password", rule, detail) }
