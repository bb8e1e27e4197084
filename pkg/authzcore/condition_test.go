package authzcore_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

func TestConditionProblems(t *testing.T) {
	const head = "model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define a: [user with c]\n\n"
	var many strings.Builder
	for i := range 201 {
		fmt.Fprintf(&many, "condition c%d(x: int) { x > 1 }\n", i)
	}
	var wide strings.Builder
	for i := range 65 {
		fmt.Fprintf(&wide, "p%d: int,", i)
	}
	for name, test := range map[string]struct {
		conditions   string
		line, column int
		message      string
	}{
		"not defined":              {"", 6, 26, "condition c is not defined"},
		"unknown type":             {"condition c(x: money) { x > 1 }", 8, 16, "money"},
		"unknown variable":         {"condition c(x: int) {\n  x > 1 &&\n\n  y\n}", 11, 3, "undeclared reference to 'y'"},
		"types do not fit":         {"condition c(x: int) {\n  x > \"a\"\n}", 9, 5, "no matching overload"},
		"syntax":                   {"condition c(x: int) {\n  x > > 1\n}", 9, 7, "Syntax error"},
		"no truth value":           {"condition c(x: int) { x + 1 }", 8, 11, "must be true or false"},
		"twice":                    {"condition c(x: int) { x > 1 }\ncondition c(x: int) { x > 1 }", 9, 11, "already defined"},
		"parameter twice":          {"condition c(x: int, x: int) { x > 1 }", 8, 21, "already defined"},
		"too many":                 {"condition c(x: int) { x > 1 }\n" + many.String(), 0, 0, "at most 200 conditions"},
		"too many parameters":      {"condition c(" + wide.String() + "x: int) { x > 1 }", 8, 11, "at most 64 parameters"},
		"too long":                 {"condition c(x: int) { x > 1" + strings.Repeat(" || x > 1", 1000) + " }", 8, 11, "at most 8192 bytes"},
		"a pattern of a parameter": {"condition c(x: string) {\n  x.matches(x)\n}", 9, 0, "must be a text in quotes"},
		"a large pattern":          {"condition c(x: string) {\n  x.matches('(a{0,1000})?')\n}", 9, 0, "more than 500 steps"},
		"a broken pattern":         {"condition c(x: string) {\n  x.matches('(')\n}", 9, 0, "no regular expression"},
		"nested":                   {"condition c(x: int) { " + strings.Repeat("(", 200) + "x > 1" + strings.Repeat(")", 200) + " }", 8, 73, "nest deeper"},
		"a list of lists":          {"condition c(x: list<list>) { true }", 8, 21, ""},
		"method of no address":     {"condition c(x: string) {\n x.in_cidr(\"10.0.0.0/8\") }", 9, 11, "no matching overload"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := authzcore.Compile(authzcore.NewNames(), whole(head+test.conditions+"\n"))
			invalid, ok := errors.AsType[*authzcore.ModelError](err)
			if !ok {
				t.Fatalf("error is %v", err)
			}
			p := invalid.Problems[0]
			if test.line != 0 && p.Line != test.line || test.column != 0 && p.Column != test.column || !strings.Contains(p.Message, test.message) {
				t.Errorf("problem is %s; want %d:%d %s", p, test.line, test.column, test.message)
			}
		})
	}
}

func TestConditionsOfModules(t *testing.T) {
	files := []authzcore.File{
		{Path: "fga.mod", Content: "schema: '1.2'\ncontents:\n  - core.fga\n  - wiki.fga\n"},
		{Path: "core.fga", Content: "module core\ntype user\ncondition office(hour: int) {\n  hour < 18\n}\n"},
		{Path: "wiki.fga", Content: "module wiki\ntype page\n  relations\n    define reader: [user with office]\n"},
	}
	m, err := authzcore.Compile(authzcore.NewNames(), files)
	if err != nil || !slices.Equal(m.Conditions(), []string{"office"}) {
		t.Fatalf("%v, %v", m, err)
	}
	files[2].Content += "condition office(hour: int) {\n  hour < 20\n}\n"
	_, err = authzcore.Compile(authzcore.NewNames(), files)
	if invalid, ok := errors.AsType[*authzcore.ModelError](err); !ok || !invalid.Conflict() || invalid.Problems[0].File != "wiki.fga" {
		t.Errorf("error is %v", err)
	}
}

