package authzcore_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

const diffBase = `model
  schema 1.1
type user
type group
  relations
    define member: [user, group#member]
type folder
type document
  relations
    define parent: [folder]
    define owner: [user]
    define reader: [user, user:*, group#member] or owner
    define banned: [user]
    define can_read: (reader or owner) but not banned
`

func compileOne(t testing.TB, source string) *authzcore.Model {
	t.Helper()
	m, err := authzcore.Compile(authzcore.NewNames(), whole(source))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDiff(t *testing.T) {
	type d = authzcore.Difference
	for name, tc := range map[string]struct {
		old, new string
		want     []d
	}{
		"nothing":               {"", "", nil},
		"order of restrictions": {"[user, user:*, group#member]", "[group#member, user, user:*]", nil},
		"a relation's definition": {"[user, user:*, group#member] or owner", "[user] or owner", []d{{
			Type: "document", Relation: "reader",
			Before: "define reader: [user, user:*, group#member] or owner", After: "define reader: [user] or owner",
		}}},
		"parentheses": {"(reader or owner) but not banned", "reader and (owner but not banned) and parent", []d{{
			Type: "document", Relation: "can_read",
			Before: "define can_read: (reader or owner) but not banned", After: "define can_read: reader and (owner but not banned) and parent",
		}}},
		"a new relation": {"    define banned", "    define can_move: owner from parent or owner\n    define banned", []d{{
			Type: "document", Relation: "can_move", After: "define can_move: owner from parent or owner",
		}}},
		"a removed relation": {"    define can_read: (reader or owner) but not banned\n", "", []d{{
			Type: "document", Relation: "can_read", Before: "define can_read: (reader or owner) but not banned",
		}}},
		"a new type": {"type user\n", "type user\ntype robot\n  relations\n    define owner: [user]\n", []d{{
			Type: "robot", After: "type robot\n  relations\n    define owner: [user]",
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			base := strings.Replace(diffBase, "type folder\n", "type folder\n  relations\n    define owner: [user]\n", 1)
			changed := strings.Replace(base, tc.old, tc.new, 1)
			if diff := cmp.Diff(tc.want, authzcore.Diff(compileOne(t, base), compileOne(t, changed))); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
			for _, x := range authzcore.Diff(compileOne(t, changed), compileOne(t, base)) {
				if !slices.Contains(tc.want, d{Type: x.Type, Relation: x.Relation, Before: x.After, After: x.Before}) {
					t.Errorf("the other way round: %+v", x)
				}
			}
		})
	}
}

func TestDiffOfModules(t *testing.T) {
	compile := func(files []authzcore.File) *authzcore.Model {
		m, err := authzcore.Compile(authzcore.NewNames(), files)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	want := []authzcore.Difference{
		{
			Type: "organization", Relation: "can_write",
			Before: "define can_write: admin  # in module wiki", After: "define can_write: admin  # in module pages",
		},
		{Type: "page", Before: "type page  # in module wiki", After: "type page  # in module pages"},
	}
	got := authzcore.Diff(compile(modules(manifest, core, wiki)), compile(modules(manifest, core, strings.Replace(wiki, "module wiki", "module pages", 1))))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
}

// A rendered type is one that the compiler reads as the same.
func TestDiffIsInTheLanguage(t *testing.T) {
	var types []string
	for _, d := range authzcore.Diff(compileOne(t, "model\n  schema 1.1\ntype nothing\n"), compileOne(t, cloudModel(t))) {
		if d.Before == "" {
			types = append(types, d.After)
		}
	}
	if got, want := compileOne(t, "model\n  schema 1.1\n"+strings.Join(types, "\n")+"\n").ID(), compileOne(t, cloudModel(t)).ID(); got != want {
		t.Errorf("the rendered model is %s, want %s", got, want)
	}
}

func TestOrphans(t *testing.T) {
	names := authzcore.NewNames()
	from, err := authzcore.Compile(names, whole(diffBase))
	if err != nil {
		t.Fatal(err)
	}
	stored := []authzcore.Relationship{
		{Resource: "document:a", Relation: "reader", Subject: "user:anna"},
		{Resource: "document:a", Relation: "reader", Subject: "user:*"},
		{Resource: "document:a", Relation: "reader", Subject: "group:g#member"},
		{Resource: "document:b", Relation: "reader", Subject: "group:g#member"},
		{Resource: "document:a", Relation: "parent", Subject: "folder:f"},
		{Resource: "group:g", Relation: "member", Subject: "user:anna"},
	}
	g := authzcore.NewGraph(names)
	replay(t, g, from, stored)
	for name, tc := range map[string]struct {
		old, new string
		want     map[string]uint64
		why      any
	}{
		"nothing":                 {"", "", nil, nil},
		"more is allowed":         {"owner: [user]", "owner: [user, group#member]", nil, nil},
		"what nobody stored":      {"    define banned: [user]\n    define can_read: (reader or owner) but not banned\n", "", nil, nil},
		"a kind of subject":       {"[user, user:*, group#member]", "[user, user:*]", map[string]uint64{"document#reader@group#member": 2}, new(*authzcore.ForbiddenError)},
		"two kinds":               {"[user, user:*, group#member]", "[user]", map[string]uint64{"document#reader@group#member": 2, "document#reader@user:*": 1}, new(*authzcore.ForbiddenError)},
		"a relation":              {"    define parent: [folder]\n", "", map[string]uint64{"document#parent@folder": 1}, new(*authzcore.RelationUnknownError)},
		"a type":                  {"type folder\n", "type drawer\n", map[string]uint64{"document#parent@folder": 1}, new(*authzcore.TypeUnknownError)},
		"a relation is computed":  {"[user, user:*, group#member] or owner", "owner", map[string]uint64{"document#reader@user": 1, "document#reader@user:*": 1, "document#reader@group#member": 2}, new(*authzcore.ForbiddenError)},
		"the relation of a group": {"define member: [user, group#member]", "define member: [group#member] or lead\n    define lead: [user]", map[string]uint64{"group#member@user": 1}, new(*authzcore.ForbiddenError)},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(diffBase, tc.old, tc.new, 1)
			if name == "a type" {
				changed = strings.Replace(changed, "[folder]", "[drawer]", 1)
			}
			to := compileOne(t, changed)
			got := map[string]uint64{}
			for _, o := range g.View().Orphans(from, to, nil) {
				got[o.Kind] = o.Count
				if uint64(len(o.Examples)) != o.Count || !errors.As(o.Why, tc.why) {
					t.Errorf("%s: examples %v, why %v", o.Kind, o.Examples, o.Why)
				}
			}
			if len(got) == 0 {
				got = nil
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("orphans (-want +got):\n%s", diff)
			}
			if authzcore.Keeps(from, to) && got != nil {
				t.Error("the model is said to keep all")
			}
			// What the first model refuses too is no orphan.
			if again := g.View().Orphans(to, to, nil); len(again) != 0 {
				t.Errorf("from the new model to itself: %v", again)
			}
		})
	}
}

const conditionBase = `model
  schema 1.1
type user
type document
  relations
    define reader: [user, user with office]
condition office(hour: int, zone: string) {
  hour > 8 && zone == "eu"
}
`

func TestDiffOfConditions(t *testing.T) {
	type d = authzcore.Difference
	const before = "condition office(hour: int, zone: string) {\n  hour > 8 && zone == \"eu\"\n}"
	for name, tc := range map[string]struct {
		old, new string
		want     []d
	}{
		"white space":   {"hour > 8 && zone", "hour > 8\n    &&   zone", nil},
		"an expression": {"hour > 8", "hour > 9", []d{{Condition: "office", Before: before, After: strings.Replace(before, "8", "9", 1)}}},
		"a parameter":   {"hour: int", "hour: uint", []d{{Condition: "office", Before: before, After: strings.Replace(before, "int", "uint", 1)}}},
		"a new condition": {"condition office", "condition late(x: bool) {\n  x\n}\ncondition office", []d{{
			Condition: "late", After: "condition late(x: bool) {\n  x\n}",
		}}},
		"a restriction": {"[user, user with office]", "[user with office]", []d{{
			Type: "document", Relation: "reader", Before: "define reader: [user, user with office]", After: "define reader: [user with office]",
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(conditionBase, tc.old, tc.new, 1)
			if name == "a parameter" {
				changed = strings.Replace(changed, "hour > 8", "hour > 8u", 1)
				tc.want[0].After = strings.Replace(tc.want[0].After, "hour > 8", "hour > 8u", 1)
			}
			if diff := cmp.Diff(tc.want, authzcore.Diff(compileOne(t, conditionBase), compileOne(t, changed))); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
}

// What is stored with a condition is lost with it, or with the types of its
// parameters that have a stored value.
func TestOrphansOfConditions(t *testing.T) {
	names := authzcore.NewNames()
	from, err := authzcore.Compile(names, whole(conditionBase))
	if err != nil {
		t.Fatal(err)
	}
	under := func(subject, context string) authzcore.Relationship {
		return authzcore.Relationship{
			Resource: "document:a", Relation: "reader", Subject: subject,
			Terms: authzcore.Terms{Condition: "office", Context: context},
		}
	}
	g := authzcore.NewGraph(names)
	replay(t, g, from, []authzcore.Relationship{
		{Resource: "document:a", Relation: "reader", Subject: "user:anna"},
		under("user:bert", ""), under("user:cleo", `{"hour":9}`), under("user:dana", `{"zone":"eu"}`),
	})
	const kind = "document#reader@user with office"
	for name, tc := range map[string]struct {
		old, new string
		want     map[string]uint64
		keeps    bool
	}{
		"nothing":             {"", "", map[string]uint64{}, true},
		"another expression":  {"hour > 8", "hour > 9", map[string]uint64{}, true},
		"one more parameter":  {"hour: int", "day: int, hour: int", map[string]uint64{}, true},
		"another type":        {"hour: int, zone: string", "hour: int, zone: int", map[string]uint64{kind: 1}, false},
		"one parameter less":  {"hour: int, zone: string", "zone: string", map[string]uint64{kind: 1}, false},
		"without a condition": {"user with office", "user:*", map[string]uint64{kind: 3}, false},
		"with it only":        {"[user, user with office]", "[user with office]", map[string]uint64{"document#reader@user": 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(conditionBase, tc.old, tc.new, 1)
			switch name {
			case "another type":
				changed = strings.Replace(changed, `zone == "eu"`, "zone == 1", 1)
			case "one parameter less":
				changed = strings.Replace(changed, "hour > 8 && ", "", 1)
			}
			to := compileOne(t, changed)
			got := map[string]uint64{}
			for _, o := range g.View().Orphans(from, to, nil) {
				got[o.Kind] = o.Count
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("orphans (-want +got):\n%s", diff)
			}
			if keeps := authzcore.Keeps(from, to); keeps != tc.keeps {
				t.Errorf("Keeps = %v, want %v", keeps, tc.keeps)
			}
		})
	}
}

func TestKeeps(t *testing.T) {
	base := compileOne(t, diffBase)
	for name, tc := range map[string]struct {
		old, new string
		want     bool
	}{
		"the same":              {"", "", true},
		"more subjects":         {"owner: [user]", "owner: [user, group#member]", true},
		"another definition":    {"(reader or owner) but not banned", "owner", true},
		"a computed one goes":   {"    define can_read: (reader or owner) but not banned\n", "", true},
		"a stored one goes":     {"    define banned: [user]\n    define can_read: (reader or owner) but not banned\n", "", false},
		"a kind of subject":     {"[user, user:*, group#member]", "[user, user:*]", false},
		"a stored one computed": {"[user, user:*, group#member] or owner", "owner", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := authzcore.Keeps(base, compileOne(t, strings.Replace(diffBase, tc.old, tc.new, 1))); got != tc.want {
				t.Errorf("Keeps = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestOrphansGiveFewExamples(t *testing.T) {
	names := authzcore.NewNames()
	from, err := authzcore.Compile(names, whole(diffBase))
	if err != nil {
		t.Fatal(err)
	}
	var stored []authzcore.Relationship
	for i := range 50 {
		stored = append(stored, authzcore.Relationship{Resource: "document:d" + itoa(i), Relation: "owner", Subject: "user:anna"})
	}
	g := authzcore.NewGraph(names)
	replay(t, g, from, stored)
	to := compileOne(t, strings.Replace(diffBase, "owner: [user]", "owner: [group#member]", 1))
	if got := g.View().Orphans(from, to, nil); len(got) != 1 || got[0].Count != 50 || len(got[0].Examples) != 5 {
		t.Errorf("orphans %+v, want 50 with 5 examples", got)
	}
	except := func(resource, relation string) bool { return relation == "owner" && resource != "document:d7" }
	if got := g.View().Orphans(from, to, except); len(got) != 1 || got[0].Count != 1 || got[0].Examples[0] != stored[7] {
		t.Errorf("orphans %+v, want only document:d7", got)
	}
	all := func(string, string) bool { return true }
	if got := g.View().Orphans(from, to, all); len(got) != 0 {
		t.Errorf("orphans %+v, want none", got)
	}
}

// BenchmarkOrphans prints what a look at every relationship costs, when nothing
// and when a kind is lost.
func BenchmarkOrphans(b *testing.B) {
	for _, size := range sizes() {
		s := readWorkSet(b, size)
		names := authzcore.NewNames()
		from := compileCloud(b, names)
		g := authzcore.NewGraph(names)
		replay(b, g, from, s.relationships)
		for name, to := range map[string]*authzcore.Model{
			"none": from, "some": compileOne(b, strings.Replace(cloudModel(b), "define banned: [user]", "define banned: [group#member]", 1)),
		} {
			b.Run(name+"/"+size, func(b *testing.B) {
				var lost uint64
				for b.Loop() {
					lost = 0
					for _, o := range g.View().Orphans(from, to, nil) {
						lost += o.Count
					}
				}
				b.ReportMetric(float64(lost), "orphans")
				b.ReportMetric(float64(len(s.relationships)), "relationships")
			})
		}
	}
}
