package authzcore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

func TestLists(t *testing.T) {
	v := relate(t, graphOf(t, office),
		rel("doc:1#parent@folder:1"), rel("doc:2#parent@folder:1"), rel("doc:2#banned@user:ann"), rel("folder:1#viewer@group:1#member"),
		rel("group:1#member@user:ann"), when("group:1#member@group:2#member", ""), rel("group:2#member@user:bob"), when("folder:1#viewer@user:*", `{"from":9}`),
	)
	under := authzcore.Circumstances{Context: map[string]any{"hour": 3.0, "from": 1.0}}
	objects := func(q string, under authzcore.Circumstances) string {
		a := ask(q)
		list, err := v.ListObjects(t.Context(), authzcore.ObjectQuery{Subject: a.Subject, Permission: a.Permission, Type: a.Resource}, under)
		return fmt.Sprint(list, err)
	}
	subjects := func(q authzcore.SubjectQuery, under authzcore.Circumstances) string {
		list, err := v.ListSubjects(t.Context(), q, under)
		return fmt.Sprint(list, err)
	}
	for got, want := range map[string]string{
		objects("user:ann safe doc", under):                                                                                         "[{doc:1 false}] <nil>",
		objects("user:bob safe doc", under):                                                                                         "[{doc:1 false} {doc:2 false}] <nil>",
		objects("user:bob safe doc", authzcore.Circumstances{}):                                                                     "[{doc:1 true} {doc:2 true}] <nil>",
		objects("user:zoe safe doc", under):                                                                                         "[] <nil>",
		objects("group:2#member member group", under):                                                                               "[{group:1 false} {group:2 false}] <nil>",
		objects("group:nowhere#member member group", under):                                                                         "[{group:nowhere false}] <nil>",
		subjects(authzcore.SubjectQuery{Resource: "doc:2", Permission: "safe", Type: "user"}, under):                                "[{user:bob false}] <nil>",
		subjects(authzcore.SubjectQuery{Resource: "doc:2", Permission: "view", Type: "user"}, authzcore.Circumstances{}):            "[{user:* true} {user:ann false} {user:bob true}] <nil>",
		subjects(authzcore.SubjectQuery{Resource: "folder:1", Permission: "viewer", Type: "group", Relation: "member"}, under):      "[{group:1#member false} {group:2#member false}] <nil>",
		subjects(authzcore.SubjectQuery{Resource: "group:nowhere", Permission: "member", Type: "group", Relation: "member"}, under): "[{group:nowhere#member false}] <nil>",
		subjects(authzcore.SubjectQuery{Resource: "doc:9", Permission: "view", Type: "user"}, under):                                "[] <nil>",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	actions, err := v.ListActions(t.Context(), "user:bob", "doc:1", under)
	if err != nil || len(actions) != 2 || actions[0].Permission != "safe" || !actions[1].Computed {
		t.Errorf("%+v, %v", actions, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{
		"unknown type": second(v.ListObjects(t.Context(), authzcore.ObjectQuery{Subject: "user:a", Permission: "a", Type: "page"}, under)),
		"no relation":  second(v.ListSubjects(t.Context(), authzcore.SubjectQuery{Resource: "doc:1", Permission: "x", Type: "user"}, under)),
		"bad subject":  second(v.ListObjects(t.Context(), authzcore.ObjectQuery{Subject: "user:a b", Permission: "view", Type: "doc"}, under)),
		"bad resource": second(v.ListActions(t.Context(), "user:a", "doc", under)),
		"expand":       second(v.Expand(t.Context(), "doc:1", "x", under)),
		"no type name": second(v.ListObjects(t.Context(), authzcore.ObjectQuery{Subject: "user:a", Permission: "view", Type: "doc:1"}, under)),
		"ended":        second(v.ListSubjects(ended, authzcore.SubjectQuery{Resource: "doc:2", Permission: "safe", Type: "user"}, under)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A wildcard that is taken away from everybody can be left to somebody whom only
// the subtracted side names. Whom that side only takes away from is not listed
// beside the wildcard.
func TestListSubjectsUnderExclusions(t *testing.T) {
	const model = `type user
type group
  relations
    define member: [user]
type folder
  relations
    define exempt: [user, group#member]
type doc
  relations
    define folder: [folder]
    define public: [user:*]
    define embargo: [user:*, user]
    define pardon: embargo but not exempt from folder
    define banned: [user]
    define viewer: public but not pardon
    define twice: viewer but not banned
    define thrice: public but not (public but not twice)
`
	v := graphOf(t, model,
		"doc:1#public@user:*", "doc:1#embargo@user:*", "doc:1#folder@folder:1", "folder:1#exempt@user:ann", "folder:1#exempt@group:1#member",
		"group:1#member@user:bob", "doc:1#banned@user:bob", "doc:1#banned@user:cid",
		"doc:2#public@user:*", "doc:2#embargo@user:dan", "doc:2#folder@folder:2", "folder:2#exempt@user:dan",
	).View()
	for question, want := range map[string]string{
		"doc:1 viewer": "[{user:ann false} {user:bob false}]",
		"doc:1 twice":  "[{user:ann false}]",
		"doc:1 thrice": "[{user:ann false}]",
		"doc:1 pardon": "[{user:* false}]",
		"doc:2 viewer": "[{user:* false} {user:dan false}]",
	} {
		resource, permission, _ := strings.Cut(question, " ")
		list, err := v.ListSubjects(t.Context(), authzcore.SubjectQuery{Resource: resource, Permission: permission, Type: "user"}, authzcore.Circumstances{})
		if got := fmt.Sprint(list); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", question, got, err, want)
		}
	}
}

// A list of subjects ends with its context, on the way and while it verifies.
func TestListSubjectsEnds(t *testing.T) {
	var many []string
	for i := range 100_000 {
		many = append(many, fmt.Sprintf("doc:1#reader@user:%d", i))
	}
	v := graphOf(t, "type user\ntype doc\n  relations\n    define banned: [user]\n    define reader: [user]\n    define view: reader but not banned\n", many...).View()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, permission := range []string{"view", "reader"} {
		_, err := v.ListSubjects(ended, authzcore.SubjectQuery{Resource: "doc:1", Permission: permission, Type: "user"}, authzcore.Circumstances{})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", permission, err)
		}
	}
	list, err := v.ListSubjects(t.Context(), authzcore.SubjectQuery{Resource: "doc:1", Permission: "view", Type: "user"}, authzcore.Circumstances{})
	if err != nil || len(list) != len(many) {
		t.Errorf("%d subjects, %v", len(list), err)
	}
}

// An expansion is bounded in bytes too: contexts may be large.
func TestExpandIsBounded(t *testing.T) {
	g := graphOf(t, office)
	long := `{"from":"` + strings.Repeat("9", 30<<10) + `"}`
	var relationships []authzcore.Relationship
	for i := range 40 {
		relationships = append(relationships, when(fmt.Sprintf("folder:few#viewer@group:%d#member", i), ""))
		r := when(fmt.Sprintf("folder:long#viewer@group:%d#member", i), "")
		r.Terms.Context = long
		relationships = append(relationships, r)
	}
	changes := make([]authzcore.Change, len(relationships))
	for i, r := range relationships {
		changes[i].Relationship = r
	}
	if err := g.Apply(2, changes, nil); err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[string]error{"folder:few": nil, "folder:long": authzcore.ErrTooWide} {
		if _, err := g.View().Expand(t.Context(), resource, "viewer", authzcore.Circumstances{}); !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", resource, err, want)
		}
	}
}
