package authzcore

import "context"

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
	// under is what the question is asked under.
	under asked
	// mood changes under a subtraction.
	mood mood
	// flips: some relationships have terms, so the mood matters.
	flips bool

	// lists: the question is one for a list, which reached and naming are of.
	lists   bool
	reached []reached
	naming  naming

	queue []visit
	// seen has what searches asked, memo the answers of exprs, and met what a list
	// reached or asked.
	seen, memo, met stamps
	groups          groups
	// base is the first generation of this check, fresh that of the question
	// under way, gen the newest.
	base, fresh, gen uint32
	// visits counts against Limits.Visits, evaluated the conditions.
	visits, evaluated int
	// ctx is looked at every polled visits and every polledConditions.
	ctx context.Context //nolint:containedctx // lives as long as one check
	// over is why the check must not go on: stopped when its context ended,
	// tooWide when the visits were not enough; else denied.
	over verdict
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
	c.evaluated, c.over, c.stack, c.floor, c.low = 0, denied, 0, 0, noLow
	c.next()
	c.ctx, c.lists, c.tracing, c.trace, c.mood = nil, false, false, nil, mood{}
	c.queue = c.queue[:0]
	c.flips = v.guards.n > 0
	c.setSubject(p)
	return c
}

// again makes the checker ready to ask the same question in another mood.
// Nothing is remembered but the circumstances and failures, so that what is
// lacking now is what matters for this answer.
func (c *checker) again(m mood) *checker {
	c.mood = m
	c.base = c.gen + 1
	c.gen = c.base
	c.stack, c.floor, c.low = 0, 0, noLow
	c.next()
	c.queue = c.queue[:0]
	c.groups.reset()
	c.under.lacking = nil
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
	c.under.reset()
	c.view, c.model, c.ctx, c.trace = nil, nil, nil, nil
	clear(c.reached) // a checker at rest holds no model
	c.reached = c.reached[:0]
	if len(c.seen.slots)+len(c.memo.slots)+cap(c.queue) > 1<<17 || c.lists && c.size() > 1<<17 {
		return // a rare large check must not keep its memory
	}
	names.scratch.Put(c)
}

// size is about how many times 16 bytes the checker keeps.
func (c *checker) size() int {
	return len(c.seen.slots) + len(c.memo.slots) + len(c.met.slots) + cap(c.queue) + cap(c.reached) +
		c.groups.sure.size() + c.groups.doubtful.size() + c.naming.size()
}
