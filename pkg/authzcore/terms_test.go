package authzcore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

func TestExpiry(t *testing.T) {
	g := graphOf(t, office)
	r := rel("folder:1#owner@user:u")
	r.Terms.Expires = 1000
	v := relate(t, g, r)
	for at, want := range map[int64]authzcore.Answer{999: authzcore.Allow, 1000: authzcore.Deny, 1001: authzcore.Deny} {
		under := authzcore.Circumstances{At: time.Unix(at, 0)}
		if d, err := v.Decide(t.Context(), ask("user:u owner folder:1"), under); err != nil || d.Answer != want {
			t.Errorf("at %d: %v, %v", at, d, err)
		}
		list, err := v.ListObjects(t.Context(), authzcore.ObjectQuery{Subject: "user:u", Permission: "owner", Type: "folder"}, under)
		if err != nil || (len(list) == 1) != (want == authzcore.Allow) {
			t.Errorf("list at %d: %v, %v", at, list, err)
		}
	}
	if ok, err := v.Check(ask("user:u owner folder:1")); ok || err != nil {
		t.Errorf("now: %v, %v", ok, err)
	}
	// Written again without an expiry, it holds for good.
	if ok, err := relate(t, g, r.Key()).Check(ask("user:u owner folder:1")); !ok || err != nil {
		t.Errorf("written again: %v, %v", ok, err)
	}
}

func TestValidateTerms(t *testing.T) {
	m := graphOf(t, office).View().Model()
	for name, test := range map[string]struct {
		r    authzcore.Relationship
		want error
	}{
		"unknown condition":   {authzcore.Relationship{Resource: "doc:1", Relation: "banned", Subject: "user:u", Terms: authzcore.Terms{Condition: "x"}}, new(authzcore.ConditionUnknownError)},
		"not this relation":   {when("folder:1#owner@user:u", ""), new(authzcore.ForbiddenError)},
		"not without":         {rel("folder:1#viewer@user:*"), new(authzcore.ForbiddenError)},
		"no such parameter":   {when("doc:1#banned@user:u", `{"day":1}`), new(authzcore.ContextError)},
		"wrong type":          {when("doc:1#banned@user:u", `{"from":"x"}`), new(authzcore.ContextError)},
		"no JSON":             {when("doc:1#banned@user:u", `{`), new(authzcore.InputError)},
		"context without one": {authzcore.Relationship{Resource: "doc:1", Relation: "banned", Subject: "user:u", Terms: authzcore.Terms{Context: `{"from":1}`}}, new(authzcore.InputError)},
		"before 1970":         {authzcore.Relationship{Resource: "doc:1", Relation: "banned", Subject: "user:u", Terms: authzcore.Terms{Expires: -1}}, new(authzcore.InputError)},
	} {
		if err := m.Validate(test.r); fmt.Sprintf("%T", err) != fmt.Sprintf("%T", test.want) {
			t.Errorf("%s: %v (%T)", name, err, err)
		}
	}
	if err := m.Validate(when("doc:1#banned@user:u", `{"from":9}`)); err != nil {
		t.Error(err)
	}
}

func TestEncodeContext(t *testing.T) {
	var deep any = 1.0
	for range 20 {
		deep = []any{deep}
	}
	for rule, context := range map[string]map[string]any{
		"number": {"x": math.NaN()}, "utf8": {"x": "\xff"}, "depth": {"x": deep}, "value": {"x": 1},
		"length": {"x": strings.Repeat("a", authzcore.MaxStoredContextBytes)},
	} {
		_, err := authzcore.EncodeContext(context)
		if input, ok := errors.AsType[*authzcore.InputError](err); !ok || input.Rule != rule || input.Field != "context" {
			t.Errorf("%s: %v", rule, err)
		}
	}
	for _, inf := range []float64{math.Inf(1), math.Inf(-1)} {
		if _, err := authzcore.EncodeContext(map[string]any{"x": []any{inf}}); err == nil {
			t.Error("an infinity is encoded")
		}
	}
	text, err := authzcore.EncodeContext(map[string]any{"b": true, "a": []any{nil, "x"}})
	if err != nil || text != `{"a":[null,"x"],"b":true}` {
		t.Errorf("%s, %v", text, err)
	}
	if text, err := authzcore.EncodeContext(map[string]any{}); text != "" || err != nil {
		t.Errorf("nothing is %q, %v", text, err)
	}
}

func TestSnapshotHasTerms(t *testing.T) {
	g := graphOf(t, office)
	expires := rel("folder:1#owner@user:e")
	expires.Terms.Expires = 5_000_000_000
	relate(t, g, when("doc:1#banned@user:gone", ""), when("doc:1#banned@user:plain", `{"from":1}`))
	if err := g.Apply(10, []authzcore.Change{{Relationship: rel("doc:1#banned@user:gone"), Delete: true}}, nil); err != nil {
		t.Fatal(err)
	}
	v := relate(t, g, rel("doc:1#banned@user:plain"), expires, when("group:1#member@group:2#member", `{"from":9}`), when("folder:1#viewer@user:*", ""))
	data := write(t, v, authzcore.Header{})
	names := authzcore.NewNames()
	find := func(string) (*authzcore.Model, error) {
		return authzcore.Compile(names, whole("model\n  schema 1.1\n"+office))
	}
	loaded, _, err := authzcore.LoadSnapshot(bytes.NewReader(data), names, find, authzcore.SnapshotLimits{})
	if err != nil {
		t.Fatal(err)
	}
	everything := func(v *authzcore.View) []string {
		found, _, err := v.Read(t.Context(), authzcore.Filter{}, authzcore.Relationship{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range found {
			out = append(out, fmt.Sprintf("%+v", r))
		}
		return out
	}
	if a, b := everything(v), everything(loaded.View()); !slices.Equal(a, b) || len(a) != 4 {
		t.Errorf("%v\n%v", a, b)
	}
	for i := range data {
		broken := slices.Clone(data)
		broken[i] ^= 0x55
		if _, _, err := authzcore.LoadSnapshot(bytes.NewReader(broken), authzcore.NewNames(), find, authzcore.SnapshotLimits{}); err == nil {
			t.Fatalf("byte %d changed: loaded", i)
		}
	}
}
