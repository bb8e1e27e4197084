// Package address reads email addresses as identifiers of people: what is one,
// and when two texts are the same one.
//
// It accepts less than RFC 5321 does. An address is a dot-atom at a domain name:
// no quoted local part, no comment, no address literal, no domain of one label.
//
// Lookalikes: a local part, and each label of a domain, is of one script, or of
// Latin beside the scripts that Chinese, Japanese and Korean are written in. So
// аdmin with a Cyrillic а is refused. Not caught are lookalikes within one script
// (ı and i) and words that look alike as a whole (a Cyrillic word of letters that
// all have a Latin double). Therefore mail goes to the address that was stored
// and confirmed, never to the text of a later request that has the same
// Canonical.
//
// Sources: RFC 5321 section 4.5.3.1, RFC 6531, RFC 8264 (IdentifierClass), RFC 8265
// section 3.3 with case folding for its lower-casing, RFC 5891, UTS #39 section 5.
package address

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/services/identity/internal/writing"
)

const (
	// MaxBytes bounds an address, as typed and canonical.
	MaxBytes = 254
	// MaxLocalBytes bounds a local part, in Mailbox and in Canonical.
	MaxLocalBytes = 64

	// maxInput bounds what is looked at, white space around the address included.
	maxInput = 4 * MaxBytes
)

// Address is a valid email address. Its parts are personal data, so it prints as
// REDACTED. The zero Address is none.
type Address struct {
	// Text is as the user typed it, without white space around it, in NFC: what
	// pages show and rows hold. Parsing it again gives the same Address.
	Text string
	// Mailbox is where mail goes: the local part in the case that it was typed in,
	// of plain instead of full-width letters, at Domain. One that is not ASCII
	// needs a mail server that knows SMTPUTF8.
	Mailbox string
	// Canonical is what uniqueness is by: two texts with one Canonical are one
	// address. It is valid itself, and its own Canonical.
	Canonical string
	// Domain is Canonical's domain: A-labels in lower case, no trailing dot.
	Domain string
}

// Parse reads an address. White space around it is dropped.
//
// Errors: INVALID_FIELD of field email, by rule length (254 bytes, 64 before the
// @), utf8, characters (white space inside, control and invisible characters),
// marks, format (not one @), local_part, domain and scripts. No error holds any
// part of the text.
func Parse(text string) (Address, error) {
	text, err := clean(text)
	if err != nil {
		return Address{}, err
	}
	// Compatibility forms of @ and of the dot separate as @ and the dot do.
	typed, domain, found := strings.Cut(norm.NFKC.String(text), "@")
	if !found || strings.Contains(domain, "@") {
		return Address{}, invalid("format", "must have one @, as in name@example.com")
	}
	local, err := localPart(typed)
	if err != nil {
		return Address{}, err
	}
	if domain, err = domainName(domain); err != nil {
		return Address{}, err
	}
	a := Address{Text: text, Mailbox: typed + "@" + domain, Canonical: local + "@" + domain, Domain: domain}
	if len(a.Canonical) > MaxBytes || len(a.Mailbox) > MaxBytes {
		return Address{}, tooLong()
	}
	return a, nil
}

// clean trims and composes, and refuses what no part of an address may hold.
func clean(text string) (string, error) {
	if len(text) > maxInput {
		return "", tooLong()
	}
	if !utf8.ValidString(text) {
		return "", invalid("utf8", "must be valid UTF-8")
	}
	text = strings.TrimSpace(text)
	if len(text) > MaxBytes {
		return "", tooLong()
	}
	// Looked at again in every form: normalizing takes characters apart and moves
	// their marks. Here first, because the library separates rows that are longer.
	if writing.Stacked(text) {
		return "", stacked()
	}
	for _, r := range text {
		if !writing.Drawn(r) {
			return "", invalid("characters", "must have no white space, control, invisible or private-use characters")
		}
	}
	text = norm.NFC.String(text)
	switch {
	case len(text) > MaxBytes:
		return "", tooLong()
	case writing.Stacked(text), writing.Stacked(norm.NFKC.String(text)):
		return "", stacked()
	}
	return text, nil
}

// atext are the characters of ASCII, beside letters, digits and the dot, that an
// atom may hold (RFC 5322 section 3.2.3).
const atext = "!#$%&'*+-/=?^_`{|}~"

// localPart folds a local part in NFKC.
func localPart(typed string) (string, error) {
	local := writing.Fold(typed)
	switch {
	case max(len(local), len(typed)) > MaxLocalBytes:
		return "", invalid("length", fmt.Sprintf("must have at most %d bytes before the @", MaxLocalBytes))
	case writing.Stacked(local):
		return "", stacked()
	case local == "" || strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, ".."):
		return "", invalid("local_part", "must have a name before the @, with no dot at its start or end and no two dots in a row")
	case strings.ContainsFunc(local, notAtom):
		return "", invalid("local_part", "must be without quotes, comments and separators before the @")
	case !writing.OneWriting(local):
		return "", mixed("the part before the @")
	}
	// Only checks: what is folded and composed is as the profile wants it.
	checked, err := precis.UsernameCasePreserved.String(local)
	if err != nil || checked != local {
		return "", invalid("local_part", "has characters before the @ that no name may have")
	}
	return local, nil
}

func notAtom(r rune) bool {
	switch {
	case r >= utf8.RuneSelf, r == '.', '0' <= r && r <= '9', 'a' <= r && r <= 'z':
		return false
	}
	return !strings.ContainsRune(atext, r)
}

// String implements fmt.Stringer.
func (Address) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Address) GoString() string { return redacted }

// MarshalText keeps the address out of logs, and out of JSON that nobody meant.
func (Address) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const redacted = "REDACTED"

func invalid(rule, text string) error { return fault.Field("email", rule, text) }

func tooLong() error {
	return invalid("length", fmt.Sprintf("must have at most %d bytes", MaxBytes))
}

func stacked() error {
	return invalid("marks", fmt.Sprintf("must have at most %d combining marks in a row, none twice", writing.MaxMarks))
}

func mixed(part string) error {
	return invalid("scripts", part+" must not mix scripts whose letters look alike, nor digits of two scripts")
}
