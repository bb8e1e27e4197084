package authzcore

import "context"

// Check answers a question by the view's model and relationships. A false is a
// decision: an unknown id is a deny.
//
// Errors, none of which is a deny: *InputError, *TypeUnknownError,
// *RelationUnknownError, ErrNoModel, ErrTooDeep, ErrTooWide, ErrCycle.
func (v *View) Check(q Question) (bool, error) {
	if v.model == nil {
		return false, ErrNoModel
	}
	p, err := v.model.resolve(q)
	if err != nil {
		return false, err
	}
	return v.check(context.Background(), &p)
}

// CheckContext is Check that looks at ctx now and then while it searches.
//
// Errors: those of Check, and ctx.Err() when ctx ended before the answer was
// found.
func (v *View) CheckContext(ctx context.Context, q Question) (bool, error) {
	if v.model == nil {
		return false, ErrNoModel
	}
	p, err := v.model.resolve(q)
	if err != nil {
		return false, err
	}
	return v.check(ctx, &p)
}

// CheckParsed is Check for a question that was parsed for the view's model; it
// is parsed again when the model is another by now.
func (v *View) CheckParsed(p Parsed) (bool, error) {
	if p.model == nil || p.model != v.model {
		return v.Check(p.question)
	}
	return v.check(context.Background(), &p)
}

func (v *View) check(ctx context.Context, p *Parsed) (bool, error) {
	resource, known := v.find(p.relation.typ.id, p.resource)
	if !known || p.resource == wildcard {
		if err := p.checkIDs(); err != nil {
			return false, err
		}
		if p.set == nil || p.set.typ != p.relation.typ || p.subject.ID != p.resource {
			return false, nil // nothing is stored about it
		}
		resource = phantom
	}
	c := v.acquire(p)
	c.ctx = ctx
	if !c.found {
		// The id was not seen in the graph, so nothing has checked it yet.
		if err := p.checkIDs(); err != nil {
			c.release()
			return false, err
		}
	}
	verdict := denied
	if c.hasSubject || c.hasAnyone || c.isSet {
		verdict = c.search(p.relation.start, resource, 0)
	}
	c.release()
	if verdict == stopped {
		return false, ctx.Err()
	}
	return verdict == allowed, verdict.err()
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

func (x verdict) err() error {
	switch x {
	case tooWide:
		return ErrTooWide
	case tooDeep:
		return ErrTooDeep
	case cyclic:
		return ErrCycle
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

// checker holds what one check needs while it runs. Checkers are used again, so
// that a check allocates nothing.
type checker struct {
	view  *View
	model *Model
	kind  int
	// found: the graph knows the subject's id, or it is a wildcard.
	found bool
	// subject is the ref that stored relationships have, if stored at all.
	subject    uint32
	hasSubject bool
	// anyone is the object type:*, which answers for object subjects.
	anyone     uint32
	anyoneKind int
	hasAnyone  bool
	// own and ownRelation are the parts of a userset subject: it is in itself.
	isSet       bool
	own         uint32
	ownTyp      uint16
	ownRelation uint16

	queue  []visit
	seen   stamps
	memo   stamps
	groups groups
	// base is the first generation of this check, gen the newest.
	base, gen uint32
	visits    int
	// ctx is looked at every polled visits; halted remembers that it ended.
	ctx    context.Context //nolint:containedctx // lives as long as one check
	halted bool
	// head is the place in queue of the visit under way. tracing keeps in trace
	// the visits that led the last search to its yes, from its start on.
	head    int
	tracing bool
	trace   []visit
	// stack counts the exprs under evaluation; low is the lowest of them that
	// the answer so far leaned on; floor is the first that is not across a
	// subtraction.
	stack, low, floor uint32
}

// visit is one question on the way: a state of an object.
type visit struct {
	object uint32
	state  int32
	depth  int32
	// from is the place in the queue of the visit that led here.
	from int32
}

func (v *View) acquire(p *Parsed) *checker {
	c, _ := v.graph.names.scratch.Get().(*checker)
	if c == nil {
		c = &checker{}
	}
	if c.gen > 1<<31 {
		*c = checker{}
	}
	c.view, c.model, c.kind = v, v.model, p.kind
	c.base = c.gen + 1
	c.gen = c.base
	c.visits, c.stack, c.floor, c.low = 0, 0, 0, noLow
	c.ctx, c.halted, c.tracing, c.trace = nil, false, false, nil
	c.queue = c.queue[:0]
	c.setSubject(p)
	return c
}

func (c *checker) setSubject(p *Parsed) {
	c.isSet, c.hasAnyone, c.hasSubject = p.set != nil, false, false
	n, found := c.view.find(p.typ.id, p.subject.ID)
	c.found = found
	switch {
	case c.isSet:
		c.own, c.ownTyp, c.ownRelation = phantom, p.typ.id, p.set.id
		if found {
			c.own = n
			s, stored := c.view.setOf(n, p.set.id)
			c.subject, c.hasSubject = s|setFlag, stored
		}
	case p.subject.ID == wildcard:
		c.subject, c.hasSubject = n, found
	default:
		c.subject, c.hasSubject = n, found
		c.anyoneKind = c.model.wildcardKind(p.typ)
		c.anyone, c.hasAnyone = c.view.wildcard(p.typ.id)
	}
}

func (c *checker) release() {
	names := c.view.graph.names
	c.groups.reset()
	c.view, c.model, c.ctx, c.trace = nil, nil, nil, nil
	if len(c.seen.slots)+len(c.memo.slots)+cap(c.queue) > 1<<17 {
		return // a rare large check must not keep its memory
	}
	names.scratch.Put(c)
}
