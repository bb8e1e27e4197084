package authzcore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// kindOf is the answer that an error is: -1 for one over a limit, no for one that
// is no answer.
func kindOf(err error) answer {
	var condition *ConditionError
	var context *ContextError
	switch {
	case errors.Is(err, ErrTooWide), errors.Is(err, ErrTooDeep):
		return -1
	case errors.Is(err, ErrCycle):
		return cycle
	case errors.As(err, &condition), errors.As(err, &context):
		return failure
	}
	return no
}

// engine asks the engine. It returns -1 when the question goes over a limit.
func (w *world) engine(t testing.TB, v *View, q Question) (answer, Decision) {
	t.Helper()
	got, err := v.Decide(t.Context(), q, w.under)
	if err != nil {
		out := kindOf(err)
		if out == no {
			t.Fatalf("%+v: %v\n%s", q, err, w.describe())
		}
		return out, got
	}
	if (len(got.Missing) > 0) != (got.Answer == Conditional) {
		t.Fatalf("%+v: %+v\n%s", q, got, w.describe())
	}
	for _, name := range got.Missing {
		if _, given := w.under.Context[name]; given {
			t.Fatalf("%+v: %s is not missing in %v\n%s", q, name, w.under.Context, w.describe())
		}
	}
	return map[Answer]answer{Deny: no, Allow: yes, Conditional: maybe}[got.Answer], got
}

// compare asks one question of the engine, of Explain and of the reference.
func (w *world) compare(t testing.TB, v *View) {
	t.Helper()
	q := w.question()
	w.naive.steps = 20_000
	want := w.naive.decide(q)
	if w.naive.steps == 0 {
		return
	}
	have, got := w.engine(t, v, q)
	if have < 0 || have == cycle && w.tight { // what lies over a limit might have decided
		return
	}
	if have != want {
		t.Fatalf("%+v under %v: engine says %d, reference %d\n%s", q, w.under.Context, have, want, w.describe())
	}
	x, err := v.Explain(t.Context(), q, w.under)
	failed := want == cycle || want == failure
	if (err != nil) != failed || err == nil && x.Decision.Answer != got.Answer {
		t.Fatalf("%+v: explained as %v, %v; checked as %v\n%s", q, x.Decision, err, got, w.describe())
	}
	if err == nil && x.Root.Allowed != (got.Answer == Allow) {
		t.Fatalf("%+v: root is %v, checked as %v\n%s", q, x.Root.Allowed, got, w.describe())
	}
	if err == nil && !x.Truncated && !w.tight && x.Root.settle() != got.Answer {
		t.Fatalf("%+v: the steps say %v, checked as %v\n%s", q, x.Root.Answer, got, w.describe())
	}
	if x.Truncated && err == nil && got.Answer == Allow && len(w.drawn) < 10 {
		t.Fatalf("%+v: path not found\n%s", q, w.describe())
	}
	if want == maybe {
		w.compareMissing(t, q, got.Missing)
	}
	w.answers[want]++
}

// compareMissing compares what a conditional answer lacks with the reference:
// nothing but what it meets on its way, and all without which it would deny.
func (w *world) compareMissing(t testing.TB, q Question, missing []string) {
	t.Helper()
	holds := w.naive.holds
	defer func() { w.naive.holds = holds }()
	onTheWay := map[string]bool{}
	w.naive.holds = func(terms Terms) answer {
		out := holds(terms)
		for _, name := range lacking(terms, w.under) {
			onTheWay[name] = onTheWay[name] || out == maybe
		}
		return out
	}
	w.naive.steps = 20_000
	w.naive.decide(q)
	for _, name := range missing {
		if w.naive.steps > 0 && !onTheWay[name] {
			t.Fatalf("%+v under %v: %s is said to be missing\n%s", q, w.under.Context, name, w.describe())
		}
	}
	for name := range onTheWay {
		w.naive.holds = func(terms Terms) answer {
			out := holds(terms)
			if out == maybe && slices.Contains(lacking(terms, w.under), name) {
				return adverse
			}
			return out
		}
		w.naive.steps = 20_000
		out := w.naive.check(q, asking{hopeful: true}, q.Resource, q.Permission)
		if w.naive.steps > 0 && out == no && !slices.Contains(missing, name) {
			t.Fatalf("%+v under %v: %s is not said to be missing, but %v\n%s", q, w.under.Context, name, missing, w.describe())
		}
	}
}

// fails says whether an answer is an error.
func fails(x answer) bool { return x < 0 || x == cycle || x == failure }

