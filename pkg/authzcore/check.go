package authzcore

import "context"

// Check answers a question by the view's model and relationships, now and
// without any context. A false is a decision: an unknown id is a deny.
//
// Errors: those of Decide, and ErrConditional where Decide would answer
// Conditional.
func (v *View) Check(q Question) (bool, error) {
	if v.model == nil {
		return false, ErrNoModel
	}
	p, err := v.model.resolve(q)
	if err != nil {
		return false, err
	}
	return v.definite(&p)
}

// CheckParsed is Check for a question that was parsed for the view's model; it
// is parsed again when the model is another by now.
func (v *View) CheckParsed(p Parsed) (bool, error) {
	if p.model == nil || p.model != v.model {
		return v.Check(p.question)
	}
	return v.definite(&p)
}

func (v *View) definite(p *Parsed) (bool, error) {
	d, err := v.decide(context.Background(), p, nil)
	if err == nil && d.Answer == Conditional {
		err = ErrConditional
	}
	return d.Answer == Allow, err
}

// Decide answers a question by the view's model and relationships, under the
// given circumstances. An unknown id is a deny.
//
// Errors, none of which is a deny: *InputError, *TypeUnknownError,
// *RelationUnknownError, *ContextError, *ConditionError, ErrNoModel, ErrTooDeep,
// ErrTooWide, ErrCycle, and ctx.Err() when ctx ended first.
func (v *View) Decide(ctx context.Context, q Question, under Circumstances) (Decision, error) {
	if v.model == nil {
		return Decision{}, ErrNoModel
	}
	p, err := v.model.resolve(q)
	if err != nil {
		return Decision{}, err
	}
	return v.decide(ctx, &p, &under)
}

// decide asks again where a condition lacks parameters or cannot be evaluated:
// first as if none of those conditions were met, then as if all were. What is
// the same both times does not depend on them. Else it is asked as if those that
// lack parameters were met and those that cannot be evaluated were not: the
// answer is conditional if that allows, and else fails.
func (v *View) decide(ctx context.Context, p *Parsed, under *Circumstances) (Decision, error) {
	resource, known := v.find(p.relation.typ.id, p.resource)
	if !known || p.resource == wildcard {
		if err := p.checkIDs(); err != nil {
			return Decision{}, err
		}
		if p.set == nil || p.set.typ != p.relation.typ || p.subject.ID != p.resource {
			return Decision{}, nil // nothing is stored about it
		}
		resource = phantom
	}
	c := v.acquire(p)
	defer c.release()
	c.ctx = ctx
	c.under.set(under)
	if !c.found {
		// The id was not seen in the graph, so nothing has checked it yet.
		if err := p.checkIDs(); err != nil {
			return Decision{}, err
		}
	}
	if !c.hasSubject && !c.hasAnyone && !c.isSet {
		return Decision{}, nil
	}
	verdict := c.search(p.relation.start, resource, 0)
	if verdict == denied && c.under.undecided() {
		return c.undecided(p.relation.start, resource)
	}
	if verdict == allowed {
		return Decision{Answer: Allow}, nil
	}
	return Decision{}, c.err(verdict)
}

// undecided decides what was denied without the conditions that could not be
// evaluated.
func (c *checker) undecided(start int32, resource uint32) (Decision, error) {
	verdict := c.again(mood{hopeful: true, brave: true}).search(start, resource, 0)
	if verdict == allowed && c.under.failure != nil {
		if verdict = c.again(mood{hopeful: true}).search(start, resource, 0); verdict == denied {
			return Decision{}, c.under.failure
		}
	}
	if verdict == allowed {
		return Decision{Answer: Conditional, Missing: c.under.missing()}, nil
	}
	return Decision{}, c.err(verdict)
}

// verdict is the answer of a part of a check. Of several errors the largest is
// reported, so that the order of evaluation does not matter.
type verdict uint8

const (
	denied verdict = iota
	allowed
	tooWide
	tooDeep
	cyclic
	// stopped: the context ended.
	stopped
)

// err is the error of a verdict; nil for allowed and denied.
func (c *checker) err(x verdict) error {
	switch x {
	case tooWide:
		return ErrTooWide
	case tooDeep:
		return ErrTooDeep
	case cyclic:
		return ErrCycle
	case stopped:
		return c.ctx.Err()
	default:
		return nil
	}
}

// or: true if any is true, else an error if any is an error.
func (x verdict) or(y verdict) verdict {
	if x == allowed || y == allowed {
		return allowed
	}
	return max(x, y)
}

// and: false if any is false, else an error if any is an error.
func (x verdict) and(y verdict) verdict {
	if x == denied || y == denied {
		return denied
	}
	return max(x, y)
}

// not swaps true and false; errors stay.
func (x verdict) not() verdict {
	switch x {
	case denied:
		return allowed
	case allowed:
		return denied
	default:
		return x
	}
}

// phantom stands for an object that no relationship names.
const phantom = ^uint32(0)
