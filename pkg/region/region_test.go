package region_test

import (
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/region"
)

func TestValid(t *testing.T) {
	for name, want := range map[string]bool{
		"eu-west": true, "local": true, "r2": true, "a": true, strings.Repeat("a", 32): true,
		"": false, "EU": false, "eu_west": false, "2r": false, "-a": false, "a-": false, "eu-west-": false, "a.b": false, "a b": false, "a/b": false,
		"us-mirror-eu": false, strings.Repeat("a", 33): false,
	} {
		if got := region.Valid(name); got != want {
			t.Errorf("Valid(%q) = %v", name, got)
		}
		if err := region.Check(name); (err == nil) != want {
			t.Errorf("Check(%q) = %v", name, err)
		}
	}
}
