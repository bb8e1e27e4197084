package cli_test

import (
	"strings"
	"testing"

	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/meridian/internal/cli"
)

// A record is one line that a zone file takes, whatever its value holds.
func TestZoneLine(t *testing.T) {
	for value, want := range map[string]string{
		"meridian=abc":           `"meridian=abc"`,
		"":                       `""`,
		`say "hi" \ bye`:         `"say \"hi\" \\ bye"`,
		"a\nb\x7f":               `"a\010b\127"`,
		strings.Repeat("x", 255): `"` + strings.Repeat("x", 255) + `"`,
		strings.Repeat("x", 256): `"` + strings.Repeat("x", 255) + `" "x"`,
		"ü":                      `"\195\188"`,
	} {
		got := cli.ZoneLine(&identityv1.Domain{RecordName: "_m.acme.example.", RecordValue: value})
		if got != "_m.acme.example. 300 IN TXT "+want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	if got := cli.ZoneLine(&identityv1.Domain{}); got != "" {
		t.Errorf("no record: %q", got)
	}
}

func TestReadSecret(t *testing.T) {
	for text, want := range map[string]string{
		"correct horse":           "correct horse",
		"correct horse\n":         "correct horse",
		"correct horse\r\n":       "correct horse",
		" with spaces \n":         " with spaces ",
		strings.Repeat("x", 4096): strings.Repeat("x", 4096),
		"":                        "",
		"\n":                      "",
		"one\ntwo\n":              "",
		"one\n\n":                 "",
		strings.Repeat("x", 4097): "",
	} {
		got, err := cli.ReadSecret(strings.NewReader(text))
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "one") && strings.Contains(err.Error(), "two") {
			t.Errorf("the error quotes what was read: %v", err)
		}
	}
}

func TestWords(t *testing.T) {
	for word, want := range map[string]identityv1.MembershipSource{
		"": 0, "jit": identityv1.MembershipSource_MEMBERSHIP_SOURCE_JIT, "invitation": identityv1.MembershipSource_MEMBERSHIP_SOURCE_INVITATION,
	} {
		if got, err := cli.ChooseSource(word); got != want || err != nil {
			t.Errorf("%q: %v, %v", word, got, err)
		}
	}
	for _, word := range []string{"JIT", "unspecified", "MEMBERSHIP_SOURCE_JIT", "5"} {
		if got, err := cli.ChooseSource(word); err == nil || !strings.Contains(err.Error(), "must be invitation, scim, jit, api or migration") {
			t.Errorf("%q: %v, %v", word, got, err)
		}
	}
}
