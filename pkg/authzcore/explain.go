package authzcore

import (
	"context"
	"time"
)

// StepKind names the rule of the model behind a step. The numbers are those of
// the API.
type StepKind uint8

// The kinds of steps.
const (
	_ StepKind = iota
	// StepDirect: a stored relationship of the subject itself.
	StepDirect
	// StepWildcard: a stored relationship of a wildcard.
	StepWildcard
	// StepUserset: a stored relationship of a userset that the subject is in.
	StepUserset
	// StepComputed: another relation of the same resource.
	StepComputed
	// StepFrom: a relation of a related resource.
	StepFrom
	// StepUnion, StepIntersection and StepExclusion: the operators. An
	// exclusion's steps are what it starts from and what it takes away.
	StepUnion
	StepIntersection
	StepExclusion
	// StepCycle: a question that is being asked already. It has an answer where a
	// subtraction lies between.
	StepCycle
)

// MaxSteps is how many steps an explanation has at most.
const MaxSteps = 1000

// Step is one question on the way to a decision.
type Step struct {
	Kind StepKind
	// Question is resource#relation.
	Question string
	Allowed  bool
	// Answer is Conditional where it depends on parameters that are missing, and
	// Allow or Deny elsewhere. The root's is the decision's.
	Answer Answer
	// Relationship is the stored relationship that the step leans on, as
	// resource#relation@subject; empty when there is none. See Unmet.
	Relationship string
	// Condition is what the relationship holds under, and Missing the parameters
	// that it lacks, sorted. An expired relationship has neither.
	Condition string
	Missing   []string
	Steps     []*Step
}

// Explanation is a decision with its reasons.
type Explanation struct {
	// Decision is what Decide answers.
	Decision Decision
	// Root is the question. On an allow it holds only the path that decided,
	// otherwise everything that was tried.
	Root *Step
	// Truncated: the tree was cut at MaxSteps.
	Truncated bool
}

// Explain answers as Decide does and says why. All searches of the explanation
// together visit at most Limits.Visits objects after the decision; when that is
// used up, the decision stands and the tree is Truncated.
//
// Errors: those of Decide.
func (v *View) Explain(ctx context.Context, q Question, under Circumstances) (Explanation, error) {
	if under.At.IsZero() {
		under.At = time.Now() // one time for all of it
	}
	decision, err := v.Decide(ctx, q, under)
	if err != nil {
		return Explanation{}, err
	}
	ok := decision.Answer == Allow
	p, err := v.model.Parse(q)
	if err != nil {
		return Explanation{}, err
	}
	x := newExplainer(ctx, v, &p, &under)
	defer x.engine.release()
	resource, known := v.find(p.relation.typ.id, p.resource)
	if !known {
		resource = phantom
	}
	root := x.question(p.relation, resource, !ok)
	if x.engine.over == stopped {
		return Explanation{}, ctx.Err()
	}
	x.truncated = x.truncated || x.engine.over == tooWide
	if root == nil || root.Allowed != ok {
		// Cut before the path was found: the decision stands without it.
		root = &Step{Kind: StepUnion, Question: q.Resource + "#" + q.Permission, Allowed: ok}
		x.truncated = true
	}
	root.settle()
	root.Answer = decision.Answer // what was cut may have mattered
	return Explanation{Decision: decision, Root: root, Truncated: x.truncated}, nil
}

// explainer builds the tree by the definitions, not by the automaton; the
// engine only tells it which questions are worth following.
type explainer struct {
	view   *View
	parsed *Parsed
	// engine answers all questions of the explanation, so that its visits are
	// counted together and its groups are gathered once.
	engine    *checker
	texts     *texts
	steps     int
	work      int
	truncated bool
	// onPath are the questions being asked, with the subtractions that they are
	// under, counted from 1; subtractions is how many the next one is under.
	onPath       map[explained]int
	subtractions int
	// undecided counts the questions that the engine answered with an error.
	undecided int
}

// explained is one question of an explanation. In another mood it is another
// question, as for the engine.
type explained struct {
	object   uint32
	relation *relationDef
	mood     mood
}

// mode is what is known of a definition before it is explained.
type mode uint8

const (
	// modeOpen: nothing.
	modeOpen mode = iota
	// modeAllowed: the engine says yes; only what leads there is kept.
	modeAllowed
	// modeDenied: the engine says no, and so to everything that alone would make
	// it true.
	modeDenied
)

// maxWork bounds the steps that are tried and dropped again.
const maxWork = 20 * MaxSteps

func newExplainer(ctx context.Context, v *View, p *Parsed, under *Circumstances) *explainer {
	c := v.acquire(p)
	c.under.set(under)
	c.ctx, c.tracing = ctx, true
	return &explainer{view: v, parsed: p, engine: c, texts: v.texts(), onPath: map[explained]int{}, subtractions: 1}
}

