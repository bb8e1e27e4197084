package authzcore

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
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
	conditions := r.IntN(2) == 0
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	for _, t := range types[2:] {
		fmt.Fprintf(&b, "type %s\n  relations\n    define p: [%s]\n    define q: [%s, %s%s]\n", t, pick(types[2:]), pick(types[2:]), pick(types[2:]), with(r, conditions))
		for _, rel := range relations {
			fmt.Fprintf(&b, "    define %s: %s\n", rel, randomRewrite(r, types, relations, 2, true, conditions))
		}
	}
	if conditions {
		b.WriteString(testConditions)
	}
	return b.String()
}

// testConditions are evaluated by evaluateNaively as well.
const testConditions = `
condition big(x: int) {
  x > 1
}
condition both(x: int, y: bool) {
  x > 1 && y
}
condition ratio(x: int) {
  10 / x > 5
}
`

func with(r *rand.Rand, conditions bool) string {
	if !conditions || r.IntN(2) > 0 {
		return ""
	}
	return " with " + []string{"big", "both", "ratio"}[r.IntN(3)]
}

// evaluateNaively knows testConditions by heart.
func evaluateNaively(t Terms, under Circumstances) answer {
	if t.Expires != 0 && under.At.Unix() >= t.Expires {
		return no
	}
	if t.Condition == "" {
		return yes
	}
	own, _ := DecodeContext(t.Context)
	value := func(name string) any {
		if x, found := own[name]; found {
			return x
		}
		return under.Context[name]
	}
	x, isNumber := value("x").(float64)
	y, isBool := value("y").(bool)
	if value("x") != nil && !isNumber {
		return failure
	}
	if value("x") == nil || t.Condition == "both" && !isBool {
		return maybe
	}
	met := x > 1
	switch t.Condition {
	case "both":
		met = met && y
	case "ratio":
		if x == 0 {
			return failure
		}
		met = 10/int(x) > 5
	}
	if met {
		return yes
	}
	return no
}

func randomRewrite(r *rand.Rand, types, relations []string, depth int, direct, conditions bool) string {
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
			subject := pick(types)
			switch r.IntN(5) {
			case 0:
				subject = types[r.IntN(2)] + ":*"
			case 1, 2:
				subject = pick(types[2:]) + "#" + pick(relations)
			}
			allowed = append(allowed, subject+with(r, conditions))
		}
		first = "[" + strings.Join(allowed, ", ") + "]"
	}
	operand := func() string {
		if depth > 0 && r.IntN(3) == 0 {
			return "(" + randomRewrite(r, types, relations, depth-1, false, conditions) + ")"
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
	under  Circumstances
	// all relationships ever drawn.
	drawn []Relationship
	// answers counts what was compared.
	answers [5]int
	// lists counts the names in lists that were compared.
	lists int
}

// drawModel draws until a model compiles.
func drawModel(t testing.TB, r *rand.Rand) (source string, m *Model) {
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
		return source, m
	}
	t.Fatal("no random model compiled")
	return "", nil
}

