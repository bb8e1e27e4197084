package recovery_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/services/identity/internal/recovery"
)

const user = "usr_01jb0000000000000000000000"

func TestNew(t *testing.T) {
	codes, hashes := recovery.New(user)
	if len(codes) != 10 || len(hashes) != 10 {
		t.Fatalf("%d codes and %d hashes", len(codes), len(hashes))
	}
	form := regexp.MustCompile(`^([0-9a-hjkmnp-tv-z]{4}-){3}[0-9a-hjkmnp-tv-z]{4}$`)
	seen := map[string]bool{}
	for i, code := range codes {
		if !form.MatchString(code.Reveal()) || seen[code.Reveal()] {
			t.Errorf("code %d is not of the form, or there twice", i)
		}
		seen[code.Reveal()] = true
		if got, ok := recovery.Match(user, code, hashes); !ok || got != i {
			t.Errorf("code %d matches %d, %t", i, got, ok)
		}
	}
}

func TestEveryDigitAppearsEverywhere(t *testing.T) {
	seen := map[[2]int]bool{}
	for range 200 {
		codes, _ := recovery.New(user)
		for _, code := range codes {
			for i, c := range []byte(strings.ReplaceAll(code.Reveal(), "-", "")) {
				seen[[2]int{i, int(c)}] = true
			}
		}
	}
	if len(seen) != 16*32 {
		t.Errorf("%d of 512 digits in their places: not all bits are random", len(seen))
	}
}

func TestMatch(t *testing.T) {
	codes, hashes := recovery.New(user)
	code := codes[3].Reveal()
	// A code with a k, which the Kelvin sign must not stand for.
	kelvin := ""
	for kelvin == "" {
		more, of := recovery.New(user)
		for i, c := range more {
			if strings.Contains(c.Reveal(), "k") {
				kelvin = strings.Replace(c.Reveal(), "k", "\u212a", 1)
				hashes = append(hashes, of[i])
				break
			}
		}
	}
	look := strings.NewReplacer("0", "O", "1", "l").Replace(code)
	for name, tc := range map[string]struct {
		user, typed string
		stored      []recovery.Hash
		want        bool
	}{
		"as printed":         {user, code, hashes, true},
		"capitals":           {user, strings.ToUpper(code), hashes, true},
		"no hyphens":         {user, strings.ReplaceAll(code, "-", ""), hashes, true},
		"spaces":             {user, "  " + strings.ReplaceAll(code, "-", "  ") + " ", hashes, true},
		"letters for digits": {user, look, hashes, true},
		"i for 1":            {user, strings.ReplaceAll(code, "1", "I"), hashes, true},
		"another user's":     {"usr_01jb0000000000000000000001", code, hashes, false},
		"used up":            {user, code, append(hashes[:3:3], hashes[4:]...), false},
		"none left":          {user, code, nil, false},
		"a digit less":       {user, code[:18], hashes, false},
		"a digit more":       {user, code + "0", hashes, false},
		"empty":              {user, "", hashes, false},
		"a letter u":         {user, "u" + code[1:], hashes, false},
		"long":               {user, code + strings.Repeat(" ", 1<<20), hashes, false},
		"another":            {user, "0000-0000-0000-0000", hashes, false},
		"not ASCII":          {user, kelvin, hashes, false},
		"zero hash stored":   {user, "", []recovery.Hash{{}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := recovery.Match(tc.user, secret.NewString(tc.typed), tc.stored)
			if ok != tc.want || ok && got != 3 {
				t.Errorf("Match = %d, %t; want %t", got, ok, tc.want)
			}
		})
	}
}

func FuzzMatch(f *testing.F) {
	codes, hashes := recovery.New(user)
	f.Add(codes[0].Reveal())
	f.Add("oil0-oil0-oil0-oil0")
	f.Fuzz(func(t *testing.T, typed string) {
		i, ok := recovery.Match(user, secret.NewString(typed), hashes)
		if ok && typed != codes[i].Reveal() && len(typed) < 16 {
			t.Errorf("%q matches", typed)
		}
	})
}
