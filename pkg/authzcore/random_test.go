package authzcore

import (
	"errors"
	"fmt"
	"maps"
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
	conditions := r.IntN(3) > 0
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	for _, t := range types[2:] {
		fmt.Fprintf(&b, "type %s\n  relations\n    define p: [%s]\n    define q: [%s, %s%s]\n", t, pick(types[2:]), pick(types[2:]), pick(types[2:]), with(r, conditions))
		fmt.Fprintf(&b, "    define w: [user:*, user%s]\n    define u: [user%s]\n", with(r, conditions), with(r, conditions))
		fmt.Fprintf(&b, "    define m: [user%s, user%s, %s#m%s]\n", with(r, conditions), with(r, conditions), pick(types[2:]), with(r, conditions))
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
condition flag(y: bool) {
  y
}
`

func with(r *rand.Rand, conditions bool) string {
	if !conditions || r.IntN(2) > 0 {
		return ""
	}
	return " with " + []string{"big", "both", "ratio", "flag"}[r.IntN(4)]
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
	switch {
	case t.Condition == "flag" && !isBool:
		return maybe
	case t.Condition == "flag":
		return truth(y)
	}
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
	return truth(met)
}

func truth(ok bool) answer {
	if ok {
		return yes
	}
	return no
}

// lacking are the parameters that terms need and nobody gave.
func lacking(t Terms, under Circumstances) []string {
	own, _ := DecodeContext(t.Context)
	var out []string
	for _, name := range map[string][]string{"big": {"x"}, "both": {"x", "y"}, "ratio": {"x"}, "flag": {"y"}}[t.Condition] {
		_, settled := own[name]
		_, given := under.Context[name]
		if !settled && !given {
			out = append(out, name)
		}
	}
	return out
}

func randomRewrite(r *rand.Rand, types, relations []string, depth int, direct, conditions bool) string {
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	leaf := func() string {
		switch r.IntN(8) {
		case 0:
			return pick([]string{"u", "w", "m"})
		case 1, 2:
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
				subject = pick(types[2:]) + "#" + pick([]string{"m", pick(relations)})
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
	switch r.IntN(8) {
	case 0, 1:
		return first + " or " + operand()
	case 2:
		return first + " or " + operand() + " or " + operand()
	case 3:
		return first + " and " + operand()
	case 4:
		return first + " but not " + operand()
	case 5:
		// Who is exempt from what everybody is denied.
		return "w but not (" + operand() + " but not " + pick([]string{"u", leaf()}) + ")"
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
	// tight: the limits are so small that questions go over them.
	tight bool
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
	limits := Limits{Depth: 1000, gather: []int{0, 0, 1, 3}[r.IntN(4)]}
	if w.tight = r.IntN(4) == 0; w.tight {
		limits.Depth, limits.Breadth, limits.Visits = 2+r.IntN(6), 1+r.IntN(6), 5+r.IntN(60)
	}
	w.graph.SetLimits(limits)
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
	case w.r.IntN(4) == 0:
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
		if t.Condition != "flag" && w.r.IntN(2) == 0 {
			context["x"] = float64(w.r.IntN(4))
		}
		if (t.Condition == "both" || t.Condition == "flag") && w.r.IntN(2) == 0 {
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
	if w.r.IntN(3) == 0 {
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
		n += 60
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
