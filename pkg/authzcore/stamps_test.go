package authzcore

import (
	"fmt"
	"testing"
)

// displaced is how far entries are from where they belong, on average.
func (t *stamps) displaced() float64 {
	total, entries := 0, 0
	for i, s := range t.slots {
		if s.gen >= t.base {
			total += (i - int(t.home(s.key, s.gen))) & (len(t.slots) - 1)
			entries++
		}
	}
	return float64(total) / float64(max(entries, 1))
}

// Entries that differ in one of their parts only must not crowd together: the
// objects of one search, the states of one object, or the same objects in one
// search after another.
func TestStampsSpread(t *testing.T) {
	for name, test := range map[string]struct{ objects, states, generations int }{
		"objects":                            {100_000, 1, 1},
		"states":                             {1, 4000, 1},
		"generations":                        {1, 1, 100_000},
		"objects in states":                  {1000, 100, 1},
		"objects of generations":             {20, 1, 10_000},
		"objects in states of generations":   {50, 5, 400},
		"many objects of a few generations":  {30_000, 1, 4},
		"few objects in states, generations": {2, 100, 500},
	} {
		t.Run(name, func(t *testing.T) {
			var table stamps
			for gen := range test.generations {
				for state := range test.states {
					for object := range test.objects {
						if !table.add(visitKey(int32(state), uint32(object)), uint32(gen+1), 1) {
							t.Fatal("an entry was there before it was made")
						}
					}
				}
			}
			if far := table.displaced(); far > 2 {
				t.Errorf("%d entries are %.1f slots away from theirs", table.used, far)
			}
		})
	}
}

// A list that asks the same folders for every document looks at about as many
// slots as it makes questions.
func TestOperandSearchesDoNotCrowd(t *testing.T) {
	names := NewNames()
	m, err := Compile(names, []File{{Path: "model.fga", Content: `model
  schema 1.1
type user
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
`}})
	if err != nil {
		t.Fatal(err)
	}
	changes := []Change{{Relationship: Relationship{Resource: "folder:20", Relation: "owner", Subject: "user:u"}}}
	add := func(resource, relation, subject string) {
		changes = append(changes, Change{Relationship: Relationship{Resource: resource, Relation: relation, Subject: subject}})
	}
	for i := range 20 {
		add(fmt.Sprintf("folder:%d", i), "parent", fmt.Sprintf("folder:%d", i+1))
	}
	for i := range 2000 {
		doc := fmt.Sprintf("doc:%d", i)
		add(doc, "viewer", "user:u")
		add(doc, "parent", "folder:0")
	}
	g := NewGraph(names)
	if err := g.Apply(1, changes, m); err != nil {
		t.Fatal(err)
	}
	v := g.View()
	p, err := m.Parse(Question{Subject: "user:u", Permission: "can", Resource: "doc:x"})
	if err != nil {
		t.Fatal(err)
	}
	w := v.walk(t.Context(), &p, &Circumstances{At: now})
	defer w.c.release()
	list, err := w.list()
	if err != nil || len(list) != 2000 {
		t.Fatalf("%d documents, %v", len(list), err)
	}
	if far := w.c.seen.displaced(); far > 2 {
		t.Errorf("%d entries are %.1f slots away from theirs", w.c.seen.used, far)
	}
}
