package password_test

import (
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/password"
)

func TestPolicyValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		given password.Policy
		field string
	}{
		"zero":           {},
		"strict":         {given: password.Policy{MinLength: 64, MaxLength: 1024, ForbidBreached: true, ForbidIdentity: true, History: 24}},
		"loose":          {given: password.Policy{MinLength: 8, MaxLength: 64}},
		"too short":      {password.Policy{MinLength: 7}, "min_length"},
		"negative":       {password.Policy{MinLength: -1}, "min_length"},
		"nobody can":     {password.Policy{MinLength: 65}, "min_length"},
		"no passphrase":  {password.Policy{MaxLength: 63}, "max_length"},
		"no bound":       {password.Policy{MaxLength: 1025}, "max_length"},
		"long history":   {password.Policy{History: 25}, "history"},
		"future history": {password.Policy{History: -1}, "history"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.given.Validate()
			if tc.field == "" && err != nil || tc.field != "" && !broken(err, tc.field, "range") {
				t.Errorf("Validate = %v, want %q", err, tc.field)
			}
		})
	}
}

func TestPolicyCheck(t *testing.T) {
	anna := password.Context{Email: "anna.meier+shop@customer.example", Name: "Anna Maria Möller-Lee"}
	identity := password.Policy{ForbidIdentity: true}
	for name, tc := range map[string]struct {
		policy    password.Policy
		candidate string
		who       password.Context
		rule      string
	}{
		"default, 12":                  {candidate: "abcdefghijkl"},
		"default, 11":                  {candidate: "abcdefghijk", rule: "min_length"},
		"no rules of composition":      {candidate: "aaaaaaaaaaaa"},
		"code points count":            {candidate: "\u5bc6\u7801\u5bc6\u7801\u5bc6\u7801\u5bc6\u7801\u5bc6\u7801\u5bc6\u7801"},
		"bytes do not":                 {candidate: "\u5bc6\u7801\u5bc6\u7801\u5bc6\u7801\u5bc6\u7801", rule: "min_length"},
		"a composed one counts once":   {candidate: strings.Repeat("e\u0301", 11), rule: "min_length"},
		"beside a second factor":       {policy: password.Policy{MinLength: 8}, candidate: "abcdefgh"},
		"alone":                        {policy: password.Policy{MinLength: 15}, candidate: "abcdefghijklmn", rule: "min_length"},
		"longest":                      {candidate: strings.Repeat("a", 256)},
		"too long":                     {candidate: strings.Repeat("a", 257), rule: "max_length"},
		"too long as it was typed":     {candidate: strings.Repeat("e\u0301", 86), rule: "max_length"},
		"longer by policy":             {policy: password.Policy{MaxLength: 1024}, candidate: strings.Repeat("a", 1024)},
		"never longer":                 {policy: password.Policy{MaxLength: 9999}, candidate: strings.Repeat("a", 1025), rule: "max_length"},
		"empty":                        {rule: "min_length"},
		"invalid UTF-8":                {candidate: "abcdefghijkl\xc3", rule: "utf8"},
		"zero byte":                    {candidate: "abcdefghijkl\x00", rule: "null"},
		"newline":                      {candidate: "abcdefghijkl\n", rule: "characters"},
		"identity is asked for":        {candidate: "anna.meier+shop", who: anna},
		"local part":                   {policy: identity, candidate: "my ANNA.MEIER+shop!", who: anna, rule: "identity"},
		"word of the local part":       {policy: identity, candidate: "12345meier12345", who: anna, rule: "identity"},
		"name":                         {policy: identity, candidate: "xx anna maria möller-lee", who: anna, rule: "identity"},
		"word of the name":             {policy: identity, candidate: "the MÖLLER family", who: anna, rule: "identity"},
		"decomposed":                   {policy: identity, candidate: "the mo\u0308ller family", who: anna, rule: "identity"},
		"full width":                   {policy: identity, candidate: "the \uff4d\uff45\uff49\uff45\uff52 family", who: anna, rule: "identity"},
		"name without spaces":          {policy: identity, candidate: "123liwei456789", who: password.Context{Name: "Li Wei"}, rule: "identity"},
		"folds more than lower case":   {policy: identity, candidate: "hauptSTRASSE 12", who: password.Context{Name: "Straße"}, rule: "identity"},
		"three letters are no word":    {policy: identity, candidate: "leelanau peninsula", who: anna},
		"the domain does not matter":   {policy: identity, candidate: "customer.example", who: anna},
		"nobody":                       {policy: identity, candidate: "abcdefghijkl"},
		"an address without local":     {policy: identity, candidate: "abcdefghijkl", who: password.Context{Email: "@abcd"}},
		"a long and invalid name":      {policy: identity, candidate: "abcdefghijkl", who: password.Context{Name: strings.Repeat("\xff é", 9999)}},
		"a word from a very long name": {policy: identity, candidate: "abcdefghijkl", who: password.Context{Name: "bcde " + strings.Repeat("é", 9999)}, rule: "identity"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.policy.Check(secret.NewString(tc.candidate), tc.who)
			if tc.rule == "" && err != nil || tc.rule != "" && !broken(err, "password", tc.rule) {
				t.Errorf("Check = %v, want rule %q", err, tc.rule)
			}
			if err != nil && tc.candidate != "" && strings.Contains(err.Error(), tc.candidate) {
				t.Error("the error tells the password")
			}
		})
	}
}

func TestPolicyHistory(t *testing.T) {
	h := hasher(t, password.Config{Params: cheap})
	former := []string{hash(t, h, "the last password"), hash(t, h, "the one before"), made("a migrated one")}
	for name, tc := range map[string]struct {
		history   int
		candidate string
		rule      string
	}{
		"last":           {3, "the last password", "history"},
		"before":         {3, "the one before", "history"},
		"migrated":       {3, "a migrated one", "history"},
		"long ago":       {2, "a migrated one", ""},
		"no history":     {0, "the last password", ""},
		"new":            {24, "a new password", ""},
		"negative: none": {-1, "the last password", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := password.Policy{History: tc.history}.CheckHistory(t.Context(), h, former, secret.NewString(tc.candidate))
			if tc.rule == "" && err != nil || tc.rule != "" && !broken(err, "password", tc.rule) {
				t.Errorf("CheckHistory = %v, want rule %q", err, tc.rule)
			}
		})
	}
}

func TestPolicyBreached(t *testing.T) {
	list := open(t, writeSorted(t, "hunter2hunter2", "another"))
	forbid := password.Policy{ForbidBreached: true}
	if err := forbid.CheckBreached(t.Context(), list, secret.NewString("hunter2hunter2")); !broken(err, "password", "breached") {
		t.Errorf("a breached password: %v", err)
	}
	if err := forbid.CheckBreached(t.Context(), list, secret.NewString("hunter3hunter3")); err != nil {
		t.Errorf("another password: %v", err)
	}
	if err := forbid.CheckBreached(t.Context(), nil, secret.NewString("hunter3hunter3")); !fault.Is(err, commonv1.Reason_SERVICE_UNAVAILABLE) {
		t.Errorf("without a list: %v", err)
	}
	if err := (password.Policy{}).CheckBreached(t.Context(), nil, secret.NewString("hunter2hunter2")); err != nil {
		t.Errorf("not asked for: %v", err)
	}
}
