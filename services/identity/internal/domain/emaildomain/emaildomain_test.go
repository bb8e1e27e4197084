package emaildomain_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/emaildomain"
)

func TestDomain(t *testing.T) {
	domain, org := id.New(id.Domain), id.New(id.Organization)
	challenge := emaildomain.Challenge{0: 0xff, 19: 1}
	const text = "74aaaaaaaaaaaaaaaaaaaaaaaaaaaaab"
	added := &eventv1.DomainAdded{Domain: domain, Organization: org, Name: "example.com", Challenge: text}
	verified, lapsed, removed := &eventv1.DomainVerified{Domain: domain}, &eventv1.DomainLapsed{Domain: domain}, &eventv1.DomainRemoved{Domain: domain}
	add := emaildomain.Add{ID: domain, Organization: org, Name: "example.com", Challenge: challenge}
	full, noID := add, add
	full.Others, noID.ID = emaildomain.MaxDomains, org
	misses := func(n int) func(s emaildomain.State) ([]proto.Message, error) {
		return func(s emaildomain.State) ([]proto.Message, error) { return emaildomain.Lapse{Misses: n}.Decide(s), nil }
	}
	given := func(events ...proto.Message) []proto.Message { return append([]proto.Message{added}, events...) }
	for name, tc := range map[string]struct {
		given []proto.Message
		when  func(s emaildomain.State) ([]proto.Message, error)
		then  proto.Message // nil: no event
		want  commonv1.Reason
	}{
		"add":                        {nil, add.Decide, added, 0},
		"add twice":                  {given(), add.Decide, nil, commonv1.Reason_ALREADY_EXISTS},
		"add after removal":          {given(removed), add.Decide, added, 0},
		"add too many":               {nil, full.Decide, nil, commonv1.Reason_LIMIT_REACHED},
		"add with another's id":      {nil, noID.Decide, nil, commonv1.Reason_INVALID_FIELD},
		"verify":                     {given(), emaildomain.Verify{Found: true}.Decide, verified, 0},
		"verify without the record":  {given(), emaildomain.Verify{}.Decide, nil, commonv1.Reason_DOMAIN_NOT_PROVEN},
		"verify twice":               {given(verified), emaildomain.Verify{Found: true}.Decide, nil, 0},
		"verified, without record":   {given(verified), emaildomain.Verify{}.Decide, nil, commonv1.Reason_DOMAIN_NOT_PROVEN},
		"verify what lapsed":         {given(verified, lapsed), emaildomain.Verify{Found: true}.Decide, verified, 0},
		"verify nothing":             {nil, emaildomain.Verify{Found: true}.Decide, nil, commonv1.Reason_NOT_FOUND},
		"two misses":                 {given(verified), misses(2), nil, 0},
		"three misses":               {given(verified), misses(3), lapsed, 0},
		"misses of what is pending":  {given(), misses(9), nil, 0},
		"misses of what lapsed":      {given(verified, lapsed), misses(9), nil, 0},
		"misses of nothing":          {nil, misses(9), nil, 0},
		"remove":                     {given(verified), emaildomain.Remove{}.Decide, removed, 0},
		"remove nothing":             {nil, emaildomain.Remove{}.Decide, nil, commonv1.Reason_NOT_FOUND},
		"events of another's domain": {given(&eventv1.DomainVerified{Domain: "dom_other"}, &eventv1.DomainRemoved{}), emaildomain.Verify{Found: true}.Decide, verified, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var state emaildomain.State
			for _, e := range tc.given {
				state.Apply(e)
			}
			events, err := tc.when(state)
			switch {
			case tc.want != 0:
				if !fault.Is(err, tc.want) || events != nil {
					t.Fatalf("Decide = %v, %v; want %v and no event", events, err, tc.want)
				}
			case err != nil || tc.then == nil && len(events) != 0:
				t.Fatalf("Decide = %v, %v; want no event", events, err)
			case tc.then != nil && (len(events) != 1 || !proto.Equal(events[0], tc.then)):
				t.Fatalf("Decide = %v, want %v", events, tc.then)
			}
		})
	}
	state := emaildomain.State{Name: "example.com", Challenge: text}
	if state.RecordName() != "_meridian-challenge.example.com" || state.RecordValue() != "meridian-domain-verification="+text {
		t.Errorf("the record is %s, %s", state.RecordName(), state.RecordValue())
	}
}

func TestParseName(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 56)+".", 4)
	for given, want := range map[string]string{
		"example.com":           "example.com",
		"\tMail.EXAMPLE.com\n":  "mail.example.com",
		"bücher.example":        "xn--bcher-kva.example",
		"XN--BCHER-KVA.example": "xn--bcher-kva.example",
		"example.co.uk":         "example.co.uk",
		"someone.github.io":     "someone.github.io",
		"corp.internal":         "corp.internal",
		"ｅｘａｍｐｌｅ。ｃｏｍ":           "example.com",
		long + "abcde":          long + "abcde", // 233
	} {
		got, err := emaildomain.ParseName(given)
		if err != nil || got != want {
			t.Errorf("ParseName(%q) = %q, %v; want %q", given, got, err, want)
		}
		if again, err := emaildomain.ParseName(got); again != got || err != nil {
			t.Errorf("ParseName(%q) again = %q, %v", got, again, err)
		}
	}
	for given, rule := range map[string]string{
		"":                           "domain",
		"com":                        "domain",
		"localhost":                  "domain",
		"co.uk":                      "public_suffix",
		"github.io":                  "public_suffix",
		"xn--p1ai":                   "domain",
		"192.0.2.1":                  "domain",
		"[192.0.2.1]":                "domain",
		"0x7f.1":                     "domain",
		"2001:db8::1":                "domain",
		"[2001:db8::1]":              "domain",
		"a@example.com":              "domain",
		"example.com.":               "domain",
		".example.com":               "domain",
		"exa mple.com":               "characters",
		"example.com/path":           "domain",
		"_dmarc.example.com":         "domain",
		"*.example.com":              "domain",
		"-a.example.com":             "domain",
		"example.com:53":             "domain",
		"ex\x00ample.com":            "characters",
		"ex\u202eample.com":          "characters",
		"ex\u0430mple.com":           "scripts",
		long + "abcdef":              "length",
		strings.Repeat("a.", 64<<10): "length",
	} {
		got, err := emaildomain.ParseName(given)
		f, ok := fault.As(err)
		if !ok || f.Reason != commonv1.Reason_INVALID_FIELD || f.Meta["field"] != "name" || f.Meta["rule"] != rule {
			t.Errorf("ParseName(%.60q) = %q, %v; want rule %s", given, got, err, rule)
		}
	}
}

// FuzzParseName: a name of the DNS that is its own name, or an error without the text.
func FuzzParseName(f *testing.F) {
	for _, seed := range []string{"example.com", "bücher.example", "co.uk", "a@b.example", "xn--a.example", "\u3002.\u3002"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := emaildomain.ParseName(text)
		if err != nil {
			if fl, ok := fault.As(err); !ok || fl.Meta["field"] != "name" || name != "" {
				t.Fatalf("ParseName(%q) = %q, %v", text, name, err)
			}
			return
		}
		again, err := emaildomain.ParseName(name)
		if err != nil || again != name || len(name) > 233 || strings.ContainsAny(name, " @/:\x00") || !strings.Contains(name, ".") || strings.ToLower(name) != name {
			t.Fatalf("ParseName(%q) = %q, again %q, %v", text, name, again, err)
		}
	})
}