// The identity of a model has its conditions, and not their white space.
func TestModelIDHasConditions(t *testing.T) {
	id := func(condition string) string {
		m, err := authzcore.Compile(authzcore.NewNames(),
			whole("model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define a: [user with c, user]\n"+condition))
		if err != nil {
			t.Fatal(err)
		}
		return m.ID()
	}
	first := id("condition c(x: int) {\n  x > 1\n}\n")
	if same := id("condition c(x : int)  {\n    x   > 1\n}\n"); same != first {
		t.Error("white space makes another model")
	}
	texts := map[string]bool{}
	for _, text := range []string{"p q", "p  q", "p\\tq", "p\u00a0q"} {
		texts[id("condition c(x: string) {\n  x == \""+text+"\"\n}\n")] = true
	}
	if len(texts) != 4 {
		t.Errorf("4 texts in conditions make %d models", len(texts))
	}
	for _, other := range []string{"condition c(x: int) {\n  x > 2\n}\n", "condition c(x: double) {\n  x > 1.0\n}\n"} {
		if id(other) == first {
			t.Errorf("same identity: %s", other)
		}
	}
}

const everyType = `type user

type doc
  relations
    define a: [user with b, user with s, user with i, user with u, user with d, user with l, user with t, user with m, user with n, user with ip]
condition b(x: bool) { x }
condition s(x: string) { x == "a" }
condition i(x: int) { x > 1 }
condition u(x: uint) { x > 1u }
condition d(x: double) { x > 1.5 }
condition l(x: duration) { x > duration("1m") }
condition t(x: timestamp) { x > timestamp("2026-01-01T00:00:00Z") }
condition m(x: map<int>) { x["k"] > 1 }
condition n(x: list<string>) { "a" in x }
condition ip(x: ipaddress) { x.in_cidr("10.0.0.0/8") && x != ipaddress("10.0.0.9") && x != null }
`

func TestParameterTypes(t *testing.T) {
	list := func(x ...any) []any { return x }
	for condition, values := range map[string]struct{ met, unmet, wrong []any }{
		"b":  {list(true), list(false), list("true", 1.0, nil)},
		"s":  {list("a"), list("b", ""), list(1.0, nil, true)},
		"i":  {list(2.0, "2", "9223372036854775807"), list(1.0, "-9223372036854775808"), list(1.5, "x", "1.5", 1e300, true, "9223372036854775808", "inf", math.NaN())},
		"u":  {list(2.0, "18446744073709551615"), list(0.0, "1"), list(-1.0, "-1", 1.5, "18446744073709551616")},
		"d":  {list(2.0, "1.75", 1e300), list(1.0, "-3"), list("x", "inf", "NaN", "1e999", true)},
		"l":  {list("2m", "1h"), list("1s"), list("x", 1.0, "1 m")},
		"t":  {list("2026-06-01T00:00:00Z", "2026-01-01T00:00:00+00:00"[:19]+".5Z"), list("2025-06-01T00:00:00+02:00"), list("2026-06-01", "x", 1.0)},
		"m":  {list(map[string]any{"k": 2.0}), list(map[string]any{"k": 1.0}), list(map[string]any{"k": "x"}, list(1.0), "x")},
		"n":  {list(list("b", "a")), list(list(), list("b")), list(list(1.0), "a", map[string]any{})},
		"ip": {list("10.1.2.3", "::ffff:10.1.2.3"), list("10.0.0.9", "192.168.0.1", "::1"), list("10.1.2", 1.0, "x")},
	} {
		r := rel("doc:1#a@user:u")
		r.Terms.Condition = condition
		g := graphOf(t, everyType)
		if err := g.Apply(2, []authzcore.Change{{Relationship: r}}, nil); err != nil {
			t.Fatal(err)
		}
		decide := func(value any) (authzcore.Decision, error) {
			return g.View().Decide(t.Context(), ask("user:u a doc:1"), authzcore.Circumstances{Context: map[string]any{"x": value, "other": 1.0}})
		}
		for _, v := range values.met {
			if d, err := decide(v); err != nil || d.Answer != authzcore.Allow {
				t.Errorf("%s of %v: %v, %v", condition, v, d, err)
			}
		}
		for _, v := range values.unmet {
			if d, err := decide(v); err != nil || d.Answer != authzcore.Deny {
				t.Errorf("%s of %v: %v, %v", condition, v, d, err)
			}
		}
		for _, v := range values.wrong {
			d, err := decide(v)
			if wrong, ok := errors.AsType[*authzcore.ContextError](err); !ok || wrong.Parameter != "x" || wrong.Condition != condition || d.Answer != authzcore.Deny {
				t.Errorf("%s of %v: %v, %v", condition, v, d, err)
			}
		}
	}
}

