package displayname_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/displayname"
)

func TestCheck(t *testing.T) {
	for given, want := range map[string]string{
		"Ada":                          "Ada",
		" \tAda Lovelace\u3000\n":      "Ada Lovelace",
		"Jose\u0301":                   "José",
		"O'Brien-Smith, Jr.":           "O'Brien-Smith, Jr.",
		"<b>Acme & Söhne</b>":          "<b>Acme & Söhne</b>",
		"山田\u3000太郎":                   "山田\u3000太郎",
		"辻\U000E0100":                  "辻\U000E0100",
		"שלום":                         "שלום",
		"Nguye\u0302\u0303n":           "Nguyễn",
		"हिन्दी":                       "हिन्दी",
		"Fans \u2764\uFE0F":            "Fans \u2764\uFE0F",
		"Latin \u0430nd Cyrillic":      "Latin \u0430nd Cyrillic",
		strings.Repeat("a", 200):       strings.Repeat("a", 200),
		strings.Repeat("𠀀", 200):       strings.Repeat("𠀀", 200),
		strings.Repeat("e\u0301", 200): strings.Repeat("é", 200),
	} {
		got, err := displayname.Check("display_name", given)
		if err != nil || got != want {
			t.Errorf("Check(%+q) = %+q, %v; want %+q", given, got, err, want)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ given, rule string }{
		"empty":                  {"", "length"},
		"white space only":       {" \u3000\t", "length"},
		"201 characters":         {strings.Repeat("a", 201), "length"},
		"804 bytes":              {strings.Repeat("𠀀", 201), "length"},
		"64 KiB":                 {strings.Repeat("a", 64<<10), "length"},
		"64 KiB of white space":  {strings.Repeat(" ", 64<<10) + "Ada", "length"},
		"64 KiB of marks":        {"a" + strings.Repeat("\u0301\u0302", 16<<10), "length"},
		"longer when composed":   {strings.Repeat("\u0958", 200), "length"},
		"invalid UTF-8":          {"A\xc3da", "utf8"},
		"surrogate":              {"A\xed\xa0\x80", "utf8"},
		"null byte":              {"A\x00da", "characters"},
		"line break":             {"Ada\nLovelace", "characters"},
		"line separator":         {"Ada\u2028Lovelace", "characters"},
		"escape":                 {"\x1b[31mAda", "characters"},
		"bidi override":          {"Ada \u202Egpj.exe", "characters"},
		"bidi isolate":           {"\u2067Ada", "characters"},
		"right-to-left mark":     {"Ada\u200F", "characters"},
		"zero-width space":       {"A\u200Bda", "characters"},
		"joiner":                 {"A\u200Dda", "characters"},
		"non-joiner":             {"A\u200Cda", "characters"},
		"byte order mark":        {"\uFEFFAda", "characters"},
		"private use":            {"\uF8FF Inc.", "characters"},
		"tag":                    {"Ada\U000E0041", "characters"},
		"noncharacter":           {"Ada\uFFFF", "characters"},
		"unassigned":             {"Ada\U000E1000", "characters"},
		"Hangul filler only":     {"\u3164", "characters"},
		"blank braille only":     {"\u2800", "characters"},
		"grapheme joiner":        {"A\u034Fda", "characters"},
		"selector at the start":  {"\uFE0FAda", "characters"},
		"two selectors":          {"\u2764\uFE0F\uFE0E", "characters"},
		"selector after a space": {"A \uFE0F", "characters"},
		"five marks":             {"Ada\u0300\u0301\u0302\u0303\u0304", "marks"},
		"enclosing marks":        {"Ada\u20DD\u20DE\u20DF\u20E0\u20E2", "marks"},
		"one mark twice":         {"A\u0301\u0301da", "marks"},
		"mark at the start":      {"\u0301Ada", "marks"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := displayname.Check("display_name", tc.given)
			f, ok := fault.As(err)
			if !ok || f.Reason != commonv1.Reason_INVALID_FIELD || f.Meta["field"] != "display_name" || f.Meta["rule"] != tc.rule {
				t.Errorf("Check = %+q, %v; want rule %s", got, err, tc.rule)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	for given, want := range map[string]string{
		"":                           "",
		"🙂 !?":                       "",
		"Ada Lovelace":               "ada|lovelace",
		"Ada ADA ada":                "ada",
		"O'Brien-Smith, Jr.":         "o|brien|smith|jr",
		"Straße":                     "strasse",
		"ＡＣＭＥ　ＧｍｂＨ":                  "acme|gmbh",
		"Jose\u0301 Müller":          "josé|müller",
		"辻\U000E0100 山":              "辻|山",
		"x\u0341\uFE0F\u1CD9y":       "x\u1CD9\u0301y",
		"a\uFFA0b\u3164c":            "abc",
		"Room 101":                   "room|101",
		"a b c d e f g h i j":        "a|b|c|d|e|f|g|h",
		strings.Repeat("x", 40):      strings.Repeat("x", 32),
		strings.Repeat("山", 20):      strings.Repeat("山", 10),
		strings.Repeat("ﷺ", 1000):    "صلى|الله|عليه|وسلمصلى|وسلم", // a ligature of four words
		strings.Repeat("a ", 32<<10): "a",
	} {
		got := string(bytes.Join(displayname.Keys(given), []byte("|")))
		if got != want {
			t.Errorf("Keys(%+q) = %q, want %q", given, got, want)
		}
	}
}

// FuzzName: a name or an error; a checked name is as it stays; keys are bounded,
// whole characters, and their own keys.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"Ada Lovelace", "Straße", "e\u0301", "\x00", "\u202E", "ﷺ", "\u0345\u0301", "辻\U000E0100", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(laws)
}

// TestWords makes names of any characters and many marks: what mutations of bytes
// rarely come to.
func TestWords(t *testing.T) {
	var all, marks []rune
	for r := range rune(utf8.MaxRune + 1) {
		if unicode.IsGraphic(r) && !unicode.In(r, unicode.Unified_Ideograph, unicode.Hangul) {
			all = append(all, r)
		}
		if unicode.Is(unicode.M, r) {
			marks = append(marks, r)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		var w []rune
		for range 1 + random.IntN(6) {
			w = append(w, all[random.IntN(len(all))])
			if random.IntN(2) == 0 {
				w = append(w, marks[random.IntN(len(marks))])
			}
		}
		laws(t, strings.Repeat(string(w), 1+random.IntN(3)))
	}
}

func laws(t *testing.T, text string) {
	t.Helper()
	if name, err := displayname.Check("name", text); err == nil {
		if n := utf8.RuneCountInString(name); n < 1 || n > displayname.MaxRunes || len(name) > displayname.MaxBytes {
			t.Errorf("Check(%+q) = %+q", text, name)
		}
		if again, err := displayname.Check("name", name); err != nil || again != name {
			t.Errorf("Check(%+q) = %+q; checked again %+q, %v", text, name, again, err)
		}
	} else if _, ok := fault.As(err); !ok {
		t.Errorf("Check(%+q) = %+q, %v", text, name, err)
	}
	keys := displayname.Keys(text)
	if len(keys) > displayname.MaxKeys {
		t.Errorf("%d keys", len(keys))
	}
	for _, key := range keys {
		if len(key) == 0 || len(key) > displayname.MaxKeyBytes || !utf8.Valid(key) {
			t.Errorf("Keys(%+q) has %+q", text, key)
		}
		if again := displayname.Keys(string(key)); !slices.EqualFunc(again, [][]byte{key}, bytes.Equal) {
			t.Errorf("key %+q of %+q has the keys %+q", key, text, again)
		}
	}
}
