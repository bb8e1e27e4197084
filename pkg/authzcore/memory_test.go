package authzcore

import (
	"errors"
	"fmt"
	"testing"
)

func graphIn(t testing.TB, model string, relationships ...Relationship) *Graph {
	t.Helper()
	names := NewNames()
	m, err := Compile(names, []File{{Path: "model.fga", Content: "model\n  schema 1.1\n" + model}})
	if err != nil {
		t.Fatal(err)
	}
	changes := make([]Change, len(relationships))
	for i, r := range relationships {
		if err := m.Validate(r); err != nil {
			t.Fatal(r, err)
		}
		changes[i].Relationship = r
	}
	g := NewGraph(names)
	if err := g.Apply(1, changes, m); err != nil {
		t.Fatal(err)
	}
	return g
}

// A list keeps what its operand searches met for as long as each of them only.
func TestListForgetsItsSearches(t *testing.T) {
	const model = `type user
type folder
  relations
    define parent: [folder]
    define owner: [user]
    define ok: owner or ok from parent
type doc
  relations
    define parent: [folder]
    define viewer: [user]
    define can: viewer and ok from parent
`
	relationships := []Relationship{{Resource: "folder:20", Relation: "owner", Subject: "user:u"}}
	for i := range 20 {
		relationships = append(relationships, Relationship{Resource: fmt.Sprintf("folder:%d", i), Relation: "parent", Subject: fmt.Sprintf("folder:%d", i+1)})
	}
	for i := range 2000 {
		doc := fmt.Sprintf("doc:%d", i)
		relationships = append(relationships, Relationship{Resource: doc, Relation: "viewer", Subject: "user:u"}, Relationship{Resource: doc, Relation: "parent", Subject: "folder:0"})
	}
	v := graphIn(t, model, relationships...).View()
	p, err := v.model.Parse(Question{Subject: "user:u", Permission: "can", Resource: "doc:x"})
	if err != nil {
		t.Fatal(err)
	}
	w := v.walk(t.Context(), &p, &Circumstances{At: now})
	defer w.c.release()
	list, err := w.list()
	if err != nil || len(list) != 2000 {
		t.Fatalf("%d documents, %v", len(list), err)
	}
	if n := len(w.c.seen.slots); n > 64 {
		t.Errorf("%d slots for searches of 20 folders", n)
	}
	if n := len(w.c.met.slots); n > 8*2000 {
		t.Errorf("%d slots for 2000 documents", n)
	}
}

// A checker at rest keeps neither the memory of a large list nor what a list
// reached.
func TestRestingChecker(t *testing.T) {
	const model = `type user
type folder
  relations
    define viewer: [user with ratio, user with flag]
type doc
  relations
    define parent: [folder]
    define viewer: viewer from parent
    define reader: [user]
`
	var relationships []Relationship
	for i := range 200 {
		folder, doc := fmt.Sprintf("folder:%d", i), fmt.Sprintf("doc:%d", i)
		r := Relationship{Resource: folder, Relation: "viewer", Subject: "user:u", Terms: Terms{Condition: "ratio"}}
		if i == 0 {
			r.Terms.Condition = "flag"
		}
		relationships = append(relationships, r, Relationship{Resource: doc, Relation: "parent", Subject: folder})
	}
	for i := range 100_000 {
		relationships = append(relationships, Relationship{Resource: "doc:0", Relation: "reader", Subject: fmt.Sprintf("user:%d", i)})
	}
	g := graphIn(t, model+testConditions, relationships...)
	v := g.View()
	resting := func() *checker {
		c, _ := g.names.scratch.Get().(*checker)
		if c == nil {
			return &checker{} // dropped, or never kept
		}
		return c
	}
	zero := Circumstances{Context: map[string]any{"x": 0.0}, At: now}
	_, err := v.ListObjects(t.Context(), ObjectQuery{Subject: "user:u", Permission: "viewer", Type: "doc"}, zero)
	if _, failed := errors.AsType[*ConditionError](err); !failed {
		t.Fatal(err)
	}
	c := resting()
	for _, x := range c.reached[:cap(c.reached)] {
		if x.relation != nil {
			t.Error("a checker at rest holds on to a model")
			break
		}
	}
	list, err := v.ListSubjects(t.Context(), SubjectQuery{Resource: "doc:0", Permission: "reader", Type: "user"}, zero)
	if err != nil || len(list) != 100_000 {
		t.Fatalf("%d subjects, %v", len(list), err)
	}
	if c := resting(); cap(c.naming.keys) >= 100_000 {
		t.Error("a checker at rest keeps the memory of 100,000 names")
	}
}
