package authzcore

func (x *explainer) union(r *relationDef, object uint32, w *rewrite, m mode) *Step {
	out := x.step(StepUnion, r, object, false)
	if out == nil {
		return nil
	}
	start := x.steps
	for _, c := range w.children {
		child := x.rewrite(r, object, c, m)
		if child == nil {
			break
		}
		if out.keep(child) {
			x.steps = start + child.count()
			break
		}
		if m == modeAllowed {
			out.Steps = out.Steps[:0] // only the path that decides is kept
			x.steps = start
		}
	}
	return out
}

func (x *explainer) intersection(r *relationDef, object uint32, w *rewrite) *Step {
	out := x.step(StepIntersection, r, object, true)
	if out == nil {
		return nil
	}
	for _, c := range w.children {
		child := x.operand(r, object, c)
		if child == nil {
			out.Allowed = false
			break
		}
		out.Allowed = out.Allowed && child.Allowed
		out.Steps = append(out.Steps, child)
	}
	return out
}

func (x *explainer) exclusion(r *relationDef, object uint32, w *rewrite) *Step {
	out := x.step(StepExclusion, r, object, false)
	if out == nil {
		return nil
	}
	base := x.operand(r, object, w.children[0])
	if base == nil {
		return out
	}
	out.Steps = append(out.Steps, base)
	if !base.Allowed && base.settle() != Conditional {
		return out
	}
	subtract, decided := x.subtract(r, object, w.children[1])
	if subtract == nil {
		return out
	}
	out.Steps = append(out.Steps, subtract)
	out.Allowed = base.Allowed && !subtract.Allowed && (decided || x.allows(w, object))
	return out
}

// allows asks the engine about an exclusion of which a part had no answer.
func (x *explainer) allows(w *rewrite, object uint32) bool {
	e := x.view.model.exprs[w]
	return e != nil && x.engine.operand(e, visit{object: object}) == allowed
}

// subtract explains what an exclusion takes away: why it certainly does, or
// else why it may or does not. decided is false when a part had no answer.
func (x *explainer) subtract(r *relationDef, object uint32, w *rewrite) (out *Step, decided bool) {
	x.subtractions++
	defer func() { x.subtractions-- }()
	if x.engine.flips && !x.engine.mood.hopeful {
		start := x.steps
		if certain := x.operand(r, object, w); certain == nil || certain.Allowed {
			return certain, true
		}
		x.steps = start
	}
	undecided := x.undecided
	x.engine.flip()
	out = x.operand(r, object, w)
	x.engine.flip()
	return out, x.undecided == undecided
}
