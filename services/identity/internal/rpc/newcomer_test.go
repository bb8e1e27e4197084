package rpc_test

import (
	"regexp"
	"testing"

	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

// FuzzIsLocale: an imported user's locale is one that CreateUser takes.
func FuzzIsLocale(f *testing.F) {
	for _, seed := range []string{"", "en", "de-AT", "zh-Hant-TW", "en_US", "e", "en-", "-en", "en--a", "a1", "en-a-b-c-d-e", "ſk"} {
		f.Add(seed)
	}
	contract := regexp.MustCompile(`^([a-zA-Z]{2,8}(-[a-zA-Z0-9]{1,8}){0,4})?$`)
	f.Fuzz(func(t *testing.T, text string) {
		// The one is bounded by a length too, which the longest tag of the other exceeds.
		if len(text) <= 35 && rpc.IsLocale(text) != contract.MatchString(text) {
			t.Errorf("%q: %t", text, rpc.IsLocale(text))
		}
	})
}