func newWorld(t testing.TB, source string, m *Model, r *rand.Rand) *world {
	t.Helper()
	w := &world{r: r, source: source, model: m, graph: NewGraph(m.names), naive: newReference(m, 0), ids: 2 + r.IntN(3)}
	w.naive.holds = func(terms Terms) answer { return evaluateNaively(terms, w.under) }
	w.graph.SetLimits(Limits{Depth: 1000, gather: []int{0, 0, 1, 3}[r.IntN(4)]})
	if r.IntN(3) > 0 {
		w.apply(t, nil, m)
	}
	return w
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

// now is when all questions of the test are asked.
var now = time.Unix(1_800_000_000, 0)

func (w *world) terms() Terms {
	var t Terms
	if w.r.IntN(6) == 0 {
		t.Expires = now.Unix() + int64(w.r.IntN(3)) - 1
	}
	if names := w.model.Conditions(); len(names) > 0 && w.r.IntN(2) == 0 {
		t.Condition = names[w.r.IntN(len(names))]
		context := map[string]any{}
		if w.r.IntN(2) == 0 {
			context["x"] = float64(w.r.IntN(4))
		}
		if t.Condition == "both" && w.r.IntN(2) == 0 {
			context["y"] = w.r.IntN(2) == 0
		}
		t.Context, _ = EncodeContext(context)
	}
	return t
}

func (w *world) circumstances() Circumstances {
	context := map[string]any{}
	switch w.r.IntN(8) {
	case 0:
		context["x"] = "bad"
	case 1, 2, 3:
		context["x"] = float64(w.r.IntN(4))
	}
	if w.r.IntN(2) == 0 {
		context["y"] = w.r.IntN(2) == 0
	}
	return Circumstances{Context: context, At: now}
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
		for range 3 {
			if r.Terms = w.terms(); w.model.Validate(r) == nil {
				break
			}
		}
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

// contextual returns a view with relationships of its own, and a function that
// takes them back from the reference.
func (w *world) contextual(t testing.TB, v *View) (*View, func()) {
	t.Helper()
	before := map[string]map[string]Terms{}
	for key, subjects := range w.naive.stored {
		before[key] = maps.Clone(subjects)
	}
	var with []Relationship
	seen := map[Relationship]bool{}
	for range w.r.IntN(4) {
		if r := w.relationship(); w.model.Validate(r) == nil && !seen[r.Key()] {
			seen[r.Key()] = true
			with = append(with, r)
		}
	}
	over, err := v.With(with)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range with {
		w.naive.apply(Change{Relationship: r})
	}
	return over, func() { w.naive.stored = before }
}

// engine asks the engine. It returns -1 when the question is too wide.
func (w *world) engine(t testing.TB, v *View, q Question) (answer, Decision) {
	t.Helper()
	got, err := v.Decide(t.Context(), q, w.under)
	var condition *ConditionError
	var context *ContextError
	switch {
	case errors.Is(err, ErrTooWide):
		return -1, got
	case errors.Is(err, ErrCycle):
		return cycle, got
	case errors.As(err, &condition), errors.As(err, &context):
		return failure, got
	case err != nil:
		t.Fatalf("%+v: %v\n%s", q, err, w.describe())
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
	if have < 0 {
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
	if err == nil && !x.Truncated && !meetsItself(x.Root) && x.Root.settle() != got.Answer {
		t.Fatalf("%+v: the steps say %v, checked as %v\n%s", q, x.Root.Answer, got, w.describe())
	}
	if x.Truncated && err == nil && got.Answer == Allow && len(w.drawn) < 10 {
		t.Fatalf("%+v: path not found\n%s", q, w.describe())
	}
	w.answers[want]++
}

// meetsItself says whether an explanation meets a question again on its own path.
// Then its steps alone need not say what the decision is.
func meetsItself(s *Step) bool {
	return s.Kind == StepCycle || slices.ContainsFunc(s.Steps, meetsItself)
}

// found turns a list into answers by name.
func found(list []Found) map[string]answer {
	out := map[string]answer{}
	for _, f := range list {
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
	got, failed := found(list), false
	for i := range w.ids {
		q.Resource = fmt.Sprintf("%s:%d", typ, i)
		switch want, _ := w.engine(t, v, q); {
		case want < 0:
			return
		case want == cycle || want == failure:
			failed = true
		case err == nil && got[q.Resource] != want:
			t.Fatalf("%+v under %v: list of objects says %d, check %d\n%s", q, w.under.Context, got[q.Resource], want, w.describe())
		}
	}
	if err != nil && !failed {
		t.Fatalf("%+v under %v: list of objects fails with %v, no check does\n%s", q, w.under.Context, err, w.describe())
	}
	w.lists += len(list)
}

// compareSubjects compares a list of subjects with a check of each.
func (w *world) compareSubjects(t testing.TB, v *View) {
	t.Helper()
	q := w.question()
	s, _ := ParseSubject(q.Subject)
	list, err := v.ListSubjects(t.Context(), SubjectQuery{Resource: q.Resource, Permission: q.Permission, Type: s.Type, Relation: s.Relation}, w.under)
	got, failed := found(list), false
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
		case want < 0:
			return
		case want == cycle || want == failure:
			failed = true
		case err != nil || have == want:
		case !listed && everybody != no: // the wildcard stands for it
		default:
			t.Fatalf("%+v under %v: list of subjects says %d, check %d\n%s", q, w.under.Context, have, want, w.describe())
		}
	}
	if err != nil && !failed {
		t.Fatalf("%+v under %v: list of subjects fails with %v, no check does\n%s", q, w.under.Context, err, w.describe())
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
		if want < 0 || want == cycle || want == failure {
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
	for range 200 {
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
	if answers[no] < 1000 || answers[yes] < 1000 || answers[maybe] < 50 || answers[failure] < 5 || answers[cycle] < 5 || lists < 1000 {
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