// spend counts n refs that are looked at. It returns false when the budget is
// used up or the context ended.
func (x *explainer) spend(n int) bool {
	before := x.engine.visits / polled
	x.engine.visits += n
	if x.engine.visits > x.view.limits.Visits {
		x.truncated = true
		return false
	}
	if x.engine.visits/polled != before {
		x.engine.poll()
	}
	return x.engine.over != stopped
}

// step counts a step. It returns nil when there is no room.
func (x *explainer) step(kind StepKind, r *relationDef, object uint32, ok bool) *Step {
	x.steps++
	x.work++
	if x.steps > MaxSteps || x.work > maxWork {
		x.truncated = true
		return nil
	}
	if !x.spend(1) {
		return nil
	}
	return &Step{Kind: kind, Question: x.object(object) + "#" + r.name, Allowed: ok}
}

func (x *explainer) object(n uint32) string {
	if n == phantom {
		return x.parsed.relation.typ.name + ":" + x.parsed.resource
	}
	return x.texts.object(n)
}

// holds asks the engine about a relation of an object.
func (x *explainer) holds(r *relationDef, object uint32) verdict {
	return x.engine.search(r.start, object, 0)
}

// own says whether the question's subject is the userset that is asked about.
func (x *explainer) own(r *relationDef, object uint32) bool {
	p := x.parsed
	return p.set == r && (object == phantom || x.object(object) == p.subject.Type+":"+p.subject.ID)
}

// question explains a relation of an object; deny says that the answer is known
// to be no. A question that the engine answers with yes gives an allowed step
// or, when it is true only through a question on the path, a cycle.
func (x *explainer) question(r *relationDef, object uint32, deny bool) *Step {
	key := explained{object, r, x.engine.mood}
	if under := x.onPath[key]; under > 0 {
		return x.again(r, object, under < x.subtractions)
	}
	if x.own(r, object) {
		return x.step(StepDirect, r, object, true)
	}
	m := modeDenied
	if !deny {
		switch v := x.holds(r, object); {
		case v == allowed:
			if out := x.follow(r, r.rewrite); out != nil {
				return out
			}
			m = modeAllowed
		case v != denied:
			return x.again(r, object, true)
		}
	}
	x.onPath[key] = x.subtractions
	out := x.rewrite(r, object, r.rewrite, m)
	delete(x.onPath, key)
	return out
}

// again explains a question that is being asked, or that leans on itself. By
// itself it adds nothing; but what a subtraction on the way takes away depends on
// its answer, which the engine may know from another operand. One without an
// answer in this mood is conditional if it is true in the other.
func (x *explainer) again(r *relationDef, object uint32, subtracted bool) *Step {
	out := x.step(StepCycle, r, object, false)
	if out == nil || !subtracted {
		return out
	}
	own := x.holds(r, object)
	x.engine.flip()
	other := x.holds(r, object)
	x.engine.flip()
	out.Allowed = own == allowed
	switch {
	case own == allowed && other == allowed:
		out.Answer = Allow
	case own == allowed || other == allowed:
		out.Answer = Conditional
	}
	if own > allowed {
		x.undecided++
	}
	return out
}

// rewrite explains a definition.
func (x *explainer) rewrite(r *relationDef, object uint32, w *rewrite, m mode) *Step {
	switch w.kind {
	case rewriteThis:
		return x.stored(r, object, m)
	case rewriteComputed:
		out := x.step(StepComputed, r, object, false)
		if out == nil {
			return nil
		}
		return x.adopt(out, x.question(r.typ.byName[w.relation], object, m == modeDenied))
	case rewriteFrom:
		return x.from(r, object, w, m)
	case rewriteUnion:
		return x.union(r, object, w, m)
	case rewriteIntersection:
		return x.intersection(r, object, w)
	default:
		return x.exclusion(r, object, w)
	}
}

// operand explains a part of an intersection or exclusion, of which the engine
// knows the answer.
func (x *explainer) operand(r *relationDef, object uint32, w *rewrite) *Step {
	e := x.view.model.exprs[w]
	if e == nil || e.op == opIntersection || e.op == opExclusion || w.kind == rewriteComputed {
		return x.rewrite(r, object, w, modeOpen)
	}
	switch x.engine.operand(e, visit{object: object}) {
	case allowed:
		if e.op == opState {
			if out := x.follow(r, w); out != nil {
				return out
			}
		}
		return x.rewrite(r, object, w, modeAllowed)
	case denied:
		return x.rewrite(r, object, w, modeDenied)
	default:
		return x.rewrite(r, object, w, modeOpen)
	}
}

// adopt makes child the one step under out, with its answer.
func (x *explainer) adopt(out, child *Step) *Step {
	if child == nil {
		return out
	}
	out.Allowed = child.Allowed
	out.Steps = append(out.Steps, child)
	return out
}

// keep adds a tried step; an allowed one replaces all that was tried.
func (s *Step) keep(child *Step) bool {
	if child.Allowed {
		s.Allowed, s.Steps = true, []*Step{child}
		return true
	}
	s.Steps = append(s.Steps, child)
	return false
}

func (s *Step) count() int {
	n := 1
	for _, c := range s.Steps {
		n += c.count()
	}
	return n
}
