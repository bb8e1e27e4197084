package writing_test

import (
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/services/identity/internal/writing"
)

func TestOneWriting(t *testing.T) {
	for word, want := range map[string]bool{
		"":                            true,
		"ada-1_2!":                    true,
		"почта":                       true,
		"latin漢字ひらカタ":                 true,
		"latin漢ㄨ":                     true,
		"latin漢김":                     true,
		"ひ김":                          false,
		"ㄨ김":                          false,
		"\u0430dmin":                  false,
		"漢\u0430":                     false,
		"αб":                          false,
		"e\u0301":                     true,
		"1\u0967":                     false,
		"\u0967\u0968":                true,
		"\u0660\u06F0":                false,
		"\U0001D7CE\U0001D7D8":        false, // two of five alphabets of mathematical digits, which follow each other
		strings.Repeat("漢a", 100_000): true,
	} {
		if got := writing.OneWriting(word); got != want {
			t.Errorf("OneWriting(%.20q) = %v", word, got)
		}
	}
}

func TestStacked(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                   false,
		"a\u0300\u0301\u0302\u0303":          false,
		"a\u0300\u0301\u0302\u0303b\u0300":   false,
		"a\u0300\u0301\u0302\u0303\u0304":    true,
		"a\u0301\u0301":                      true,
		"a\u0301b\u0301":                     false,
		"a\u0301\u0300\u0301":                false,
		strings.Repeat("\u0301\u0300", 1000): true,
	} {
		if got := writing.Stacked(text); got != want {
			t.Errorf("Stacked(%.40q) = %v", text, got)
		}
	}
}
