package authzcore_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// chain relates type:prefix1 to type:prefix2 and so on, n objects in all.
func chain(typ, relation, prefix string, n int) []string {
	var out []string
	for i := 1; i < n; i++ {
		out = append(out, fmt.Sprintf("%s:%s%d#%s@%s:%s%d", typ, prefix, i, relation, typ, prefix, i+1))
	}
	return out
}

// A circle of documents, each of which needs the next.
const circle = `type user
type doc
  relations
    define parent: [doc]
    define own: [user]
    define other: [user]
    define open: view or open from parent
    define view: other or (own and open from parent)
`

// A folder needs a document that has a side beside the folder. A check of a binder
// asks for its page first, and remembers it.
const around = `type user
type step
  relations
    define next: [step, doc]
    define end: end from next or view from next
type folder
  relations
    define own: [user]
    define via: [step]
    define open: own and end from via
type doc
  relations
    define folder: [folder]
    define side: [step]
    define ok: [user, user with hours]
    define other: [user]
    define view: other or (ok and (open from folder or end from side))
type binder
  relations
    define page: [doc]
    define none: [step]
    define folder: [folder]
    define copy: [folder]
    define other: [user]
    define view: other or (view from page and end from none) or (open from folder and open from copy)
condition hours(hour: int, from: int) {
  hour >= from && hour < 18
}
`

// Of two sides of 30 steps one lies between folder:1 and doc:1, the other behind
// doc:1.
var sides = slices.Concat(chain("step", "next", "a", 30), chain("step", "next", "b", 30), []string{
	"folder:1#own@user:u", "folder:1#via@step:a1", "step:a30#next@doc:1", "doc:1#side@step:b1", "doc:1#ok@user:u",
})

// A binder of doc:1 and folder:1, whose side ends well.
var binder = slices.Concat(sides, []string{
	"step:b30#next@doc:0", "doc:0#other@user:u", "binder:1#page@doc:1", "binder:1#folder@folder:1", "binder:1#copy@folder:1",
})

// A list of objects goes over the limit of depth only where a check of one of its
// objects does. It asks for parts of definitions by themselves, so it may meet
// the limit on ways on which no check goes so far.
func TestListObjectsIsNoDeeperThanChecks(t *testing.T) {
	for name, test := range map[string]struct {
		model, typ    string
		relationships []string
		want          string
		err           error
	}{
		"round a circle twice": {
			circle, "doc",
			slices.Concat(chain("doc", "parent", "", 30), []string{"doc:30#parent@doc:1", "doc:1#own@user:u"}),
			"[{doc:0 false}]", nil,
		},
		"down a chain to a circle": {
			circle, "doc",
			slices.Concat(chain("doc", "parent", "", 40), []string{"doc:40#parent@doc:11", "doc:11#own@user:u"}),
			"[{doc:0 false}]", nil,
		},
		"a circle that is too long": {
			circle, "doc",
			slices.Concat(chain("doc", "parent", "", 51), []string{"doc:51#parent@doc:1", "doc:1#own@user:u"}),
			"", authzcore.ErrTooDeep,
		},
		"a side behind a circle": {
			around, "doc",
			slices.Concat(sides, []string{"doc:1#folder@folder:1"}),
			"[{doc:0 false}]", nil,
		},
		"a side that the check remembers": {
			around, "binder",
			binder,
			"[{binder:0 false} {binder:1 false}]", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := graphOf(t, test.model, append(test.relationships, test.typ+":0#other@user:u")...).View()
			list, err := v.ListObjects(t.Context(), authzcore.ObjectQuery{Subject: "user:u", Permission: "view", Type: test.typ}, authzcore.Circumstances{})
			if got := fmt.Sprint(list); !errors.Is(err, test.err) || err == nil && got != test.want {
				t.Errorf("list is %s, %v", got, err)
			}
			var checked []authzcore.Found
			var failed error
			for i := range 60 {
				name := fmt.Sprintf("%s:%d", test.typ, i)
				ok, err := v.Check(authzcore.Question{Subject: "user:u", Permission: "view", Resource: name})
				if failed = errors.Join(failed, err); ok {
					checked = append(checked, authzcore.Found{Name: name})
				}
			}
			if got := fmt.Sprint(checked); !errors.Is(failed, test.err) || failed == nil && got != test.want {
				t.Errorf("checks say %s, %v", got, failed)
			}
		})
	}
}

