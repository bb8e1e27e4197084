package onetime_test

import (
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/services/identity/internal/onetime"
)

func TestNewCode(t *testing.T) {
	var counts [8][10]int
	const n = 20_000
	for range n {
		code := onetime.NewCode().Reveal()
		if len(code) != 8 || strings.Trim(code, "0123456789") != "" {
			t.Fatalf("NewCode = %q", code)
		}
		for i, c := range []byte(code) {
			counts[i][c-'0']++
		}
	}
	// Each count is 2000 give or take 42; 400 is nine times that.
	for i, digits := range counts {
		for digit, count := range digits {
			if count < n/10-400 || count > n/10+400 {
				t.Errorf("digit %d is %d in %d of %d codes", i, digit, count, n)
			}
		}
	}
}

func TestHashCode(t *testing.T) {
	stored, ok := onetime.HashCode("authentication 1", secret.NewString("01234567"))
	if !ok {
		t.Fatal("a code is none")
	}
	for name, tc := range map[string]struct {
		authentication, typed string
		code, same            bool
	}{
		"the code":                 {"authentication 1", "01234567", true, true},
		"spaces":                   {"authentication 1", " 0123 4567 ", true, true},
		"a hyphen":                 {"authentication 1", "0123-4567", true, true},
		"another code":             {"authentication 1", "01234568", true, false},
		"another authentication":   {"authentication 2", "01234567", true, false},
		"digits moved to the id":   {"authentication 10", "1234567", false, false},
		"a digit less":             {"authentication 1", "0123456", false, false},
		"a digit more":             {"authentication 1", "012345678", false, false},
		"a letter":                 {"authentication 1", "0123456O", false, false},
		"digits of another script": {"authentication 1", "٠١٢٣٤٥٦٧", false, false},
		"empty":                    {"authentication 1", "", false, false},
		"long":                     {"authentication 1", "01234567" + strings.Repeat(" ", 1<<20), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			hash, code := onetime.HashCode(tc.authentication, secret.NewString(tc.typed))
			if code != tc.code || hash.Equal(stored[:]) != tc.same {
				t.Errorf("HashCode = %t, same hash %t", code, hash.Equal(stored[:]))
			}
		})
	}
}

func TestLinkToken(t *testing.T) {
	token, stored := onetime.NewLinkToken()
	other, _ := onetime.NewLinkToken()
	text := token.Reveal()
	last := byte('A')
	if text[42] == last {
		last = 'E'
	}
	for name, tc := range map[string]struct {
		token       string
		valid, same bool
	}{
		"the token":      {text, true, true},
		"another":        {other.Reveal(), true, false},
		"changed":        {text[:42] + string(last), true, false},
		"bits left over": {text[:42] + "B", false, false},
		"a digit less":   {text[:42], false, false},
		"padded":         {text + "=", false, false},
		"line break":     {text[:42] + "\n", false, false},
		"std alphabet":   {"+/" + text[2:], false, false},
		"empty":          {"", false, false},
		"long":           {strings.Repeat("A", 1<<20), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			hash, valid := onetime.HashLinkToken(secret.NewString(tc.token))
			if valid != tc.valid || hash.Equal(stored[:]) != tc.same {
				t.Errorf("HashLinkToken = %t, same hash %t", valid, hash.Equal(stored[:]))
			}
		})
	}
	if (onetime.Hash{}).Equal(nil) || stored.Equal(stored[:31]) {
		t.Error("a hash equals what is shorter")
	}
}

func FuzzHashLinkToken(f *testing.F) {
	token, _ := onetime.NewLinkToken()
	f.Add(token.Reveal())
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		hash, valid := onetime.HashLinkToken(secret.NewString(text))
		if valid == (hash == onetime.Hash{}) || valid && len(text) != 43 {
			t.Errorf("HashLinkToken(%q) = %t", text, valid)
		}
	})
}
