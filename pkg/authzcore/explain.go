package authzcore

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
	// StepCycle: a question that is being asked already.
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
	// Relationship is the stored relationship that the step leans on, as
	// resource#relation@subject; empty when there is none.
	Relationship string
	Steps        []*Step
}

// Explanation is a decision with its reasons.
type Explanation struct {
	// Allowed is what Check answers.
	Allowed bool
	// Root is the question. On an allow it holds only the path that decided, on
	// a deny everything that was tried.
	Root *Step
	// Truncated: the tree was cut at MaxSteps.
	Truncated bool
}

// Explain answers as Check does and says why.
//
// Errors: those of Check.
func (v *View) Explain(q Question) (Explanation, error) {
	ok, err := v.Check(q)
	if err != nil {
		return Explanation{}, err
	}
	p, err := v.model.Parse(q)
	if err != nil {
		return Explanation{}, err
	}
	x := newExplainer(v, &p)
	resource, known := v.find(p.relation.typ.id, p.resource)
	if !known {
		resource = phantom
	}
	root := x.question(p.relation, resource)
	if root == nil || root.Allowed != ok {
		// Cut before the path was found: the decision stands without it.
		root = &Step{Kind: StepUnion, Question: q.Resource + "#" + q.Permission, Allowed: ok}
		x.truncated = true
	}
	return Explanation{Allowed: ok, Root: root, Truncated: x.truncated}, nil
}

// explainer builds the tree by the definitions, not by the automaton; the
// engine only tells it which questions are worth following.
type explainer struct {
	view      *View
	parsed    *Parsed
	texts     *texts
	steps     int
	work      int
	truncated bool
	// onPath are the questions being asked.
	onPath map[visit]bool
	// undecided counts the questions that the engine answered with an error.
	undecided int
	// The refs that answer directly, as in checker.
	subject, anyone       uint32
	hasSubject, hasAnyone bool
	anyoneKind            int
}

// maxWork bounds the steps that are tried and dropped again.
const maxWork = 20 * MaxSteps

func newExplainer(v *View, p *Parsed) *explainer {
	c := v.acquire(p)
	defer c.release()
	return &explainer{
		view: v, parsed: p, texts: v.texts(), onPath: map[visit]bool{},
		subject: c.subject, hasSubject: c.hasSubject, anyone: c.anyone, hasAnyone: c.hasAnyone, anyoneKind: c.anyoneKind,
	}
}

// step counts a step. It returns nil when there is no room.
func (x *explainer) step(kind StepKind, r *relationDef, object uint32, ok bool) *Step {
	x.steps++
	x.work++
	if x.steps > MaxSteps || x.work > maxWork {
		x.truncated = true
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
	c := x.view.acquire(x.parsed)
	v := c.search(r.start, object, 0)
	c.release()
	return v
}

// question explains a relation of an object. A question that the engine answers
// with yes gives an allowed step or, when it is true only through a question on
// the path, a cycle.
func (x *explainer) question(r *relationDef, object uint32) *Step {
	key := visit{object: object, state: r.start}
	if x.onPath[key] {
		return x.step(StepCycle, r, object, false)
	}
	if p := x.parsed; p.set == r && (object == phantom || x.object(object) == p.subject.Type+":"+p.subject.ID) {
		return x.step(StepDirect, r, object, true)
	}
	v := x.holds(r, object)
	if v.err() != nil {
		x.undecided++
		return x.step(StepCycle, r, object, false)
	}
	x.onPath[key] = true
	out := x.rewrite(r, object, r.rewrite, v == allowed)
	delete(x.onPath, key)
	return out
}

// rewrite explains a definition. want is what the engine says of the question;
// when it is yes, only what leads there is kept.
func (x *explainer) rewrite(r *relationDef, object uint32, w *rewrite, want bool) *Step {
	switch w.kind {
	case rewriteThis:
		return x.stored(r, object, want)
	case rewriteComputed:
		out := x.step(StepComputed, r, object, false)
		if out == nil {
			return nil
		}
		return x.adopt(out, x.question(r.typ.byName[w.relation], object))
	case rewriteFrom:
		return x.from(r, object, w)
	case rewriteUnion:
		return x.union(r, object, w, want)
	case rewriteIntersection:
		return x.intersection(r, object, w, want)
	default:
		return x.exclusion(r, object, w, want)
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

func (x *explainer) union(r *relationDef, object uint32, w *rewrite, want bool) *Step {
	out := x.step(StepUnion, r, object, false)
	if out == nil {
		return nil
	}
	start := x.steps
	for _, c := range w.children {
		child := x.rewrite(r, object, c, want)
		if child == nil {
			break
		}
		if out.keep(child) {
			x.steps = start + child.count()
			break
		}
		if want {
			out.Steps = out.Steps[:0] // only the path that decides is kept
			x.steps = start
		}
	}
	return out
}

func (x *explainer) intersection(r *relationDef, object uint32, w *rewrite, want bool) *Step {
	out := x.step(StepIntersection, r, object, true)
	if out == nil {
		return nil
	}
	for _, c := range w.children {
		child := x.rewrite(r, object, c, want)
		if child == nil {
			out.Allowed = false
			break
		}
		out.Allowed = out.Allowed && child.Allowed
		out.Steps = append(out.Steps, child)
	}
	return out
}

func (x *explainer) exclusion(r *relationDef, object uint32, w *rewrite, want bool) *Step {
	out := x.step(StepExclusion, r, object, false)
	if out == nil {
		return nil
	}
	base := x.rewrite(r, object, w.children[0], want)
	if base == nil {
		return out
	}
	out.Steps = append(out.Steps, base)
	if !base.Allowed {
		return out
	}
	undecided := x.undecided
	subtract := x.rewrite(r, object, w.children[1], false)
	if subtract == nil {
		return out
	}
	out.Steps = append(out.Steps, subtract)
	out.Allowed = !subtract.Allowed && x.undecided == undecided
	return out
}

func (s *Step) count() int {
	n := 1
	for _, c := range s.Steps {
		n += c.count()
	}
	return n
}
