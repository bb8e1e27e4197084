package authzcore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// randomModel writes a model of some types whose relations mix all operators.
// It may not compile: then the caller draws again.
func randomModel(r *rand.Rand) string {
	types := []string{"user", "bot", "group", "folder", "doc"}[:3+r.IntN(3)]
	relations := []string{"a", "b", "c", "d"}
	var b strings.Builder
	b.WriteString("model\n  schema 1.1\ntype user\ntype bot\n")
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	for _, t := range types[2:] {
		fmt.Fprintf(&b, "type %s\n  relations\n    define p: [%s]\n    define q: [%s, %s]\n", t, pick(types[2:]), pick(types[2:]), pick(types[2:]))
		for _, rel := range relations {
			fmt.Fprintf(&b, "    define %s: %s\n", rel, randomRewrite(r, types, relations, 2, true))
		}
	}
	return b.String()
}

func randomRewrite(r *rand.Rand, types, relations []string, depth int, direct bool) string {
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	leaf := func() string {
		switch r.IntN(4) {
		case 0:
			return pick(relations) + " from " + []string{"p", "q"}[r.IntN(2)]
		default:
			return pick(relations)
		}
	}
	first := leaf()
	if direct && r.IntN(5) > 0 {
		var allowed []string
		for range 1 + r.IntN(3) {
			switch r.IntN(5) {
			case 0:
				allowed = append(allowed, types[r.IntN(2)]+":*")
			case 1, 2:
				allowed = append(allowed, pick(types[2:])+"#"+pick(relations))
			default:
				allowed = append(allowed, pick(types))
			}
		}
		first = "[" + strings.Join(allowed, ", ") + "]"
	}
	operand := func() string {
		if depth > 0 && r.IntN(3) == 0 {
			return "(" + randomRewrite(r, types, relations, depth-1, false) + ")"
		}
		return leaf()
	}
	switch r.IntN(7) {
	case 0, 1:
		return first + " or " + operand()
	case 2:
		return first + " or " + operand() + " or " + operand()
	case 3:
		return first + " and " + operand()
	case 4:
		return first + " but not " + operand()
	default:
		return first
	}
}

// world is a random model with its graph and reference.
type world struct {
	r      *rand.Rand
	source string
	model  *Model
	graph  *Graph
	naive  *reference
	ids    int
	seq    uint64
	// all relationships ever drawn.
	drawn []Relationship
	// answers counts what was compared.
	answers [3]int
}

func newWorld(t testing.TB, r *rand.Rand) *world {
	t.Helper()
	names := NewNames()
	for range 1000 {
		source := randomModel(r)
		m, err := Compile(names, []File{{Path: "model.fga", Content: source}})
		if _, ok := errors.AsType[*ModelError](err); ok {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		w := &world{r: r, source: source, model: m, graph: NewGraph(names), naive: newReference(m, 0), ids: 2 + r.IntN(3)}
		w.graph.SetLimits(Limits{Depth: 1000, gather: []int{0, 0, 1, 3}[r.IntN(4)]})
		if r.IntN(3) > 0 {
			w.apply(t, nil, m)
		}
		return w
	}
	t.Fatal("no random model compiled")
	return nil
}

func (w *world) apply(t testing.TB, changes []Change, m *Model) {
	t.Helper()
	w.seq++
	if err := w.graph.Apply(w.seq, changes, m); err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		w.naive.apply(c)
	}
}

func (w *world) object(types []string) string {
	return fmt.Sprintf("%s:%d", types[w.r.IntN(len(types))], w.r.IntN(w.ids))
}

func (w *world) subject() string {
	types := w.model.Types()
	s := w.object(types)
	typ, _, _ := strings.Cut(s, ":")
	relations := w.model.Relations(typ)
	switch {
	case len(relations) > 0 && w.r.IntN(2) == 0:
		return s + "#" + relations[w.r.IntN(len(relations))]
	case w.r.IntN(8) == 0:
		return typ + ":*"
	default:
		return s
	}
}

