package authzcore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

const wideGroups = `type user
type g
  relations
    define p: [g]
    define m: [user, g#m] or m from p
type f
  relations
    define o: [user]
    define v: [user, g#m] or o
    define both: v and o
    define late: [user, g#m] and w
    define w: [user, g#m] or o
    define not: o but not none
    define none: [g#m]
`

// wide returns a graph in which many groups lead to the same large one.
func wide(t *testing.T) *authzcore.View {
	t.Helper()
	var stored []string
	for i := range 300 {
		stored = append(stored, fmt.Sprintf("g:W#p@g:w%d", i))
		for k := range 300 {
			stored = append(stored, fmt.Sprintf("g:w%d#p@g:w%d_%d", i, i, k))
		}
	}
	for i := range 900 {
		stored = append(stored, fmt.Sprintf("f:d#v@g:u%03d#m", i), fmt.Sprintf("g:u%03d#p@g:W", i), fmt.Sprintf("f:d#w@g:u%03d#m", i))
		if i%100 == 0 {
			stored = append(stored, fmt.Sprintf("f:n#none@g:u%03d#m", i))
		}
	}
	stored = append(stored, "f:d#o@user:u", "f:d#late@user:u", "f:n#o@user:u", "f:e#v@g:last#m", "g:last#p@g:end", "g:end#m@user:u", "f:e#v@g:u001#m")
	return graphOf(t, wideGroups, stored...).View()
}

func stepsOf(s *authzcore.Step) int {
	n := 1
	for _, under := range s.Steps {
		n += stepsOf(under)
	}
	return n
}

func TestExplainIsBounded(t *testing.T) {
	v := wide(t)
	for _, q := range []string{"user:u v f:d", "user:u both f:d", "user:u late f:d", "user:u not f:n", "user:u v f:e", "user:x v f:d", "user:x not f:n", "f:n#o not f:n"} {
		ok, err := v.Check(ask(q))
		x, explained := v.Explain(t.Context(), ask(q), authzcore.Circumstances{})
		if n := stepsOf(x.Root); n > authzcore.MaxSteps {
			t.Errorf("%s: %d steps", q, n)
		}
		if x.Decision.Answer == authzcore.Allow != ok || !errors.Is(explained, err) {
			t.Errorf("%s: %v, %v; explained as %v, %v", q, ok, err, x.Decision, explained)
		}
		if err == nil && x.Root.Allowed != ok {
			t.Errorf("%s: root is %v", q, x.Root.Allowed)
		}
	}
	for _, q := range []string{"user:u v f:d", "user:u both f:d", "user:u v f:e"} {
		if x, err := v.Explain(t.Context(), ask(q), authzcore.Circumstances{}); err != nil || x.Truncated {
			t.Errorf("%s: truncated: %v, %v", q, x.Truncated, err)
		}
	}
}