const office = `type user

type group
  relations
    define member: [user, user with hours, group#member with hours]

type folder
  relations
    define owner: [user]
    define viewer: [user, user:* with hours, group#member, group#member with hours]

type doc
  relations
    define parent: [folder, folder with hours]
    define banned: [user, user with hours]
    define view: viewer from parent
    define safe: view but not banned
    define double: view and owner from parent
condition hours(hour: int, from: int) {
  hour >= from && hour < 18
}
`

// relate writes resource#relation@subject [condition context] [expires].
func relate(t *testing.T, g *authzcore.Graph, relationships ...authzcore.Relationship) *authzcore.View {
	t.Helper()
	var changes []authzcore.Change
	for _, r := range relationships {
		if err := g.View().Model().Validate(r); err != nil {
			t.Fatal(err)
		}
		changes = append(changes, authzcore.Change{Relationship: r})
	}
	if err := g.Apply(g.View().Sequence()+1, changes, nil); err != nil {
		t.Fatal(err)
	}
	return g.View()
}

func when(text, context string) authzcore.Relationship {
	r := rel(text)
	r.Terms = authzcore.Terms{Condition: "hours", Context: context}
	return r
}

func TestConditionalAnswers(t *testing.T) {
	v := relate(t, graphOf(t, office),
		rel("doc:1#parent@folder:1"), when("folder:1#viewer@user:*", `{"from":9}`), rel("doc:1#banned@user:bad"), when("doc:1#banned@user:maybe", `{"from":9}`),
		when("doc:2#parent@folder:2", `{"from":8}`), rel("folder:2#viewer@user:ann"), rel("folder:2#owner@user:ann"),
		when("folder:3#viewer@group:1#member", `{"from":9}`), rel("group:1#member@user:ann"), when("group:1#member@user:bob", ""),
		when("group:1#member@group:2#member", `{"from":0}`), when("group:2#member@user:cid", `{"from":0}`),
	)
	for question, answers := range map[string][4]string{ // hour 12 and from 9; hour 20; hour 12; nothing
		"user:x view doc:1":         {"ALLOW", "DENY", "ALLOW", "CONDITIONAL hour"},
		"user:x safe doc:1":         {"ALLOW", "DENY", "ALLOW", "CONDITIONAL hour"},
		"user:bad safe doc:1":       {"DENY", "DENY", "DENY", "DENY"},
		"user:maybe safe doc:1":     {"DENY", "DENY", "DENY", "CONDITIONAL hour"},
		"user:ann view doc:2":       {"ALLOW", "DENY", "ALLOW", "CONDITIONAL hour"},
		"user:ann double doc:2":     {"ALLOW", "DENY", "ALLOW", "CONDITIONAL hour"},
		"user:bob double doc:2":     {"DENY", "DENY", "DENY", "DENY"},
		"user:ann viewer folder:3":  {"ALLOW", "DENY", "ALLOW", "CONDITIONAL hour"},
		"user:bob viewer folder:3":  {"ALLOW", "DENY", "CONDITIONAL from", "CONDITIONAL from hour"},
		"user:cid viewer folder:3":  {"ALLOW", "DENY", "ALLOW", "CONDITIONAL hour"},
		"user:none viewer folder:3": {"DENY", "DENY", "DENY", "DENY"},
		"user:* viewer folder:1":    {"ALLOW", "DENY", "ALLOW", "CONDITIONAL hour"},
	} {
		for i, context := range []map[string]any{{"hour": 12.0, "from": 9.0}, {"hour": 20.0, "from": 0.0}, {"hour": 12.0}, nil} {
			d, err := v.Decide(t.Context(), ask(question), authzcore.Circumstances{Context: context})
			if got := strings.TrimSpace(d.Answer.String() + " " + strings.Join(d.Missing, " ")); err != nil || got != answers[i] {
				t.Errorf("%s under %v: %s, %v; want %s", question, context, got, err, answers[i])
			}
		}
	}
	if _, err := v.Check(ask("user:x view doc:1")); !errors.Is(err, authzcore.ErrConditional) {
		t.Errorf("a check without context: %v", err)
	}
	x, err := v.Explain(t.Context(), ask("user:x view doc:1"), authzcore.Circumstances{})
	if err != nil || x.Decision.Answer != authzcore.Conditional || !strings.Contains(fmt.Sprintf("%+v", flatten(x.Root)), "folder:1#viewer@user:* hours [hour]") {
		t.Errorf("explanation: %v, %v", flatten(x.Root), err)
	}
}

