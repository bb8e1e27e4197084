package authzcore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

func order(a, b authzcore.Relationship) int {
	if c := strings.Compare(a.Resource, b.Resource); c != 0 {
		return c
	}
	if c := strings.Compare(a.Relation, b.Relation); c != 0 {
		return c
	}
	return strings.Compare(a.Subject, b.Subject)
}

// matches is what a filter means, on texts.
func matches(f authzcore.Filter, r authzcore.Relationship) bool {
	one := func(filter, text string) bool {
		return filter == "" || filter == text || !strings.Contains(filter, ":") && strings.HasPrefix(text, filter+":")
	}
	return one(f.Resource, r.Resource) && (f.Relation == "" || f.Relation == r.Relation) && one(f.Subject, r.Subject)
}

func TestReadPages(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	var all []authzcore.Relationship
	var drawn []string
	ids := []string{"1", "10", "2", "a", "é", "!", "zz"}
	id := func() string { return ids[r.IntN(len(ids))] }
	for range 400 {
		subject := []string{"user:" + id(), "user:*", "group:" + id() + "#member", "group:" + id()}[r.IntN(4)]
		drawn = append(drawn, []string{"doc", "doc-2", "group"}[r.IntN(3)]+":"+id()+"#"+[]string{"a", "member", "member-2"}[r.IntN(3)]+"@"+subject)
	}
	g := graphOf(t, teams, drawn...)
	slices.Sort(drawn)
	for _, text := range slices.Compact(drawn) {
		all = append(all, rel(text))
	}
	slices.SortFunc(all, order)
	filters := []authzcore.Filter{
		{},
		{Resource: "doc:1"},
		{Resource: "doc"},
		{Relation: "a"},
		{Subject: "user:1"},
		{Subject: "group:1#member"},
		{Subject: "group:1"},
		{Subject: "group"},
		{Subject: "user:*"},
		{Resource: "group", Relation: "member", Subject: "user"},
		{Resource: "doc:2", Subject: "user:2"},
		{Resource: "nothing"},
		{Subject: "user:nobody"},
		{Resource: "doc:nothing"},
		{Relation: "nothing"},
		{Subject: "user:1#member"},
		{Resource: "user:1"},
	}
	for _, f := range filters {
		var want []authzcore.Relationship
		for _, x := range all {
			if matches(f, x) {
				want = append(want, x)
			}
		}
		for _, limit := range []int{1, 7, 1000} {
			var got []authzcore.Relationship
			var after authzcore.Relationship
			for more := true; more; {
				var page []authzcore.Relationship
				var err error
				if page, more, err = g.View().Read(t.Context(), f, after, limit); err != nil {
					t.Fatal(err)
				}
				if more && len(page) != limit {
					t.Fatalf("%+v: a page of %d says that there is more", f, len(page))
				}
				got = append(got, page...)
				if len(page) > 0 {
					after = page[len(page)-1]
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v by %d: %d relationships, not %d", f, limit, len(got), len(want))
			}
		}
	}
}

func TestReadRefuses(t *testing.T) {
	v := graphOf(t, teams).View()
	for _, f := range []authzcore.Filter{{Resource: "doc:"}, {Resource: "doc:*"}, {Resource: "1"}, {Relation: "a b"}, {Subject: "user:a b"}, {Subject: "us er"}, {Subject: "a:b#"}} {
		var input *authzcore.InputError
		if _, _, err := v.Read(t.Context(), f, authzcore.Relationship{}, 10); !errors.As(err, &input) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestExplain(t *testing.T) {
	v := graphOf(t, teams+"type page\n  relations\n    define doc: [doc]\n    define banned: [user]\n    define see: (a from doc) but not banned\n",
		"doc:2#parent@doc:1", "doc:1#a@group:2#member", "group:2#member@group:1#member", "group:1#member@user:u", "doc:3#a@user:*",
		"page:1#doc@doc:2", "page:1#banned@user:w", "page:3#doc@doc:3", "doc:2#parent@doc:2").View()
	show := func(q string) string {
		x, err := v.Explain(t.Context(), ask(q), authzcore.Circumstances{})
		if err != nil || x.Truncated {
			t.Fatalf("%s: %v, %+v", q, err, x)
		}
		var b strings.Builder
		var walk func(s *authzcore.Step, depth int)
		walk = func(s *authzcore.Step, depth int) {
			fmt.Fprintf(&b, "%s%d %s %v %s\n", strings.Repeat(" ", depth), s.Kind, s.Question, s.Allowed, s.Relationship)
			for _, c := range s.Steps {
				walk(c, depth+1)
			}
		}
		walk(x.Root, 0)
		return b.String()
	}
	for q, want := range map[string]string{
		"user:u see page:1": `8 page:1#see true 
 5 page:1#see true page:1#doc@doc:2
  6 doc:2#a true 
   5 doc:2#a true doc:2#parent@doc:1
    6 doc:1#a true 
     3 doc:1#a true doc:1#a@group:2#member
      3 group:2#member true group:2#member@group:1#member
       1 group:1#member true group:1#member@user:u
 4 page:1#see false 
  1 page:1#banned false 
`,
		"user:x a doc:3": "6 doc:3#a true \n 2 doc:3#a true doc:3#a@user:*\n",
		"user:x a doc:2": `6 doc:2#a false 
 1 doc:2#a false 
 5 doc:2#a false 
  5 doc:2#a false doc:2#parent@doc:2
   9 doc:2#a false 
  5 doc:2#a false doc:2#parent@doc:1
   6 doc:1#a false 
    1 doc:1#a false 
     3 doc:1#a false doc:1#a@group:2#member
      1 group:2#member false 
       3 group:2#member false group:2#member@group:1#member
        1 group:1#member false 
    5 doc:1#a false 
`,
	} {
		if got := show(q); got != want {
			t.Errorf("%s:\n%swant:\n%s", q, got, want)
		}
	}
}

func TestExplainIsCut(t *testing.T) {
	var many []string
	for i := range 900 {
		many = append(many, fmt.Sprintf("folder:w#parent@folder:%d", i), fmt.Sprintf("folder:%d#parent@folder:x%d", i, i))
	}
	v := graphOf(t, folders, many...).View()
	x, err := v.Explain(t.Context(), ask("user:u a folder:w"), authzcore.Circumstances{})
	if err != nil || x.Decision.Answer == authzcore.Allow || !x.Truncated {
		t.Fatalf("%v, %+v", err, x)
	}
	var count func(s *authzcore.Step) int
	count = func(s *authzcore.Step) int {
		n := 1
		for _, c := range s.Steps {
			n += count(c)
		}
		return n
	}
	if n := count(x.Root); n > authzcore.MaxSteps || n < authzcore.MaxSteps/2 {
		t.Errorf("the tree has %d steps", n)
	}
}

// A read that must look at the whole graph ends with its context.
func TestReadEnds(t *testing.T) {
	var many []string
	for i := range 20_000 {
		many = append(many, fmt.Sprintf("doc:%d#a@user:u", i))
	}
	v := graphOf(t, teams, many...).View()
	for name, read := range map[string]func(context.Context) error{
		"a page": func(ctx context.Context) error {
			return second2(v.Read(ctx, authzcore.Filter{Resource: "doc"}, authzcore.Relationship{}, 10))
		},
		"nothing": func(ctx context.Context) error {
			return second2(v.Read(ctx, authzcore.Filter{Subject: "group"}, authzcore.Relationship{}, 10))
		},
		"all": func(ctx context.Context) error {
			return v.Each(ctx, authzcore.Filter{}, func(authzcore.Relationship) bool { return true })
		},
	} {
		ctx := &ending{Context: t.Context(), left: 3}
		if err := read(ctx); !errors.Is(err, context.DeadlineExceeded) || ctx.late != 1 {
			t.Errorf("%s: %v, looked at %d times after the end", name, err, ctx.late)
		}
	}
}

func second2[A, B any](_ A, _ B, err error) error { return err }