func TestSearchesStop(t *testing.T) {
	v := wide(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q := ask("user:u m g:W")
	if _, err := v.Decide(ctx, q, authzcore.Circumstances{}); !errors.Is(err, context.Canceled) {
		t.Errorf("check: %v", err)
	}
	if _, err := v.Explain(ctx, q, authzcore.Circumstances{}); !errors.Is(err, context.Canceled) {
		t.Errorf("explain: %v", err)
	}
	if x, err := v.Decide(t.Context(), q, authzcore.Circumstances{}); x.Answer != authzcore.Deny || err != nil {
		t.Errorf("after it: %v, %v", x, err)
	}
}

// drawn is an explanation for people.
func drawn(t *testing.T, v *authzcore.View, q string, under authzcore.Circumstances) string {
	t.Helper()
	x, err := v.Explain(t.Context(), ask(q), under)
	if err != nil || x.Root.Answer != x.Decision.Answer {
		t.Fatalf("%s: %v, %v, root is %v", q, err, x.Decision, x.Root.Answer)
	}
	var b strings.Builder
	x.Root.Draw(func(line string) bool {
		b.WriteString(line + "\n")
		return true
	})
	return b.String()
}

// What is stored and does not hold is shown with its reason; what may hold makes
// all above it conditional.
func TestExplainShowsWhatDoesNotHold(t *testing.T) {
	const at = 1_800_000_000
	open := strings.NewReplacer(
		"user:* with hours", "user with hours, user:* with hours",
		"define safe:", "define blocked: [user]\n    define strict: view but not (banned or blocked)\n    define safe:",
	).Replace(office)
	v := relate(t, graphOf(t, open),
		when("folder:1#viewer@user:ann", `{"from":9}`), when("folder:1#viewer@user:*", `{"from":10}`),
		when("folder:2#viewer@group:1#member", `{"from":9}`), rel("group:1#member@user:ann"),
		when("doc:1#parent@folder:2", `{"from":9}`), rel("doc:2#parent@folder:1"), rel("doc:2#blocked@user:ann"), when("doc:2#banned@user:ann", `{"from":9}`),
		authzcore.Relationship{Resource: "folder:3", Relation: "viewer", Subject: "user:ann", Terms: authzcore.Terms{Condition: "hours", Expires: at}},
		authzcore.Relationship{Resource: "group:2", Relation: "member", Subject: "user:ann", Terms: authzcore.Terms{Condition: "hours", Context: `{"from":9}`}},
	)
	night := authzcore.Circumstances{Context: map[string]any{"hour": 3.0}, At: time.Unix(at, 0)}
	for question, want := range map[string][]string{
		"user:ann viewer folder:1": {
			"✗ folder:1#viewer  (direct)  folder:1#viewer@user:ann with hours, not met\n" +
				"└─ ✗ folder:1#viewer  (wildcard)  folder:1#viewer@user:* with hours, not met\n",
			"? folder:1#viewer  (direct)  folder:1#viewer@user:ann with hours, which lacks hour\n" +
				"└─ ? folder:1#viewer  (wildcard)  folder:1#viewer@user:* with hours, which lacks hour\n",
		},
		"user:ann viewer folder:2": {
			"✗ folder:2#viewer  (direct)\n└─ ✗ folder:2#viewer  (userset)  folder:2#viewer@group:1#member with hours, not met\n",
			"? folder:2#viewer  (direct)\n└─ ? folder:2#viewer  (userset)  folder:2#viewer@group:1#member with hours, which lacks hour\n" +
				"   └─ ✓ group:1#member  (direct)  group:1#member@user:ann\n",
		},
		"user:bob viewer folder:2": {
			"✗ folder:2#viewer  (direct)\n└─ ✗ folder:2#viewer  (userset)  folder:2#viewer@group:1#member with hours, not met\n",
			"✗ folder:2#viewer  (direct)\n└─ ✗ folder:2#viewer  (userset)  folder:2#viewer@group:1#member with hours, which lacks hour\n" +
				"   └─ ✗ group:1#member  (direct)\n",
		},
		"user:ann viewer folder:3": {
			"✗ folder:3#viewer  (direct)  folder:3#viewer@user:ann, expired\n",
			"✗ folder:3#viewer  (direct)  folder:3#viewer@user:ann, expired\n",
		},
		"user:ann view doc:1": {"doc:1#parent@folder:2 with hours, not met\n", "? doc:1#view  (from)\n"},
		"user:ann strict doc:2": { // what certainly takes away is the reason
			"✗ doc:2#strict  (but not)\n", "└─ but not ─ ✓ doc:2#strict  (or)\n",
		},
		"user:ann safe doc:2": {"doc:2#safe  (but not)\n", "└─ but not ─ ? doc:2#safe  (computed)\n   └─ ? doc:2#banned  (direct)  doc:2#banned@user:ann with hours, which lacks hour\n"},
	} {
		for i, under := range []authzcore.Circumstances{night, {At: night.At}} {
			if got := drawn(t, v, question, under); !strings.Contains(got, want[i]) {
				t.Errorf("%s under %v:\n%swant:\n%s", question, under.Context, got, want[i])
			}
		}
	}
}

// An exclusion under another asks the same question as if conditions that lack
// parameters were met and as if they were not: these are two questions.
func TestExplainUnderTwoExclusions(t *testing.T) {
	v := relate(t, graphOf(t, `type user
type folder
  relations
    define parent: [folder]
    define everyone: [user:*]
    define lifted: [user with hours]
    define barred: [user]
    define strict: everyone but not (barred but not lifted)
    define open: [user] or (everyone but not (open from parent but not lifted))
    define kept: everyone but not (wary from parent but not lifted)
    define wary: [user] or (kept but not lifted)
condition hours(hour: int) {
  hour < 18
}
`),
		rel("folder:1#everyone@user:*"), rel("folder:2#everyone@user:*"), rel("folder:1#barred@user:ann"), rel("folder:2#barred@user:ann"),
		when("folder:1#lifted@user:ann", ""), rel("folder:1#parent@folder:1"), rel("folder:2#parent@folder:1"),
		rel("folder:3#everyone@user:*"), when("folder:3#lifted@user:ann", ""), rel("folder:3#parent@folder:4"), rel("folder:4#everyone@user:*"), rel("folder:4#parent@folder:4"))
	for question, want := range map[string][]string{
		"user:ann strict folder:1": {
			"? folder:1#strict  (but not)\n", "└─ but not ─ ? folder:1#strict  (but not)\n", "   └─ but not ─ ? folder:1#strict  (computed)\n",
			"folder:1#lifted@user:ann with hours, which lacks hour\n",
		},
		"user:ann strict folder:2": {
			"✗ folder:2#strict  (but not)\n", "└─ but not ─ ✓ folder:2#strict  (but not)\n", "   └─ but not ─ ✗ folder:2#strict  (computed)\n",
		},
		// Its own parent: open in one mood is asked on the way to open in the other.
		"user:ann open folder:1": {
			"? folder:1#open  (or)\n", "└─ ? folder:1#open  (but not)\n", "? folder:1#open  (asked already)\n",
		},
		"user:ann open folder:2": {
			"? folder:2#open  (or)\n", "└─ ? folder:2#open  (but not)\n", "├─ ? folder:2#open  (from)  folder:2#parent@folder:1\n",
		},
		// Whether it is kept has no answer while it counts as not lifted.
		"user:ann wary folder:3": {
			"? folder:3#wary  (or)\n", "└─ ? folder:3#wary  (but not)\n", "? folder:3#kept  (asked already)\n",
		},
	} {
		got := drawn(t, v, question, authzcore.Circumstances{})
		for _, line := range want {
			if !strings.Contains(got, line) {
				t.Errorf("%s:\n%swant:\n%s", question, got, line)
			}
		}
	}
}
