package pages

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMatch(t *testing.T) {
	for name, tc := range map[string]struct {
		preferences []string
		want        locale
	}{
		"nothing":                         {nil, english},
		"a browser's":                     {[]string{"de-AT,de;q=0.9,en;q=0.8"}, german},
		"a browser's, English first":      {[]string{"en-GB,de;q=0.9"}, english},
		"another language first":          {[]string{"fr,de;q=0.5"}, german},
		"other languages only":            {[]string{"fr,ja"}, english},
		"the client's before a browser's": {[]string{"de", "en"}, german},
		"the client's that is unknown":    {[]string{"ja", "de"}, german},
		"in the client's order":           {[]string{"fr", "en", "de", "de"}, english},
		"refused":                         {[]string{"de;q=0"}, english},
		"malformed":                       {[]string{"-;,;;q", "de"}, german},
		"long":                            {[]string{strings.Repeat("de,", 100), "en"}, english},
		"many":                            {append(slices.Repeat([]string{"fr"}, 1000), "de"), german},
	} {
		t.Run(name, func(t *testing.T) {
			if got := match(tc.preferences...); got != tc.want {
				t.Errorf("match = %s, want %s", got, tc.want)
			}
		})
	}
}

// families are the members of families of texts that templates choose from.
var families = map[string][]string{
	"factor.%s.title": slices.Collect(maps.Keys(inputs)),
	"factor.%s.text":  slices.Collect(maps.Keys(inputs)),
	"factor.%s.label": {"password", "new_password", "email_code", "totp", "recovery_code"},
	"problem.%s": {
		"password.wrong", "password.policy", "code.wrong", "passkey.wrong", "link.wrong", "email.invalid", "name.invalid", "user_code.wrong",
		"passkey.refused", "passkey.known", "full",
		"ended", "limited", "suspended", "organization_state", "factor_unavailable", "unknown",
	},
	"way.%s":             {"password", "email_code", "email_link", "totp", "recovery_code", "passkey", "no_password", "unknown"},
	"invitation.role.%s": {"member", "admin", "unknown"},
	"credential.%s":      {"password", "passkey", "totp", "recovery_codes", "unknown"},
	"scope.%s":           {"openid", "profile", "email", "offline_access", "unknown"},
	"error.%s.title":     errorTexts,
	"error.%s.text":      errorTexts,
	"month.%s":           {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"},
}

var errorTexts = []string{
	"invalid_request", "unauthorized_client", "access_denied", "unmet_authentication_requirements", "request_over", "slow_down", "temporarily_unavailable", "server_error", "unknown",
}

var (
	fixedKey   = regexp.MustCompile(`\b(?:text|rich) "([^"]+)"`)
	printedKey = regexp.MustCompile(`printf "([^"]+)"`)
	knownKey   = regexp.MustCompile(`\bknown "([^"]+)" [.A-Za-z]+(?: "([^"]+)")?`)
)

// used are the keys of the texts that templates name.
func used(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{"date": true}
	add := func(family string) {
		members, ok := families[family]
		if !ok {
			t.Errorf("family %s is unknown to the test", family)
		}
		for _, m := range members {
			out[strings.Replace(family, "%s", m, 1)] = true
		}
	}
	add("month.%s")
	err := fs.WalkDir(templates, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := templates.ReadFile(path)
		for _, m := range fixedKey.FindAllStringSubmatch(string(text), -1) {
			if m[1] != "scope.unknown" {
				out[m[1]] = true
			}
		}
		for _, m := range printedKey.FindAllStringSubmatch(string(text), -1) {
			add(m[1])
		}
		for _, m := range knownKey.FindAllStringSubmatch(string(text), -1) {
			family := m[1] + ".%s"
			if m[2] != "" {
				family += "." + m[2]
			}
			add(family)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCatalogs: each language has the texts that are used, no others, and puts the same
// into each.
func TestCatalogs(t *testing.T) {
	want := used(t)
	reference, err := loadCatalog(english)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range locales {
		c, err := loadCatalog(l)
		if err != nil {
			t.Fatal(err)
		}
		for key := range want {
			if c[key] == "" {
				t.Errorf("%s: no text %s", l, key)
			}
		}
		for key, text := range c {
			if !want[key] {
				t.Errorf("%s: text %s is not used", l, key)
			}
			if strings.TrimSpace(text) != text || strings.ContainsAny(text, "<>\n") {
				t.Errorf("%s: text %s is %q", l, key, text)
			}
			if got, want := placeholders(text), placeholders(reference[key]); !slices.Equal(got, want) {
				t.Errorf("%s: text %s puts in %v, want %v", l, key, got, want)
			}
		}
	}
}

func placeholders(text string) []string {
	return slices.Sorted(slices.Values(regexp.MustCompile(`\{[a-z]+\}`).FindAllString(text, -1)))
}

func TestTexts(t *testing.T) {
	c := catalog{"greeting": "Hello <{name}>, {other}", "problem.unknown": "oops", "problem.a.b": "ab", "error.x.title": "X", "error.unknown.title": "?"}
	for name, tc := range map[string]struct {
		got  func() (any, error)
		want string
	}{
		"values are put in once":            {func() (any, error) { return c.text("greeting", "name", "{other}", "other", "{name}") }, "Hello <{other}>, {name}"},
		"rich texts are escaped":            {func() (any, error) { return c.rich("greeting", "name", "<b>", "other", "") }, "Hello &lt;<bdi>&lt;b&gt;</bdi>&gt;, <bdi></bdi>"},
		"known":                             {func() (any, error) { return c.known("problem", Problem("a.b")) }, "ab"},
		"unknown":                           {func() (any, error) { return c.known("problem", Problem("c")) }, "oops"},
		"a part of known":                   {func() (any, error) { return c.known("error", "x", "title") }, "X"},
		"a part of unknown":                 {func() (any, error) { return c.known("error", "y", "title") }, "?"},
		"a key that is no member with part": {func() (any, error) { return c.known("error", "x.title", "title") }, "?"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.got()
			if err != nil || fmt.Sprint(got) != tc.want {
				t.Errorf("got %v, %v; want %s", got, err, tc.want)
			}
		})
	}
	for name, get := range map[string]func() (string, error){
		"no text":         func() (string, error) { return c.text("other") },
		"half a pair":     func() (string, error) { return c.text("greeting", "name") },
		"no unknown text": func() (string, error) { return c.known("way", "x") },
	} {
		if got, err := get(); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestDate(t *testing.T) {
	at := time.Date(2026, time.March, 3, 0, 30, 0, 0, time.FixedZone("", 3600))
	for l, want := range map[locale]string{english: "2 March 2026, 23:30 UTC", german: "2. März 2026, 23:30 UTC"} {
		c, err := loadCatalog(l)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.date(at); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", l, got, err, want)
		}
	}
}