// flatten lists the relationships of an explanation.
func flatten(s *authzcore.Step) []string {
	var out []string
	if s.Relationship != "" {
		out = append(out, fmt.Sprintf("%s %s %v", s.Relationship, s.Condition, s.Missing))
	}
	for _, c := range s.Steps {
		out = append(out, flatten(c)...)
	}
	return out
}

// A condition that fails matters only where the answer depends on it.
func TestConditionsThatFail(t *testing.T) {
	const model = `type user

type doc
  relations
    define a: [user with ratio, user]
    define b: [user]
    define both: a and b
    define less: b but not a
    define any: a or b

type slow
  relations
    define a: [user with endless]
condition ratio(x: int) {
  10 / x > 1
}
condition endless(l: list<string>) {
  l.all(a, l.all(b, l.all(c, a + b + c != "")))
}
`
	g := graphOf(t, model, "doc:2#b@user:u")
	ratio, endless := rel("doc:1#a@user:u"), rel("slow:1#a@user:u")
	ratio.Terms.Condition, endless.Terms.Condition = "ratio", "endless"
	second := ratio
	second.Resource = "doc:2"
	v := relate(t, g, ratio, second, endless)
	zero := authzcore.Circumstances{Context: map[string]any{"x": 0.0}}
	for question, want := range map[string]string{
		"user:u a doc:1": "division by zero", "user:u any doc:2": "ALLOW", "user:u both doc:1": "DENY", "user:u both doc:2": "division by zero",
		"user:u less doc:2": "division by zero", "user:u less doc:1": "DENY", "user:v any doc:1": "DENY",
	} {
		d, err := v.Decide(t.Context(), ask(question), zero)
		got := d.Answer.String()
		if failed, ok := errors.AsType[*authzcore.ConditionError](err); ok {
			got = failed.Detail
		}
		if got != want {
			t.Errorf("%s: %s, %v; want %s", question, got, err, want)
		}
	}
	many := make([]any, 1000)
	for i := range many {
		many[i] = "secret"
	}
	began := time.Now()
	_, err := v.Decide(t.Context(), ask("user:u a slow:1"), authzcore.Circumstances{Context: map[string]any{"l": many}})
	if failed, ok := errors.AsType[*authzcore.ConditionError](err); !ok || failed.Detail != "cost limit exceeded" || strings.Contains(err.Error(), "secret") {
		t.Errorf("an endless condition: %v after %v", err, time.Since(began))
	}
}

func second[T any](_ T, err error) error { return err }