// found turns a list, which must be sorted, into answers by name.
func found(t testing.TB, list []Found) map[string]answer {
	t.Helper()
	out := map[string]answer{}
	for i, f := range list {
		if i > 0 && f.Name <= list[i-1].Name {
			t.Fatalf("%s comes after %s", f.Name, list[i-1].Name)
		}
		out[f.Name] = yes
		if f.Conditional {
			out[f.Name] = maybe
		}
	}
	return out
}

// compareObjects compares a list of objects with a check of each.
func (w *world) compareObjects(t testing.TB, v *View) {
	t.Helper()
	q := w.question()
	typ, _, _ := strings.Cut(q.Resource, ":")
	list, err := v.ListObjects(t.Context(), ObjectQuery{Subject: q.Subject, Permission: q.Permission, Type: typ}, w.under)
	got, failed := found(t, list), map[answer]bool{}
	for i := range w.ids {
		q.Resource = fmt.Sprintf("%s:%d", typ, i)
		switch want, _ := w.engine(t, v, q); {
		case fails(want):
			failed[want] = true
		case err == nil && got[q.Resource] != want:
			t.Fatalf("%+v under %v: list of objects says %d, check %d\n%s", q, w.under.Context, got[q.Resource], want, w.describe())
		}
		delete(got, q.Resource)
	}
	if err != nil && !failed[kindOf(err)] || len(got) > 0 {
		t.Fatalf("%+v under %v: list of objects fails with %v, as no check does, or has %v\n%s", q, w.under.Context, err, got, w.describe())
	}
	if err == nil && len(failed) > 0 && !w.tight {
		t.Fatalf("%+v under %v: list of objects does not fail, as a check does\n%s", q, w.under.Context, w.describe())
	}
	w.lists += len(list)
}

// compareSubjects compares a list of subjects with a check of each.
func (w *world) compareSubjects(t testing.TB, v *View) {
	t.Helper()
	q := w.question()
	s, _ := ParseSubject(q.Subject)
	list, err := v.ListSubjects(t.Context(), SubjectQuery{Resource: q.Resource, Permission: q.Permission, Type: s.Type, Relation: s.Relation}, w.under)
	got, failed := found(t, list), map[answer]bool{}
	everybody := got[s.Type+":*"]
	candidates := []string{s.Type + ":*"}
	if s.Relation != "" {
		candidates = nil
	}
	for i := range w.ids {
		name := Subject{Type: s.Type, ID: strconv.Itoa(i), Relation: s.Relation}
		candidates = append(candidates, name.String())
	}
	for _, q.Subject = range candidates {
		want, _ := w.engine(t, v, q)
		have, listed := got[q.Subject]
		switch {
		case fails(want):
			failed[want] = true
		case err != nil || have == want:
		case !listed && everybody != no: // the wildcard stands for it
		default:
			t.Fatalf("%+v under %v: list of subjects says %d, check %d\n%s", q, w.under.Context, have, want, w.describe())
		}
		delete(got, q.Subject)
	}
	if err != nil && !failed[kindOf(err)] || len(got) > 0 {
		t.Fatalf("%+v under %v: list of subjects fails with %v, as no check does, or has %v\n%s", q, w.under.Context, err, got, w.describe())
	}
	w.lists += len(list)
}

// compareActions compares a list of actions with a check of each.
func (w *world) compareActions(t testing.TB, v *View) {
	t.Helper()
	q := w.question()
	list, err := v.ListActions(t.Context(), q.Subject, q.Resource, w.under)
	got := map[string]answer{}
	for _, a := range list {
		got[a.Permission] = map[Answer]answer{Allow: yes, Conditional: maybe}[a.Decision.Answer]
	}
	typ, _, _ := strings.Cut(q.Resource, ":")
	for _, q.Permission = range w.model.Relations(typ) {
		want, _ := w.engine(t, v, q)
		if fails(want) {
			if err == nil {
				t.Fatalf("%+v: list of actions has no error\n%s", q, w.describe())
			}
			return
		}
		if got[q.Permission] != want {
			t.Fatalf("%+v: list of actions says %d, check %d\n%s", q, got[q.Permission], want, w.describe())
		}
	}
	if err != nil {
		t.Fatalf("%+v: %v\n%s", q, err, w.describe())
	}
}

