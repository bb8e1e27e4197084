package password

import (
	"context"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// Bounds of a policy.
const (
	// LeastMinLength is right only beside a second factor; where the password is
	// the only one, SP 800-63B-4 asks for 15.
	LeastMinLength     = 8
	DefaultMinLength   = 12
	GreatestMinLength  = 64
	LeastMaxLength     = 64
	DefaultMaxLength   = 256
	GreatestMaxLength  = maxBytes
	GreatestHistory    = 24
	identityWordLength = 4
	identityBytes      = 512
)

// Policy says which passwords may be set. It is not asked when somebody signs
// in. There are no rules of composition, which SP 800-63B-4 forbids.
type Policy struct {
	// MinLength in code points; 0 means 12.
	MinLength int
	// MaxLength in bytes of UTF-8; 0 means 256.
	MaxLength int
	// ForbidBreached refuses passwords of the list of breached ones.
	ForbidBreached bool
	// ForbidIdentity refuses passwords that contain the user's name or email.
	ForbidIdentity bool
	// History is how many former passwords must not be used again; 0 to 24.
	History int
}

// Context is whose password it is. Both may be absent.
type Context struct {
	Email string
	Name  string
}

// Validate says whether the policy is one.
//
// Errors: INVALID_FIELD (min_length, max_length, history; rule range).
//
// Source: NIST SP 800-63B-4, section 3.1.1.2.
func (p Policy) Validate() error {
	p = p.withDefaults()
	switch {
	case p.MinLength < LeastMinLength || p.MinLength > GreatestMinLength:
		return fault.Field("min_length", "range", "must be 8 to 64")
	case p.MaxLength < LeastMaxLength || p.MaxLength > GreatestMaxLength:
		return fault.Field("max_length", "range", "must be 64 to 1024")
	case p.History < 0 || p.History > GreatestHistory:
		return fault.Field("history", "range", "must be 0 to 24")
	}
	return nil
}

func (p Policy) withDefaults() Policy {
	fill(&p.MinLength, DefaultMinLength)
	fill(&p.MaxLength, DefaultMaxLength)
	return p
}

// Check says whether a password may be set, as far as that can be told from the
// password. CheckBreached and CheckHistory ask the rest.
//
// Errors: INVALID_FIELD (password: utf8, null, characters, min_length,
// max_length, identity).
func (p Policy) Check(password secret.String, who Context) error {
	p = p.withDefaults()
	c, err := read(password)
	switch {
	case err != nil:
		return err
	case c.unstorable != nil:
		return c.unstorable
	case utf8.RuneCountInString(c.normal) < p.MinLength:
		return refuse("min_length", "is too short")
	case max(len(c.normal), len(c.typed)) > p.MaxLength:
		return refuse("max_length", "is too long")
	case p.ForbidIdentity && containsIdentity(c.normal, who):
		return refuse("identity", "must not contain the name or the email address")
	}
	return nil
}

// CheckBreached looks a password up in the list, if the policy asks for it.
//
// Errors: INVALID_FIELD (password: breached), SERVICE_UNAVAILABLE when there is no
// list, and those of Breached.Contains.
func (p Policy) CheckBreached(ctx context.Context, list *Breached, password secret.String) error {
	if !p.ForbidBreached {
		return nil
	}
	if list == nil {
		return noList(errNoList)
	}
	found, err := list.Contains(ctx, password)
	switch {
	case err != nil:
		return err
	case found:
		return refuse("breached", "is known from a breach of another service")
	}
	return nil
}

// CheckHistory compares a password with the stored hashes of former ones, the
// newest first. Each costs a verification.
//
// Errors: INVALID_FIELD (password: history), and those of Hasher.Verify.
func (p Policy) CheckHistory(ctx context.Context, h *Hasher, former []string, password secret.String) error {
	for _, encoded := range former[:min(len(former), max(0, p.History))] {
		result, err := h.Verify(ctx, encoded, password)
		switch {
		case err != nil:
			return err
		case result.Match:
			return refuse("history", "was used before")
		}
	}
	return nil
}

// containsIdentity looks for the local part of the email address, the name, and
// the words of both that have four code points or more. Case and width of the
// letters do not matter.
func containsIdentity(password string, who Context) bool {
	local, _, _ := strings.Cut(clip(who.Email), "@")
	name := clip(who.Name)
	words := append([]string{local, name, strings.Join(strings.Fields(name), "")}, strings.FieldsFunc(local, separates)...)
	words = append(words, strings.FieldsFunc(name, separates)...)
	text := folded(password)
	for _, word := range words {
		word = folded(word)
		if utf8.RuneCountInString(word) >= identityWordLength && strings.Contains(text, word) {
			return true
		}
	}
	return false
}

func separates(r rune) bool { return strings.ContainsRune(".-_+, \t'\"()", r) }

func folded(s string) string { return cases.Fold().String(norm.NFKC.String(s)) }

// clip bounds the work on a name that nobody has.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), identityBytes)], "") }
