package authzen

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestIDs(t *testing.T) {
	for id, want := range map[string]string{
		"anna": "anna", "beth@the-smiths.com": "beth@the-smiths.com", "/users/{userId}": "/users/{userId}", "50%": "50%", "%zz": "%zz",
		"a b": "a%20b", "a:b": "a%3Ab", "#": "%23", "a\nb": "a%0Ab", "caf\u00e9": "caf\u00e9", "a\u00a0b": "a%C2%A0b",
		"a%20b": "a%2520b", "a%2520b": "a%252520b", "a%41b": "a%41b", "%25": "%25", "a%3ab": "a%3ab", "%": "%", "%2": "%2", "*": "*",
	} {
		if got := escape(id); got != want || unescape(got) != id {
			t.Errorf("escape(%q) = %q, want %q; back: %q", id, got, want, unescape(got))
		}
	}
}

// Every id of AuthZEN is one of Meridian, and the other way round.
func FuzzIDs(f *testing.F) {
	for _, seed := range []string{"", "a b", "%2525%20", "%C2\u00a0", "%%20", "\u2028", "%E2%80%A8", "%252", "#%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return // refused before
		}
		escaped := escape(text)
		if back := unescape(escaped); back != text {
			t.Errorf("%q is %q is %q", text, escaped, back)
		}
		if strings.ContainsFunc(escaped, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == ':' || r == '#' }) {
			t.Errorf("%q holds what ids may not hold", escaped)
		}
		if !strings.ContainsFunc(text, refused) { // an id of Meridian
			if back := escape(unescape(text)); back != text {
				t.Errorf("%q of Meridian is %q, and that is %q", text, unescape(text), back)
			}
		}
	})
}
