package displayname_test

import (
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/displayname"
)

func TestFold(t *testing.T) {
	for name, tc := range map[string]struct {
		a, b string
		same bool
	}{
		"case":          {"Engineering", "eNGINEERING", true},
		"sharp s":       {"Straße", "STRASSE", true},
		"width":         {"ＯＰＳ", "ops", true},
		"composition":   {"Jos\u00e9", "Jose\u0301", true},
		"ligature":      {"of\ufb01ce", "office", true},
		"accent":        {"José", "Jose", false},
		"white space":   {"a b", "ab", false},
		"another word":  {"ops", "dev", false},
		"one is longer": {"ops", "ops 2", false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := displayname.Fold(tc.a), displayname.Fold(tc.b)
			if same := string(a) == string(b); same != tc.same {
				t.Errorf("Fold(%q) = %q, Fold(%q) = %q", tc.a, a, tc.b, b)
			}
		})
	}
}

func TestCheckUnique(t *testing.T) {
	longest := strings.Repeat("𠀀", 200)
	if name, err := displayname.CheckUnique("name", " "+longest); err != nil || name != longest {
		t.Errorf("the longest name: %q, %v", name, err)
	}
	for name, text := range map[string]string{
		"empty":              " ",
		"control":            "a\x00",
		"folds to too much":  strings.Repeat("ﷺ", 200),
		"and with one space": "a " + strings.Repeat("ﷺ", 60),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := displayname.CheckUnique("name", text)
			if f, ok := fault.As(err); !ok || f.Reason != commonv1.Reason_INVALID_FIELD || f.Meta["field"] != "name" || got != "" {
				t.Errorf("CheckUnique = %q, %v; want INVALID_FIELD of name", got, err)
			}
		})
	}
}