func (w *world) relationship() Relationship {
	for {
		resource := w.object(w.model.Types())
		typ, _, _ := strings.Cut(resource, ":")
		relations := w.model.Relations(typ)
		if len(relations) == 0 {
			continue
		}
		r := Relationship{Resource: resource, Relation: relations[w.r.IntN(len(relations))], Subject: w.subject()}
		// Some that the model does not allow: they must be ignored.
		if w.model.Validate(r) == nil || w.r.IntN(30) == 0 {
			return r
		}
	}
}

func (w *world) question() Question {
	for {
		q := Question{Resource: w.object(w.model.Types()), Subject: w.subject()}
		typ, _, _ := strings.Cut(q.Resource, ":")
		if relations := w.model.Relations(typ); len(relations) > 0 {
			q.Permission = relations[w.r.IntN(len(relations))]
			return q
		}
	}
}

func (w *world) mutate(t testing.TB) {
	var changes []Change
	n := 1 + w.r.IntN(6)
	if len(w.drawn) == 0 {
		n += 25
	}
	for range n {
		if len(w.drawn) > 0 && w.r.IntN(3) == 0 {
			changes = append(changes, Change{Relationship: w.drawn[w.r.IntN(len(w.drawn))], Delete: true})
			continue
		}
		r := w.relationship()
		w.drawn = append(w.drawn, r)
		changes = append(changes, Change{Relationship: r})
	}
	w.apply(t, changes, nil)
}

// compare asks one question of the engine, of Explain and of the reference.
func (w *world) compare(t testing.TB, v *View) {
	t.Helper()
	q := w.question()
	w.naive.steps = 20_000
	want := w.naive.check(q, asking{}, q.Resource, q.Permission)
	if w.naive.steps == 0 {
		return
	}
	got, err := v.Check(q)
	if errors.Is(err, ErrTooWide) {
		return
	}
	have := no
	switch {
	case errors.Is(err, ErrCycle):
		have = cycle
	case err != nil:
		t.Fatalf("%+v: %v\n%s", q, err, w.describe())
	case got:
		have = yes
	}
	if have != want {
		t.Fatalf("%+v: engine says %d, reference %d\n%s", q, have, want, w.describe())
	}
	x, err := v.Explain(q)
	if (err != nil) != (want == cycle) || err == nil && x.Allowed != got {
		t.Fatalf("%+v: explained as %v, %v; checked as %v\n%s", q, x.Allowed, err, got, w.describe())
	}
	if err == nil && x.Root.Allowed != got {
		t.Fatalf("%+v: root is %v, checked as %v\n%s", q, x.Root.Allowed, got, w.describe())
	}
	if x.Truncated && err == nil && x.Allowed && len(w.drawn) < 10 {
		t.Fatalf("%+v: path not found\n%s", q, w.describe())
	}
	w.answers[want]++
}

func (w *world) describe() string {
	var b strings.Builder
	b.WriteString(w.source)
	for r := range w.graph.View().All {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}

func TestEngineEqualsReference(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	deadline := time.Now().Add(4 * time.Second)
	var answers [3]int
	for ; time.Now().Before(deadline); seed++ {
		w := newWorld(t, rand.New(rand.NewPCG(seed, 1)))
		for round := range 12 {
			w.mutate(t)
			if round == 3 {
				w.apply(t, nil, w.model)
			}
			v := w.graph.View()
			if v.Model() == nil {
				continue
			}
			for range 40 {
				w.compare(t, v)
			}
		}
		for i, n := range w.answers {
			answers[i] += n
		}
	}
	t.Logf("compared: %d no, %d yes, %d cycles", answers[no], answers[yes], answers[cycle])
	if answers[no] < 1000 || answers[yes] < 1000 || answers[cycle] < 10 {
		t.Fatal("too few answers of a kind were compared")
	}
}

func FuzzEngineEqualsReference(f *testing.F) {
	for i := range uint64(20) {
		f.Add(i, i)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		w := newWorld(t, rand.New(rand.NewPCG(a, b)))
		w.apply(t, nil, w.model)
		for range 8 {
			w.mutate(t)
			for range 10 {
				w.compare(t, w.graph.View())
			}
		}
	})
}
