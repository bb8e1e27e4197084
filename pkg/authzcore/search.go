package authzcore

import "slices"

const noLow = ^uint32(0)

// polled is how many visits lie between two looks at the context.
const polled = 1024

// polledConditions is how many conditions do: each may cost as much as some
// hundred visits.
const polledConditions = 16

// poll looks whether the context ended.
func (c *checker) poll() {
	if c.over != stopped && c.ctx != nil && c.ctx.Err() != nil {
		c.over = stopped
	}
}

// count counts a visit.
func (c *checker) count() {
	if c.visits++; c.visits > c.view.limits.Visits {
		c.over = max(c.over, tooWide)
	}
}

// next begins the next of several questions: all visits are allowed again, and
// what searches asked is forgotten.
func (c *checker) next() {
	c.visits, c.fresh = 0, c.gen+1
	if c.over == tooWide {
		c.over = denied
	}
}

// search answers whether the subject is in a state of an object. It walks
// breadth first, so that every object is met at its least depth, and a union
// of whatever size is one walk. An object met twice adds nothing: what a cycle
// of unions does not reach otherwise, it does not reach at all.
func (c *checker) search(start int32, object uint32, depth int32) verdict {
	if !c.model.states[start].reach.has(c.kind) {
		return denied
	}
	c.gen++
	gen, first := c.gen, len(c.queue)
	c.queue = append(c.queue, visit{object: object, state: start, depth: depth})
	worst := denied
	for head := first; head < len(c.queue); head++ {
		if c.count(); c.visits%polled == 0 {
			c.poll()
		}
		if c.over != denied {
			break
		}
		c.head = head
		worst = worst.or(c.visit(c.queue[head], first, gen))
		if worst == allowed {
			c.keepTrace(first, head)
			break
		}
	}
	c.queue = c.queue[:first]
	return worst.or(c.over)
}

// keepTrace keeps the visits from the first of a search to one of it.
func (c *checker) keepTrace(first, last int) {
	if !c.tracing {
		return
	}
	c.trace = nil
	for i := last; ; i = int(c.queue[i].from) {
		c.trace = append(c.trace, c.queue[i])
		if i == first {
			break
		}
	}
	slices.Reverse(c.trace)
}

// visit asks one object and queues what it leads to.
func (c *checker) visit(at visit, first int, gen uint32) verdict {
	st := c.model.states[at.state]
	if c.isSet && at.object == c.own && st.asks(c.ownTyp, c.ownRelation) {
		return allowed
	}
	worst := denied
	if at.object != phantom {
		breadth := c.view.limits.Breadth
		for next := c.view.nodes.at(at.object).sets; next != 0; {
			in := next - 1
			s := c.view.sets.at(in)
			next = s.next
			if s.members.n == 0 {
				continue
			}
			e := st.entry(s.relation)
			if e == nil {
				continue
			}
			x := c.stored(e, in, s, at, first, gen, &breadth)
			if x == allowed {
				return allowed
			}
			worst = worst.or(x)
		}
	}
	for _, e := range st.exprs {
		x := c.expr(e, at)
		if x == allowed {
			return allowed
		}
		worst = worst.or(x)
	}
	return worst
}

func (s *state) entry(relation uint16) *entry {
	for i := range s.entries {
		if s.entries[i].relation == relation {
			return &s.entries[i]
		}
	}
	return nil
}

// asks says whether a relation is among those of the question.
func (s *state) asks(typ, relation uint16) bool {
	if s.typ != typ {
		return false
	}
	return slices.Contains(s.relations, relation)
}

// stored looks at the stored subjects of one relation, those of set in.
func (c *checker) stored(e *entry, in uint32, s *set, at visit, first int, gen uint32, breadth *int) verdict {
	worst := denied
	if r := e.rule; r != nil {
		if c.direct(r, in, s) {
			return allowed
		}
		usersets := c.view.hasFlagged(s.members)
		forward := usersets && r.impure.has(c.kind)
		if usersets && r.pure.has(c.kind) {
			if !c.gather() {
				forward = true
			} else if c.inGroups(r, in, s) {
				return allowed
			}
			forward = forward || len(c.groups.doubtful.list) > 0
		}
		if forward {
			worst = c.forward(r, in, s, at, first, gen, breadth)
		}
	}
	if len(e.hops) > 0 {
		worst = worst.or(c.hop(e, in, s, at, first, gen, breadth))
	}
	return worst
}

// direct says whether the subject itself, or the wildcard of its type, is a
// member of a set.
func (c *checker) direct(r *rule, in uint32, s *set) bool {
	return c.hasSubject && r.kinds.has(c.kind) && c.view.contains(s.members, c.subject) &&
		c.member(r, in, s, c.subject, c.kind) ||
		c.hasAnyone && r.kinds.has(c.anyoneKind) && c.view.contains(s.members, c.anyone) &&
			c.member(r, in, s, c.anyone, c.anyoneKind)
}

// hop queues the objects that a tupleset leads to.
func (c *checker) hop(e *entry, in uint32, s *set, at visit, first int, gen uint32, breadth *int) verdict {
	var single [1]uint32
	objects := c.view.objects(s.members, &single)
	if *breadth -= objects.count(*breadth); *breadth < 0 {
		return tooWide
	}
	worst := denied
	for refs := objects.next(); len(refs) > 0; refs = objects.next() {
		for _, ref := range refs {
			typ := c.view.nodes.at(ref).typ
			for _, h := range e.hops {
				if h.typ == typ && c.member(e.through, in, s, ref, h.kind) {
					worst = worst.or(c.enqueue(h.state, ref, at.depth+1, first, gen))
				}
			}
			if c.over != denied {
				return worst
			}
		}
	}
	return worst
}

