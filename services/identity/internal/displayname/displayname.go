// Package displayname checks the names that people, organizations and groups are
// shown by, and makes the keys that they are searched by.
//
// A display name identifies nobody: two may have the same, or names that look
// alike.
package displayname

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/services/identity/internal/writing"
)

const (
	// MaxRunes bounds a name in characters.
	MaxRunes = 200
	// MaxBytes bounds it in bytes.
	MaxBytes = 800

	// maxInput bounds what is looked at, white space around the name included.
	maxInput = 2 * MaxBytes
)

// Check returns the name as it is to be stored: without white space around it, in
// NFC. Checking it again changes nothing.
//
// Errors: INVALID_FIELD of the field, by rule length (1 to 200 characters, at most
// 800 bytes), utf8, characters (control, format, private-use and invisible ones,
// joiners and bidi controls among them; a variation selector may follow what it
// varies) and marks (more than four in a row, one twice in a row, or at the start).
// No error holds any part of the text.
func Check(field, text string) (string, error) {
	if len(text) > maxInput {
		return "", tooLong(field)
	}
	if !utf8.ValidString(text) {
		return "", fault.Field(field, "utf8", "must be valid UTF-8")
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return "", fault.Field(field, "length", "must not be empty")
	}
	if err := characters(field, text); err != nil {
		return "", err
	}
	// Normalized after the marks are counted: the library separates longer rows.
	text = norm.NFC.String(text)
	if len(text) > MaxBytes || utf8.RuneCountInString(text) > MaxRunes {
		return "", tooLong(field)
	}
	if err := characters(field, text); err != nil {
		return "", err
	}
	return text, nil
}

func characters(field, text string) error {
	base := false // whether the character before can be varied
	for i, r := range text {
		switch {
		case unicode.Is(unicode.Variation_Selector, r) && base:
			base = false
			continue
		case !writing.Drawn(r) && !unicode.Is(unicode.Zs, r):
			return fault.Field(field, "characters", "must have no control, invisible or private-use characters")
		case i == 0 && unicode.Is(unicode.M, r):
			return fault.Field(field, "marks", "must not start with a combining mark")
		}
		base = !unicode.In(r, unicode.M, unicode.Zs)
	}
	if writing.Stacked(text) {
		return fault.Field(field, "marks", fmt.Sprintf("must have at most %d combining marks in a row, none twice", writing.MaxMarks))
	}
	return nil
}

func tooLong(field string) error {
	return fault.Field(field, "length", fmt.Sprintf("must have at most %d characters and %d bytes", MaxRunes, MaxBytes))
}
