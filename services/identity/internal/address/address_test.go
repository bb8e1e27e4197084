package address_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
	"github.com/meridian-iam/meridian/services/identity/internal/writing"
)

func TestParse(t *testing.T) {
	local64 := strings.Repeat("a", 64)
	domain189 := strings.Repeat(strings.Repeat("b", 62)+".", 2) + strings.Repeat("c", 59) + ".de"
	for name, tc := range map[string]struct {
		given, text, canonical, domain string
	}{
		"plain":                   {"ada@example.com", "ada@example.com", "ada@example.com", "example.com"},
		"white space around":      {" \t\u00A0ada@example.com\r\n", "ada@example.com", "ada@example.com", "example.com"},
		"case":                    {"Ada.Lovelace@EXAMPLE.com", "Ada.Lovelace@EXAMPLE.com", "ada.lovelace@example.com", "example.com"},
		"all of atext":            {"a!#$%&'*+-/=?^_`{|}~0@a.example", "a!#$%&'*+-/=?^_`{|}~0@a.example", "a!#$%&'*+-/=?^_`{|}~0@a.example", "a.example"},
		"tag is kept":             {"ada+news@example.com", "ada+news@example.com", "ada+news@example.com", "example.com"},
		"longest":                 {local64 + "@" + domain189, local64 + "@" + domain189, local64 + "@" + domain189, domain189},
		"full width":              {"ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ada@example.com", "example.com"},
		"small at":                {"ada\uFE6Bexample.com", "ada\uFE6Bexample.com", "ada@example.com", "example.com"},
		"ideographic stop":        {"ada@example\u3002com", "ada@example\u3002com", "ada@example.com", "example.com"},
		"decomposed":              {"jose\u0301@example.com", "josé@example.com", "josé@example.com", "example.com"},
		"upper with accent":       {"JOSÉ@example.com", "JOSÉ@example.com", "josé@example.com", "example.com"},
		"sharp s folds":           {"Straße@example.com", "Straße@example.com", "strasse@example.com", "example.com"},
		"sharp s in domain":       {"a@straße.de", "a@straße.de", "a@xn--strae-oqa.de", "xn--strae-oqa.de"},
		"u-label":                 {"a@Bücher.example", "a@Bücher.example", "a@xn--bcher-kva.example", "xn--bcher-kva.example"},
		"a-label":                 {"a@XN--BCHER-KVA.example", "a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example", "xn--bcher-kva.example"},
		"final sigma":             {"ΣΊΣΥΦΟΣ@example.com", "ΣΊΣΥΦΟΣ@example.com", "σίσυφοσ@example.com", "example.com"},
		"long s":                  {"\u017Fam@example.com", "\u017Fam@example.com", "sam@example.com", "example.com"},
		"Kelvin sign":             {"\u212Aim@example.com", "Kim@example.com", "kim@example.com", "example.com"},
		"ligature":                {"\uFB01n@example.com", "\uFB01n@example.com", "fin@example.com", "example.com"},
		"all Cyrillic":            {"почта@пример.рф", "почта@пример.рф", "почта@xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai"},
		"scripts by label":        {"почта@mail.пример.рф", "почта@mail.пример.рф", "почта@mail.xn--e1afmkfd.xn--p1ai", "mail.xn--e1afmkfd.xn--p1ai"},
		"Japanese with Latin":     {"jp山田タロウさん@example.jp", "jp山田タロウさん@example.jp", "jp山田タロウさん@example.jp", "example.jp"},
		"Chinese with Bopomofo":   {"王ㄨㄤ@example.tw", "王ㄨㄤ@example.tw", "王ㄨㄤ@example.tw", "example.tw"},
		"Korean with Latin":       {"kim김@example.kr", "kim김@example.kr", "kim김@example.kr", "example.kr"},
		"half-width Katakana":     {"ﾔﾏﾀﾞ@example.jp", "ﾔﾏﾀﾞ@example.jp", "ヤマダ@example.jp", "example.jp"},
		"Hebrew":                  {"שלום@example.com", "שלום@example.com", "שלום@example.com", "example.com"},
		"Devanagari":              {"हिन्दी@example.com", "हिन्दी@example.com", "हिन्दी@example.com", "example.com"},
		"Devanagari with digits":  {"हिन्दी४२@example.com", "हिन्दी४२@example.com", "हिन्दी४२@example.com", "example.com"},
		"Cherokee":                {"\uAB70\u13A0@example.com", "\uAB70\u13A0@example.com", "\u13A0\u13A0@example.com", "example.com"},
		"Vietnamese, decomposed":  {"Vie\u0323\u0302t@example.com", "Việt@example.com", "việt@example.com", "example.com"},
		"dotless i is its own":    {"m\u0131ke@example.com", "m\u0131ke@example.com", "m\u0131ke@example.com", "example.com"},
		"mathematical letters":    {"\U0001D41A\U0001D41D\U0001D41A@example.com", "\U0001D41A\U0001D41D\U0001D41A@example.com", "ada@example.com", "example.com"},
		"hyphens and digits":      {"007@a-1.b--c.example", "007@a-1.b--c.example", "007@a-1.b--c.example", "a-1.b--c.example"},
		"registry with a hyphen":  {"a@example.xn--vermgensberatung-pwb", "a@example.xn--vermgensberatung-pwb", "a@example.xn--vermgensberatung-pwb", "example.xn--vermgensberatung-pwb"},
		"circled digit is number": {"a\u2460@example.com", "a\u2460@example.com", "a1@example.com", "example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := address.Parse(tc.given)
			if err != nil {
				t.Fatal(err)
			}
			if got.Text != tc.text || got.Canonical != tc.canonical || got.Domain != tc.domain {
				t.Errorf("Parse(%+q) = %+q, %+q, %+q", tc.given, got.Text, got.Canonical, got.Domain)
			}
		})
	}
}

