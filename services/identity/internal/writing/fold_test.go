package writing_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/meridian-iam/meridian/services/identity/internal/writing"
)

func TestFold(t *testing.T) {
	for given, want := range map[string]string{
		"":              "",
		"Ada":           "ada",
		"STRASSE":       "strasse",
		"straße":        "strasse",
		"ＡＤＡ":           "ada",
		"ﬁnance":        "finance",
		"Ⅻ":             "xii",
		"ΣΊΣΥΦΟΣ":       "σίσυφοσ",
		"cafe\u0301":    "café",
		"\u212Aelvin":   "kelvin",
		"\u0130stanbul": "i\u0307stanbul",
		"\u13A0\uAB70":  "\u13A0\u13A0",
	} {
		if got := writing.Fold(given); got != want {
			t.Errorf("Fold(%+q) = %+q, want %+q", given, got, want)
		}
	}
}

// FuzzFold: folding twice changes nothing, and texts equal under simple case
// folding fold to the same. Left out is the iota subscript, which as a capital is
// no mark: canonical order moves the one, and not the other.
func FuzzFold(f *testing.F) {
	for _, seed := range []string{"Ada", "straße", "ﬁ", "\u0345\u0301", "\u1FB3", "ǰ", "ΐ", "\u13A0", "\u03F4"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1024 || !utf8.ValidString(text) {
			return
		}
		folded := writing.Fold(text)
		if again := writing.Fold(folded); again != folded {
			t.Errorf("Fold(%+q) = %+q, and again %+q", text, folded, again)
		}
		if strings.ContainsRune(norm.NFD.String(text), '\u0345') {
			return
		}
		if upper := strings.ToUpper(text); strings.EqualFold(upper, text) && writing.Fold(upper) != folded {
			t.Errorf("%+q and %+q are equal by case, but fold to %+q and %+q", text, upper, folded, writing.Fold(upper))
		}
	})
}