// forward queues the usersets that cannot be answered from the subject's
// groups.
func (c *checker) forward(r *rule, in uint32, s *set, at visit, first int, gen uint32, breadth *int) verdict {
	var single [1]uint32
	sets := c.view.flagged(s.members, &single)
	overflow := c.groups.overflow
	worst := denied
	for refs := sets.next(); len(refs) > 0; refs = sets.next() {
		for _, ref := range refs {
			m := c.view.sets.at(ref &^ setFlag)
			rule := r.set(pair(m.typ, m.relation))
			if rule == nil || rule.pure && !overflow && !c.groups.doubtful.has(ref&^setFlag, c.base) {
				continue
			}
			if *breadth--; *breadth < 0 {
				return worst.or(tooWide)
			}
			if c.member(r, in, s, ref, rule.kind) {
				worst = worst.or(c.enqueue(rule.state, m.object, at.depth+1, first, gen))
			}
			if c.over != denied {
				return worst
			}
		}
	}
	return worst
}

func (r *rule) set(pair uint32) *setRule {
	for i := range r.sets {
		if r.sets[i].pair == pair {
			return &r.sets[i]
		}
	}
	return nil
}

// scanned is how many visits of a search are compared one by one before they
// are looked up.
const scanned = 8

// enqueue adds a question to the search unless it was asked before.
func (c *checker) enqueue(state int32, object uint32, depth int32, first int, gen uint32) verdict {
	if !c.model.states[state].reach.has(c.kind) {
		return denied
	}
	asked := c.queue[first:]
	if len(asked) <= scanned {
		for i := range asked {
			if asked[i].object == object && asked[i].state == state {
				return denied
			}
		}
		if len(asked) == scanned {
			for i := range asked {
				c.seen.add(visitKey(asked[i].state, asked[i].object), gen, c.fresh)
			}
			c.seen.add(visitKey(state, object), gen, c.fresh)
		}
	} else if !c.seen.add(visitKey(state, object), gen, c.fresh) {
		return denied
	}
	if int(depth) > c.view.limits.Depth {
		return tooDeep
	}
	c.queue = append(c.queue, visit{object: object, state: state, depth: depth, from: int32(c.head)})
	return denied
}

func visitKey(state int32, object uint32) uint64 {
	return uint64(state)<<32 | uint64(object)
}

// Answers of exprs in the memo; larger values are exprs under evaluation, by
// their place on the stack.
const (
	memoNone = iota
	memoAllowed
	memoDenied
	memoOpen
)

// expr answers an intersection or exclusion of an object, once per check.
//
// An expr that is under evaluation already is a cycle: it adds nothing, as in
// any least fixed point, unless a subtraction lies on the cycle. A deny that
// leaned on such an assumption is not remembered; an allow needs none.
func (c *checker) expr(e *expr, at visit) verdict {
	if !e.reach.has(c.kind) {
		return denied
	}
	// A question is another one in another mood.
	key := uint64(e.id)<<32 | uint64(at.object) | c.mood.key()
	switch m := c.memo.get(key, c.base); m {
	case memoNone:
	case memoAllowed:
		return allowed
	case memoDenied:
		return denied
	default:
		open := m - memoOpen
		if open < c.floor {
			return cyclic
		}
		c.low = min(c.low, open)
		return denied
	}
	place, low := c.stack, c.low
	c.stack++
	c.low = noLow
	c.memo.put(key, c.base, c.base, memoOpen+place)
	x := c.evaluate(e, at)
	c.stack--
	switch {
	case x == allowed:
		c.memo.put(key, c.base, c.base, memoAllowed)
	case x == denied && c.low >= place:
		c.memo.put(key, c.base, c.base, memoDenied)
	default:
		c.memo.put(key, c.base, c.base, memoNone)
	}
	if c.low >= place {
		c.low = noLow
	}
	c.low = min(c.low, low)
	return x
}

// evaluate combines the operands, the cheap ones first: the rules of or, and
// and not give the same answer in any order.
func (c *checker) evaluate(e *expr, at visit) verdict {
	switch e.op {
	case opState:
		return c.search(e.state, at.object, at.depth)
	case opUnion:
		x := denied
		for _, o := range e.operands {
			if x = x.or(c.operand(o, at)); x == allowed {
				return x
			}
		}
		return x
	default:
		x := allowed
		for _, o := range e.operands {
			var y verdict
			if o == e.subtract {
				floor := c.floor
				c.floor = c.stack
				c.flip()
				y = c.operand(o, at).not()
				c.flip()
				c.floor = floor
			} else {
				y = c.operand(o, at)
			}
			if x = x.and(y); x == denied {
				return x
			}
		}
		return x
	}
}

// operand answers a part of an expr: exprs of their own are remembered.
func (c *checker) operand(e *expr, at visit) verdict {
	if e.op == opIntersection || e.op == opExclusion {
		return c.expr(e, at)
	}
	return c.evaluate(e, at)
}