func TestMailbox(t *testing.T) {
	for given, want := range map[string]string{
		"Ada.L+x@EXAMPLE.com\n": "Ada.L+x@example.com",
		"ＡＤＡ＠ｅｘａｍｐｌｅ．ｃｏｍ":       "ADA@example.com",
		"Straße@Straße.de":      "Straße@xn--strae-oqa.de",
		"Почта@пример.рф":       "Почта@xn--e1afmkfd.xn--p1ai",
	} {
		if a, err := address.Parse(given); err != nil || a.Mailbox != want {
			t.Errorf("Parse(%+q).Mailbox = %+q, %v; want %+q", given, a.Mailbox, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ given, rule string }{
		"empty":                       {"", "format"},
		"only white space":            {" \t\n", "format"},
		"no at":                       {"ada.example.com", "format"},
		"two ats":                     {"ada@b@example.com", "format"},
		"two ats, one of full width":  {"ada@b＠example.com", "format"},
		"no local part":               {"@example.com", "local_part"},
		"no domain":                   {"ada@", "domain"},
		"255 bytes":                   {strings.Repeat("a", 60) + "@" + strings.Repeat("b", 60) + "." + strings.Repeat("c", 60) + "." + strings.Repeat("d", 60) + "." + strings.Repeat("e", 11), "length"},
		"64 KiB":                      {strings.Repeat("a", 64<<10) + "@example.com", "length"},
		"64 KiB of white space":       {strings.Repeat(" ", 64<<10) + "ada@example.com", "length"},
		"64 KiB of marks":             {"a" + strings.Repeat("\u0301", 32<<10) + "@example.com", "length"},
		"64 KiB of ats":               {strings.Repeat("@", 64<<10), "length"},
		"local part of 65":            {strings.Repeat("a", 65) + "@example.com", "length"},
		"local part folds to 66":      {strings.Repeat("\uFB03", 22) + "@example.com", "length"},
		"composing makes it too long": {strings.Repeat("\u0958", 60) + "@" + strings.Repeat("b", 60) + ".de", "length"},
		"90 bytes that fold to 60":    {strings.Repeat("\u1E9E", 30) + "@example.com", "length"},
		"label of 64":                 {"a@" + strings.Repeat("b", 64) + ".com", "domain"},
		"domain of 322 as A-labels":   {"a@" + strings.Repeat("ü.", 40) + "de", "domain"},
		"263 bytes by its A-labels":   {strings.Repeat("a", 20) + "@" + strings.Repeat("ü.", 30) + "de", "length"},
		"invalid UTF-8":               {"ad\xffa@example.com", "utf8"},
		"half a surrogate pair":       {"a\xed\xa0\x80@example.com", "utf8"},
		"null byte":                   {"ada\x00@example.com", "characters"},
		"null byte in the domain":     {"ada@example.com\x00.evil.example", "characters"},
		"null byte at the end":        {"ada@example.com\x00", "characters"},
		"line break":                  {"ada@example.com\r\nBcc: eve@example.com", "characters"},
		"delete":                      {"ada\x7f@example.com", "characters"},
		"inner space":                 {"ada lovelace@example.com", "characters"},
		"no-break space":              {"ada\u00A0l@example.com", "characters"},
		"bidi override":               {"\u202Eada@example.com", "characters"},
		"bidi isolate":                {"ada@\u2066example.com", "characters"},
		"right-to-left mark":          {"ada\u200F@example.com", "characters"},
		"zero-width space":            {"a\u200Bda@example.com", "characters"},
		"joiner":                      {"a\u200Dda@example.com", "characters"},
		"soft hyphen":                 {"ada@exam\u00ADple.com", "characters"},
		"byte order mark":             {"a\uFEFFda@example.com", "characters"},
		"tag character":               {"ada\U000E0041@example.com", "characters"},
		"grapheme joiner":             {"a\u034Fda@example.com", "characters"},
		"variation selector":          {"ada@exam\uFE0Fple.com", "characters"},
		"Hangul filler":               {"\u3164@example.com", "characters"},
		"blank braille":               {"\u2800@example.com", "characters"},
		"private use":                 {"a\uE000@example.com", "characters"},
		"noncharacter":                {"a\uFFFE@example.com", "characters"},
		"unassigned":                  {"a\U000E1000@example.com", "characters"},
		"replacement character":       {"a\uFFFD@example.com", "local_part"},
		"piled marks":                 {"a\u0300\u0301\u0302\u0303\u0304@example.com", "marks"},
		"one mark twice":              {"a\u0301\u0301@example.com", "marks"},
		"one mark twice, composed":    {"\uFB36\u05BC@example.com", "marks"},
		"one mark twice, reordered":   {"\U00010F3A\U00010F4A\U00010F46\U00010F4A@example.com", "marks"},
		"piled marks, taken apart":    {"\u0F50\u0F79\U0001D186\u0FA6@example.com", "marks"},
		"leading mark":                {"\u0301a@example.com", "local_part"},
		"quoted":                      {`"ada"@example.com`, "local_part"},
		"quoted with at":              {`"ada@x"@example.com`, "format"},
		"escaped":                     {`a\da@example.com`, "local_part"},
		"comment":                     {"ada(x)@example.com", "local_part"},
		"angle brackets":              {"<ada@example.com>", "local_part"},
		"list":                        {"a,b@example.com", "local_part"},
		"route":                       {"a:b@example.com", "local_part"},
		"full-width comma":            {"a，b@example.com", "local_part"},
		"leading dot":                 {".ada@example.com", "local_part"},
		"trailing dot":                {"ada.@example.com", "local_part"},
		"two dots":                    {"a..da@example.com", "local_part"},
		"dot leader makes two dots":   {"a\u2025da@example.com", "local_part"},
		"symbol":                      {"\u2665@example.com", "local_part"},
		"emoji":                       {"\U0001F600@example.com", "local_part"},
		"Arabic ligature with spaces": {"\uFDFA@example.com", "local_part"},
		"Hebrew after Latin":          {"aש@example.com", "scripts"},
		"digit before Hebrew":         {"1שלום@example.com", "local_part"},
		"Cyrillic a in Latin":         {"\u0430dmin@example.com", "scripts"},
		"Greek o in Latin":            {"r\u03BFot@example.com", "scripts"},
		"micro sign in Latin":         {"\u00B5torrent@example.com", "scripts"},
		"Armenian in Latin":           {"\u0578aomi@example.com", "scripts"},
		"Cherokee in Latin":           {"\u13A0ada@example.com", "scripts"},
		"Greek beside Cyrillic":       {"\u03B1\u0431@example.com", "scripts"},
		"Kana beside Hangul":          {"さん김@example.com", "scripts"},
		"Cyrillic beside Han":         {"\u0430山@example.com", "scripts"},
		"digits of two scripts":       {"1\u0967@example.com", "scripts"},
		"Cyrillic a in the domain":    {"ada@ex\u0430mple.com", "scripts"},
		"the same as A-label":         {"ada@xn--exmple-4nf.com", "scripts"},
		"one label":                   {"ada@localhost", "domain"},
		"dot at the end":              {"ada@example.com.", "domain"},
		"dot at the start":            {"ada@.example.com", "domain"},
		"two dots in the domain":      {"ada@example..com", "domain"},
		"IPv4":                        {"ada@192.0.2.1", "domain"},
		"IPv4 of full width":          {"ada@１９２.０.２.１", "domain"},
		"address literal":             {"ada@[192.0.2.1]", "domain"},
		"IPv6 literal":                {"ada@[IPv6:2001:db8::1]", "domain"},
		"port":                        {"ada@example.com:25", "domain"},
		"path":                        {"ada@example.com/x", "domain"},
		"fraction slash":              {"ada@example.com\u2044x.de", "domain"},
		"percent escape":              {"ada@example%2Ecom", "domain"},
		"underscore":                  {"ada@ex_ample.com", "domain"},
		"hyphen at the start":         {"ada@-example.com", "domain"},
		"hyphen at the end":           {"ada@example-.com", "domain"},
		"broken A-label":              {"ada@xn--a.example", "domain"},
		"A-label of ASCII":            {"ada@xn--abc-.example", "domain"},
		"A-label with joiner":         {"ada@xn--ab-m1t.example", "domain"},
		"emoji domain":                {"ada@\U0001F4A9.la", "domain"},
		"emoji domain as A-label":     {"ada@xn--ls8h.la", "domain"},
		"heart in the domain":         {"ada@i\u2665.example", "domain"},
		"Hebrew beside Latin label":   {"ada@aש.example", "domain"},
		"comment in the domain":       {"ada@(x)example.com", "domain"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := address.Parse(tc.given)
			f, ok := fault.As(err)
			if !ok || f.Reason != commonv1.Reason_INVALID_FIELD || f.Meta["field"] != "email" || got != (address.Address{}) {
				t.Fatalf("Parse = %+q, %v", got.Canonical, err)
			}
			if f.Meta["rule"] != tc.rule {
				t.Errorf("rule is %q (%s), want %q", f.Meta["rule"], f.Detail, tc.rule)
			}
		})
	}
}

// TestPrinting: an address is personal data.
func TestPrinting(t *testing.T) {
	a, err := address.Parse("ada@example.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, a); got != "REDACTED" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("sign-up", slog.Any("address", a), slog.Any("command", struct{ Email address.Address }{a}))
	slog.New(slog.NewTextHandler(&log, nil)).Info("sign-up", slog.Any("address", a))
	if strings.Contains(log.String(), "ada") || strings.Contains(log.String(), "example.com") {
		t.Errorf("logged as %s", log.String())
	}
}

// TestEveryCharacter looks at each code point in a local part and in a domain; of
// ideographs and Hangul syllables, which are alike, at some.
func TestEveryCharacter(t *testing.T) {
	accepted := 0
	for r := range rune(utf8.MaxRune + 1) {
		if r%16 != 0 && unicode.In(r, unicode.Unified_Ideograph, unicode.Hangul) {
			continue
		}
		for _, text := range []string{string(r) + "@example.com", "a@" + string(r) + ".com"} {
			if a, err := address.Parse(text); err == nil {
				accepted++
				laws(t, text, a)
			}
		}
	}
	if accepted < 50_000 {
		t.Errorf("accepted %d, and there are more letters", accepted)
	}
}

// TestWords makes words of the letters of one script and of any marks: what
// mutations of bytes rarely come to.
func TestWords(t *testing.T) {
	var scripts [][]rune
	for _, name := range slices.Sorted(maps.Keys(unicode.Scripts)) {
		scripts = append(scripts, runes(unicode.Scripts[name]))
	}
	marks := runes(unicode.M)
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		var w []rune
		script := scripts[random.IntN(len(scripts))]
		for range 1 + random.IntN(4) {
			from := script
			if random.IntN(3) == 0 {
				from = marks
			}
			w = append(w, from[random.IntN(len(from))])
		}
		return string(w)
	}
	accepted := 0
	for range 30_000 {
		for _, text := range []string{word() + "@example.com", "a@" + word() + ".com"} {
			if a, err := address.Parse(text); err == nil {
				accepted++
				laws(t, text, a)
			}
		}
	}
	if accepted < 5_000 {
		t.Errorf("accepted %d", accepted)
	}
}

func runes(table *unicode.RangeTable) []rune {
	var all []rune
	for _, r := range table.R16 {
		for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
			all = append(all, c)
		}
	}
	for _, r := range table.R32 {
		for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
			all = append(all, c)
		}
	}
	return all
}