// What is decided by itself may depend on conditions too.
func TestListObjectsIsConditionalAsChecksAre(t *testing.T) {
	v := relate(t, graphOf(t, around, binder...), when("doc:1#ok@user:u", ""))
	q := authzcore.ObjectQuery{Subject: "user:u", Permission: "view", Type: "binder"}
	for hour, want := range map[float64]string{8: "[{binder:1 true}] <nil>", 19: "[] <nil>"} {
		under := authzcore.Circumstances{Context: map[string]any{"hour": hour}}
		if hour > 18 {
			under.Context["from"] = 0.0
		}
		if got := fmt.Sprint(v.ListObjects(t.Context(), q, under)); got != want {
			t.Errorf("at %v: %s; want %s", hour, got, want)
		}
	}
}

// What is certain stays so where a limit is in the way of what is conditional.
func TestListObjectsIsAsCertainAsChecks(t *testing.T) {
	const model = `type user
type folder
  relations
    define up: [folder]
    define viewer: [user] or viewer from up
type doc
  relations
    define left: [folder, folder with hours]
    define right: [folder, folder with hours]
    define view: viewer from left and viewer from right
condition hours(hour: int) {
  hour < 18
}
`
	relationships := []authzcore.Relationship{rel("folder:way5#viewer@user:u"), rel("doc:1#left@folder:way1"), rel("doc:1#right@folder:way1")}
	for i := range 30 {
		prefix := fmt.Sprintf("x%dx", i)
		relationships = append(relationships, when("doc:1#left@folder:"+prefix+"1", ""), when("doc:1#right@folder:"+prefix+"1", ""))
		for _, r := range chain("folder", "up", prefix, 4) {
			relationships = append(relationships, rel(r))
		}
	}
	g := graphOf(t, model, chain("folder", "up", "way", 5)...)
	g.SetLimits(authzcore.Limits{Visits: 100})
	v := relate(t, g, relationships...)
	if ok, err := v.Check(ask("user:u view doc:1")); !ok || err != nil {
		t.Errorf("check: %v, %v", ok, err)
	}
	list, err := v.ListObjects(t.Context(), authzcore.ObjectQuery{Subject: "user:u", Permission: "view", Type: "doc"}, authzcore.Circumstances{})
	if got := fmt.Sprint(list, err); got != "[{doc:1 false}] <nil>" {
		t.Errorf("list: %s", got)
	}
}

// Lists go another way than checks, and may have what lies too deep for them.
func TestListsGoDeeperThanChecks(t *testing.T) {
	v := graphOf(t, folders, append(chain("folder", "parent", "", 60), "folder:60#a@user:u")...).View()
	if _, err := v.Check(ask("user:u a folder:1")); !errors.Is(err, authzcore.ErrTooDeep) {
		t.Errorf("check: %v", err)
	}
	objects, err := v.ListObjects(t.Context(), authzcore.ObjectQuery{Subject: "user:u", Permission: "b", Type: "folder"}, authzcore.Circumstances{})
	if len(objects) != 60 || err != nil {
		t.Errorf("%d objects, %v", len(objects), err)
	}
	subjects, err := v.ListSubjects(t.Context(), authzcore.SubjectQuery{Resource: "folder:1", Permission: "a", Type: "user"}, authzcore.Circumstances{})
	if len(subjects) != 1 || err != nil {
		t.Errorf("%d subjects, %v", len(subjects), err)
	}
	// What has an exclusion is checked subject by subject.
	_, err = v.ListSubjects(t.Context(), authzcore.SubjectQuery{Resource: "folder:1", Permission: "b", Type: "user"}, authzcore.Circumstances{})
	if !errors.Is(err, authzcore.ErrTooDeep) {
		t.Errorf("subjects under an exclusion: %v", err)
	}
}
