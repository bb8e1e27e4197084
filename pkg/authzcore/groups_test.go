package authzcore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// A membership under a condition matters only where the resource leads to it,
// however many groups the resource has.
func TestConditionalGroups(t *testing.T) {
	const model = `type user
type group
  relations
    define member: [user, user:* with needs_z, user with needs_x, user with needs_y, group#member, group#member with needs_z]
type doc
  relations
    define viewer: [group#member, group#member with needs_y]
    define banned: [group#member]
    define safe: viewer but not banned
condition needs_x(x: int) {
  x > 0
}
condition needs_y(y: int) {
  10 / y > 0
}
condition needs_z(z: int) {
  z > 0
}
`
	under := func(text, condition string) authzcore.Relationship {
		r := rel(text)
		r.Terms.Condition = condition
		return r
	}
	relationships := []authzcore.Relationship{
		rel("group:g1199#member@user:plain"), under("group:other#member@user:plain", "needs_y"),
		under("group:mine#member@user:x", "needs_x"), under("group:other#member@user:x", "needs_y"),
		rel("doc:2#viewer@group:mine#member"), under("doc:3#viewer@group:mine#member", "needs_y"), under("group:top#member@group:mine#member", "needs_z"),
		rel("doc:4#viewer@group:top#member"), rel("doc:5#viewer@group:g1199#member"), rel("doc:5#banned@group:mine#member"), rel("group:g1199#member@user:x"),
		under("group:free#member@user:*", "needs_z"), rel("doc:6#viewer@group:free#member"), under("group:free#member@user:x", "needs_x"),
		rel("doc:7#viewer@group:g1199#member"), rel("doc:7#banned@group:free#member"),
	}
	for i := range 1200 {
		relationships = append(relationships, rel(fmt.Sprintf("doc:1#viewer@group:g%d#member", i)))
	}
	v := relate(t, graphOf(t, model), relationships...)
	for question, want := range map[string]string{
		"user:plain viewer doc:1": "ALLOW",
		"user:none viewer doc:1":  "DENY",
		"user:x viewer doc:1":     "ALLOW",
		"user:x viewer doc:2":     "CONDITIONAL x",
		"user:x viewer doc:3":     "CONDITIONAL x y",
		"user:x viewer doc:4":     "CONDITIONAL x z",
		"user:x safe doc:5":       "CONDITIONAL x",
		"user:plain safe doc:5":   "ALLOW",
		"user:none viewer doc:6":  "CONDITIONAL z",
		"user:x safe doc:7":       "CONDITIONAL x z",
	} {
		d, err := v.Decide(t.Context(), ask(question), authzcore.Circumstances{})
		if got := strings.TrimSpace(d.Answer.String() + " " + strings.Join(d.Missing, " ")); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", question, got, err, want)
		}
	}
	// A condition that fails matters as little.
	fails := authzcore.Circumstances{Context: map[string]any{"y": 0.0}}
	for question, want := range map[string]authzcore.Answer{"user:x viewer doc:2": authzcore.Conditional, "user:plain viewer doc:1": authzcore.Allow, "user:plain viewer doc:2": authzcore.Deny} {
		if d, err := v.Decide(t.Context(), ask(question), fails); d.Answer != want || err != nil {
			t.Errorf("%s: %v, %v; want %s", question, d, err, want)
		}
	}
	list, err := v.ListObjects(t.Context(), authzcore.ObjectQuery{Subject: "user:plain", Permission: "viewer", Type: "doc"}, authzcore.Circumstances{})
	if !slices.Contains(list, authzcore.Found{Name: "doc:1"}) || err != nil {
		t.Errorf("%v, %v", list, err)
	}
}