// FuzzParse: an address or an error; what is canonical is its own canonical form;
// texts that are equal by case are one address; errors quote nothing.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"ada@example.com", "Straße@Bücher.example", "ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "почта@пример.рф", "\uAB70@example.com",
		"\u0130@example.com", "jose\u0301@example.com", "שלום@example.com", "a@xn--bcher-kva.de", "a\u2025@b.c", "\x00@\x00", "@@", "ǰ@a.b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := address.Parse(text)
		if err != nil {
			quoting(t, text, err)
			if a != (address.Address{}) {
				t.Errorf("Parse(%+q) returns an address and %v", text, err)
			}
			return
		}
		laws(t, text, a)
	})
}

// laws are those of every address: bounded, and each of its forms is the same
// address.
func laws(t *testing.T, text string, a address.Address) {
	t.Helper()
	if max(len(a.Text), len(a.Mailbox), len(a.Canonical)) > address.MaxBytes || !utf8.ValidString(a.Text) || !strings.HasSuffix(a.Canonical, "@"+a.Domain) {
		t.Errorf("Parse(%+q) = %+q, %+q, %+q", text, a.Text, a.Canonical, a.Domain)
	}
	for _, want := range []address.Address{
		a,
		{Text: a.Mailbox, Mailbox: a.Mailbox, Canonical: a.Canonical, Domain: a.Domain},
		{Text: a.Canonical, Mailbox: a.Canonical, Canonical: a.Canonical, Domain: a.Domain},
	} {
		if got, err := address.Parse(want.Text); err != nil || got != want {
			t.Errorf("Parse(%+q) has the form %+q, which parsed is %+q, %+q, %+q, %v", text, want.Text, got.Text, got.Mailbox, got.Canonical, err)
		}
	}
	sameByCase(t, a)
}

func sameByCase(t *testing.T, a address.Address) {
	t.Helper()
	local, domain, _ := strings.Cut(a.Canonical, "@")
	for _, other := range []string{strings.ToUpper(local), strings.ToTitle(local), writing.Fold(local)} {
		if other == local || !strings.EqualFold(other, local) {
			continue // not equal by case: I is not the capital of ı alone
		}
		got, err := address.Parse(other + "@" + strings.ToUpper(domain))
		if err == nil && got.Canonical != a.Canonical {
			t.Errorf("%+q and %+q are equal by case, but their canonical forms are %+q and %+q", local, other, a.Canonical, got.Canonical)
		}
	}
}

// quoting fails when an error holds the text.
func quoting(t *testing.T, text string, err error) {
	t.Helper()
	if _, ok := fault.As(err); !ok {
		t.Errorf("Parse(%+q): %T", text, err)
	}
	if len(text) > 12 && strings.Contains(err.Error(), text) {
		t.Errorf("the error quotes the text: %v", err)
	}
}
