package authzcore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

const teams = "type user\ntype group\n  relations\n    define member: [user, group#member]\ntype doc\n  relations\n    define parent: [doc]\n    define a: [user, user:*, group#member] or a from parent\n"

func texts(v *authzcore.View) []string {
	var out []string
	for r := range v.All {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return out
}

func TestApply(t *testing.T) {
	g := graphOf(t, teams, "doc:1#a@user:u")
	before := g.View()
	for _, sequence := range []uint64{0, 1} {
		if err := g.Apply(sequence, nil, nil); !errors.Is(err, authzcore.ErrSequence) {
			t.Errorf("sequence %d after 1: %v", sequence, err)
		}
	}
	changes := append(adds("doc:1#a@user:v", "doc:1#a@user:v", "doc:1#a@user:u"),
		authzcore.Change{Relationship: rel("doc:1#a@user:u"), Delete: true},
		authzcore.Change{Relationship: rel("doc:1#a@group:never#member"), Delete: true},
		authzcore.Change{Relationship: rel("never:1#a@user:u"), Delete: true})
	if err := g.Apply(7, changes, nil); err != nil {
		t.Fatal(err)
	}
	after := g.View()
	if got := texts(after); !slices.Equal(got, []string{"doc:1#a@user:v"}) || after.Sequence() != 7 || after.Size().Relationships != 1 {
		t.Errorf("after: %v, %d, %+v", got, after.Sequence(), after.Size())
	}
	if got := texts(before); !slices.Equal(got, []string{"doc:1#a@user:u"}) || before.Sequence() != 1 {
		t.Errorf("a view changed: %v, %d", got, before.Sequence())
	}
	if ok, err := before.Check(ask("user:v a doc:1")); ok || err != nil {
		t.Errorf("a view sees what came later: %v, %v", ok, err)
	}
}

func TestApplyBatchIsOnePublication(t *testing.T) {
	g := graphOf(t, teams)
	bad := []authzcore.Applied{{Sequence: 2, Changes: adds("doc:1#a@user:u")}, {Sequence: 2, Changes: adds("doc:1#a@user:v")}}
	if err := g.ApplyBatch(bad); !errors.Is(err, authzcore.ErrSequence) {
		t.Fatal(err)
	}
	if v := g.View(); v.Sequence() != 1 || v.Size().Relationships != 0 {
		t.Fatalf("half a batch was applied: %d, %+v", v.Sequence(), v.Size())
	}
	bad[1].Sequence = 3
	if err := g.ApplyBatch(bad); err != nil {
		t.Fatal(err)
	}
	if v := g.View(); v.Sequence() != 3 || v.Size().Relationships != 2 {
		t.Fatalf("at %d: %+v", v.Sequence(), v.Size())
	}
}

// TestManyMembers grows and shrinks sets over the sizes where lists change
// their form, and holds old views against what was true at their time.
func TestManyMembers(t *testing.T) {
	g := graphOf(t, teams)
	r := rand.New(rand.NewPCG(3, 3))
	present := map[string]bool{}
	type past struct {
		view *authzcore.View
		want []string
	}
	var kept []past
	sequence := uint64(1)
	for round := range 60 {
		var changes []authzcore.Change
		for range 300 {
			n := r.IntN(3000)
			text := fmt.Sprintf("group:big#member@user:%d", n)
			if n%3 == 0 {
				text = fmt.Sprintf("group:big#member@group:%d#member", n)
			}
			remove := r.IntN(100) < 2*round
			if remove {
				delete(present, text)
			} else {
				present[text] = true
			}
			changes = append(changes, authzcore.Change{Relationship: rel(text), Delete: remove})
		}
		sequence++
		if err := g.Apply(sequence, changes, nil); err != nil {
			t.Fatal(err)
		}
		want := make([]string, 0, len(present))
		for text := range present {
			want = append(want, text)
		}
		slices.Sort(want)
		kept = append(kept, past{g.View(), want})
		for range 50 {
			text := fmt.Sprint(r.IntN(3000))
			ok, err := g.View().Check(ask("user:" + text + " member group:big"))
			if err != nil || ok != present["group:big#member@user:"+text] {
				t.Fatalf("round %d, user %s: %v, %v", round, text, ok, err)
			}
		}
	}
	largest := 0
	for i, p := range kept {
		largest = max(largest, len(p.want))
		if got := texts(p.view); !slices.Equal(got, p.want) || int(p.view.Size().Relationships) != len(p.want) {
			t.Fatalf("view %d holds %d relationships, not %d", i, len(got), len(p.want))
		}
	}
	if largest < 1500 || len(kept[len(kept)-1].want) > 300 {
		t.Errorf("the set grew to %d and shrank to %d: too little to show anything", largest, len(kept[len(kept)-1].want))
	}
}

// TestUsersetsBeforeTheirModel: what is used as a userset only becomes known
// after its members.
func TestUsersetsBeforeTheirModel(t *testing.T) {
	names := authzcore.NewNames()
	g := authzcore.NewGraph(names)
	apply := func(sequence uint64, m *authzcore.Model, relationships ...string) {
		t.Helper()
		if err := g.Apply(sequence, adds(relationships...), m); err != nil {
			t.Fatal(err)
		}
	}
	compile := func(model string) *authzcore.Model {
		m, err := authzcore.Compile(names, whole("model\n  schema 1.1\n"+model))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	apply(1, nil, "group:1#member@user:u", "group:2#member@user:u", "group:2#member@user:v")
	apply(2, nil, "doc:1#a@group:1#member", "doc:2#a@group:2#member")
	apply(3, compile(teams))
	for q, want := range map[string]bool{"user:u a doc:1": true, "user:v a doc:1": false, "user:v a doc:2": true} {
		if ok, err := g.View().Check(ask(q)); err != nil || ok != want {
			t.Errorf("%s: %v, %v", q, ok, err)
		}
	}
	// A model without groups: their relationships are ignored, not lost.
	apply(4, compile("type user\ntype group\n  relations\n    define member: [user]\ntype doc\n  relations\n    define a: [user]\n"))
	if ok, err := g.View().Check(ask("user:u a doc:1")); err != nil || ok {
		t.Errorf("under a model without groups: %v, %v", ok, err)
	}
	apply(5, compile(teams))
	if ok, err := g.View().Check(ask("user:u a doc:1")); err != nil || !ok {
		t.Errorf("under the model again: %v, %v", ok, err)
	}
}

// TestReadersSeeOneRevision: at revision n, user n mod 10 and no other is in
// the group, through a set that is as large as lists of chunks are.
func TestReadersSeeOneRevision(t *testing.T) {
	many := []string{"doc:1#a@group:top#member", "group:top#member@group:1#member"}
	for i := range 2000 {
		many = append(many, fmt.Sprintf("group:1#member@user:other%d", i))
	}
	g := graphOf(t, teams, many...)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for last := uint64(0); ; {
				v := g.View()
				if v.Sequence() < last {
					t.Errorf("revision %d after %d", v.Sequence(), last)
				}
				last = v.Sequence()
				user := r.Uint64N(10)
				ok, err := v.Check(authzcore.Question{Subject: fmt.Sprintf("user:%d", user), Permission: "a", Resource: "doc:1"})
				if want := last > 1 && last%10 == user; err != nil || ok != want {
					t.Errorf("revision %d, user %d: %v, %v", last, user, ok, err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for sequence := uint64(2); sequence < 3000; sequence++ {
		changes := append(adds(fmt.Sprintf("group:1#member@user:%d", sequence%10), fmt.Sprintf("group:new%d#member@user:new%d", sequence, sequence)),
			authzcore.Change{Relationship: rel(fmt.Sprintf("group:1#member@user:%d", (sequence-1)%10)), Delete: true})
		if err := g.Apply(sequence, changes, nil); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	readers.Wait()
}

func TestEmptyGraphIsSmall(t *testing.T) {
	names := authzcore.NewNames()
	graphs := make([]*authzcore.Graph, 2000)
	before := heapBytes()
	for i := range graphs {
		graphs[i] = authzcore.NewGraph(names)
	}
	each := (heapBytes() - before) / uint64(len(graphs))
	if each > 2048 {
		t.Errorf("an empty graph weighs %d bytes", each)
	}
	if size := graphs[0].View().Size(); size.Bytes > 2048 {
		t.Errorf("an empty graph says it weighs %d bytes", size.Bytes)
	}
}

func TestNamesAreBounded(t *testing.T) {
	g := authzcore.NewGraph(authzcore.NewNames())
	var err error
	for i := 0; i < 70 && err == nil; i++ {
		var changes []authzcore.Change
		for k := range 1000 {
			changes = append(changes, adds(fmt.Sprintf("doc:%d#r%d@user:u", k, 1000*i+k))...)
		}
		err = g.Apply(uint64(i+1), changes, nil)
	}
	if !errors.Is(err, authzcore.ErrNamesFull) {
		t.Fatalf("error is %v", err)
	}
	if v := g.View(); v.Sequence() != 65 || v.Size().Relationships != 65_000 {
		t.Errorf("at %d: %+v", v.Sequence(), v.Size())
	}
}