// compareExpansion compares an expansion with the definition and what is stored.
func (w *world) compareExpansion(t testing.TB, v *View) {
	t.Helper()
	q := w.question()
	root, err := v.Expand(t.Context(), q.Resource, q.Permission, w.under)
	if err != nil {
		t.Fatal(err)
	}
	typ, _, _ := strings.Cut(q.Resource, ":")
	rel := w.model.schema.byName[typ].byName[q.Permission]
	stored := func(rel *relationDef) (out []Relationship) {
		alive := func(terms Terms) answer {
			if terms.Expires != 0 && now.Unix() >= terms.Expires {
				return no
			}
			return yes
		}
		holds := w.naive.holds
		w.naive.holds = alive
		w.naive.members(asking{}, q.Resource, rel, func(subject string) answer {
			terms := w.naive.stored[q.Resource+"#"+rel.name][subject]
			out = append(out, Relationship{Resource: q.Resource, Relation: rel.name, Subject: subject, Terms: terms})
			return no
		})
		w.naive.holds = holds
		slices.SortFunc(out, func(a, b Relationship) int { return strings.Compare(a.Subject, b.Subject) })
		return out
	}
	var same func(n *ExpandNode, r *rewrite) bool
	same = func(n *ExpandNode, r *rewrite) bool {
		switch r.kind {
		case rewriteThis:
			return n.Kind == StepDirect && slices.Equal(n.Relationships, stored(rel))
		case rewriteComputed:
			return n.Kind == StepComputed && slices.Equal(n.Usersets, []string{q.Resource + "#" + r.relation})
		case rewriteFrom:
			var want []string
			for _, x := range stored(rel.typ.byName[r.tupleset]) {
				of, _, _ := strings.Cut(x.Subject, ":")
				if w.model.schema.byName[of].byName[r.relation] != nil {
					want = append(want, x.Subject+"#"+r.relation)
				}
			}
			return n.Kind == StepFrom && n.Tupleset == r.tupleset && slices.Equal(n.Usersets, want)
		}
		for i, c := range r.children {
			if len(n.Nodes) != len(r.children) || !same(n.Nodes[i], c) {
				return false
			}
		}
		return n.Kind == map[rewriteKind]StepKind{
			rewriteUnion: StepUnion, rewriteIntersection: StepIntersection, rewriteExclusion: StepExclusion,
		}[r.kind]
	}
	if !same(root, rel.rewrite) {
		t.Fatalf("%+v: expansion is %+v\n%s", q, root, w.describe())
	}
}

// compareAll asks every kind of question once.
func (w *world) compareAll(t testing.TB, v *View) {
	t.Helper()
	w.under = w.circumstances()
	v, undo := w.contextual(t, v)
	for range 8 {
		w.compare(t, v)
	}
	w.compareObjects(t, v)
	w.compareSubjects(t, v)
	w.compareActions(t, v)
	w.compareExpansion(t, v)
	undo()
}

func (w *world) describe() string {
	var b strings.Builder
	b.WriteString(w.source)
	for key, subjects := range w.naive.stored {
		for subject, terms := range subjects {
			fmt.Fprintf(&b, "%s@%s %+v\n", key, subject, terms)
		}
	}
	return b.String()
}

func TestEngineEqualsReference(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var answers [5]int
	lists := 0
	for range 250 {
		seed++
		r := rand.New(rand.NewPCG(seed, 1))
		source, m := drawModel(t, r)
		w := newWorld(t, source, m, r)
		for round := range 12 {
			w.mutate(t)
			if round == 3 {
				w.apply(t, nil, w.model)
			}
			v := w.graph.View()
			if v.Model() == nil {
				continue
			}
			for range 5 {
				w.compareAll(t, v)
			}
		}
		for i, n := range w.answers {
			answers[i] += n
		}
		lists += w.lists
	}
	t.Logf("compared: %d no, %d yes, %d maybe, %d failures, %d cycles; %d names in lists",
		answers[no], answers[yes], answers[maybe], answers[failure], answers[cycle], lists)
	if answers[no] < 1000 || answers[yes] < 1000 || answers[maybe] < 50 || answers[failure] < 5 || answers[cycle] < 2 || lists < 1000 {
		t.Fatal("too few answers of a kind were compared")
	}
}

func FuzzEngineEqualsReference(f *testing.F) {
	for i := range uint64(20) {
		f.Add(i, i)
	}
	// Compiling takes most of the time: few models, many worlds.
	type compiled struct {
		source string
		model  *Model
	}
	models := map[uint64]compiled{}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		a %= 256
		if _, found := models[a]; !found {
			source, m := drawModel(t, rand.New(rand.NewPCG(a, 0)))
			models[a] = compiled{source, m}
		}
		w := newWorld(t, models[a].source, models[a].model, rand.New(rand.NewPCG(a, b)))
		w.apply(t, nil, w.model)
		for range 8 {
			w.mutate(t)
			w.compareAll(t, w.graph.View())
		}
	})
}
