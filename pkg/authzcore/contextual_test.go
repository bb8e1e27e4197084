package authzcore_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

func TestContextual(t *testing.T) {
	g := graphOf(t, office)
	v := relate(t, g, when("doc:1#banned@user:u", `{"from":9}`), rel("doc:1#parent@folder:1"))
	before := texts(v)
	over, err := v.With([]authzcore.Relationship{
		rel("folder:1#viewer@group:new#member"), rel("group:new#member@user:u"), rel("doc:1#banned@user:u"), rel("doc:new#parent@folder:1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for question, want := range map[string]bool{
		"user:u view doc:1": true, "user:u view doc:new": true, "user:u safe doc:1": false, "user:u safe doc:new": true, "user:v view doc:1": false,
	} {
		if ok, err := over.Check(ask(question)); err != nil || ok != want {
			t.Errorf("%s: %v, %v", question, ok, err)
		}
		if ok, err := v.Check(ask(question)); ok || err != nil && !errors.Is(err, authzcore.ErrConditional) {
			t.Errorf("without: %s: %v, %v", question, ok, err)
		}
	}
	list, err := over.ListObjects(t.Context(), authzcore.ObjectQuery{Subject: "user:u", Permission: "view", Type: "doc"}, authzcore.Circumstances{})
	if err != nil || fmt.Sprint(list) != "[{doc:1 false} {doc:new false}]" {
		t.Errorf("%v, %v", list, err)
	}
	again, err := over.With([]authzcore.Relationship{rel("folder:1#viewer@user:v")})
	if err != nil {
		t.Fatal(err)
	}
	for question, want := range map[string]bool{"user:u view doc:new": true, "user:v view doc:new": true} {
		if ok, err := again.Check(ask(question)); err != nil || ok != want {
			t.Errorf("twice: %s: %v, %v", question, ok, err)
		}
	}
	if after := texts(g.View()); !slices.Equal(before, after) {
		t.Errorf("the graph has changed: %v", after)
	}
	for name, with := range map[string][]authzcore.Relationship{
		"forbidden": {rel("doc:1#parent@folder:1"), rel("doc:1#parent@user:u")}, "twice": {rel("doc:1#parent@folder:1"), when("doc:1#parent@folder:1", "")},
		"unknown": {rel("doc:1#parent@folder:1"), rel("page:1#parent@folder:1")}, "malformed": {rel("doc:1#parent@folder:1"), rel("doc:*#parent@folder:1")},
	} {
		_, err := v.With(with)
		if wrong, ok := errors.AsType[*authzcore.RelationshipError](err); !ok || wrong.Index != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Overlays share pages with a graph that goes on changing.
func TestContextualBesideWrites(t *testing.T) {
	g := graphOf(t, office, "doc:1#parent@folder:1")
	done := make(chan error, 1)
	go func() {
		defer close(done)
		for i := range 2000 {
			r := rel(fmt.Sprintf("folder:f%d#viewer@group:g%d#member", i, i))
			if err := g.Apply(uint64(i)+2, []authzcore.Change{{Relationship: r}, {Relationship: when(fmt.Sprintf("doc:1#banned@user:w%d", i), "")}}, nil); err != nil {
				done <- err
				return
			}
		}
	}()
	for i := range 500 {
		name := fmt.Sprintf("mine%d", i)
		over, err := g.View().With([]authzcore.Relationship{
			rel("folder:1#viewer@group:" + name + "#member"), when("group:"+name+"#member@user:"+name, `{"from":0}`),
		})
		if err != nil {
			t.Fatal(err)
		}
		under := authzcore.Circumstances{Context: map[string]any{"hour": 1.0}}
		if d, err := over.Decide(t.Context(), ask("user:"+name+" view doc:1"), under); err != nil || d.Answer != authzcore.Allow {
			t.Fatal(d, err)
		}
		if d, err := g.View().Decide(t.Context(), ask("user:"+name+" view doc:1"), under); err != nil || d.Answer != authzcore.Deny {
			t.Fatal(d, err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := g.View().Size().Relationships; n != 4001 {
		t.Errorf("%d relationships", n)
	}
}
