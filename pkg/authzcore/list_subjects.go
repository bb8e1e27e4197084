package authzcore

import (
	"context"
	"time"
)

// SubjectQuery asks which subjects of a type have a permission on a resource.
type SubjectQuery struct {
	Resource, Permission, Type string
	// Relation asks for usersets type:id#relation; empty for objects.
	Relation string
}

// ListSubjects returns the subjects for which Decide would not answer Deny,
// sorted by name. Of those that only a wildcard reaches it lists the wildcard,
// type:*. The cost follows what the resource leads to.
//
// It may have the answer where Decide goes over a limit, ErrTooDeep or ErrTooWide.
//
// Errors: those of Decide for any of the subjects, ErrTooWide for a resource that leads to more than
// 1,000,000 usersets and related objects; with ctx.Err() it returns what was
// found until then.
func (v *View) ListSubjects(ctx context.Context, q SubjectQuery, under Circumstances) ([]Found, error) {
	if v.model == nil {
		return nil, ErrNoModel
	}
	if err := checkName("subject_type", "type_name", q.Type); err != nil {
		return nil, err
	}
	subject := q.Type + ":x"
	if q.Relation != "" {
		subject += "#" + q.Relation
	}
	p, err := v.model.Parse(Question{Subject: subject, Permission: q.Permission, Resource: q.Resource})
	if err != nil {
		return nil, err
	}
	if under.At.IsZero() {
		under.At = time.Now()
	}
	g := v.gathering(ctx, &p, &under)
	defer g.c.release()
	candidates, err := g.run()
	if err != nil {
		return nil, err
	}
	return v.verified(ctx, &p, candidates, g.sure, under)
}

// verified answers for each candidate; sure ones need no question.
func (v *View) verified(ctx context.Context, p *Parsed, candidates []string, sure bool, under Circumstances) ([]Found, error) {
	out := make([]Found, 0, len(candidates))
	for i, name := range candidates {
		if i%verifiedAtOnce == 0 && ctx.Err() != nil {
			return out, ctx.Err()
		}
		if sure {
			out = append(out, Found{Name: name})
			continue
		}
		question := Parsed{question: p.question, model: p.model, resource: p.resource, relation: p.relation}
		question.question.Subject = name
		if err := question.resolveSubject(v.model, name); err != nil {
			return out, err
		}
		decision, err := v.decide(ctx, &question, &under)
		switch {
		case err != nil:
			return out, err
		case decision.Answer != Deny:
			out = append(out, Found{Name: name, Conditional: decision.Answer == Conditional})
		}
	}
	return out, nil
}

// verifiedAtOnce is how many candidates lie between two looks at the context.
const verifiedAtOnce = 64

// maxGathered bounds the questions that one list of subjects asks on its way.
const maxGathered = 1_000_000

// gathering goes from a resource down to all subjects that it may lead to. It
// takes the operands of intersections for alternatives, so what it finds must
// be asked about, unless it met none.
//
// What an exclusion takes away matters where a wildcard may be what it takes
// away from: whom a second exclusion exempts is named only there. A subject that
// is only taken away from has nothing that its wildcard has not.
type gathering struct {
	c *checker
	v *View
	p *Parsed
	// sure: everything that was found has the permission.
	sure bool
	// kind and wild are the kinds of the subjects looked for; wild is -1 for
	// usersets.
	kind, wild int
	gen        uint32
	queue      []inquiry
	refs       map[uint32]bool
	worst      verdict
	// looked counts the stored subjects that were looked at.
	looked int
}

// inquiry is a question on the way of a gathering. taken: it lies under an odd
// number of subtractions, where it takes away.
type inquiry struct {
	object uint32
	state  int32
	taken  bool
}

// key is that of the question in seen.
func (q inquiry) key() uint64 {
	key := visitKey(q.state, q.object)
	if q.taken {
		key |= 1 << 63
	}
	return key
}

func (v *View) gathering(ctx context.Context, p *Parsed, under *Circumstances) *gathering {
	c := v.acquire(p)
	// What is found too much is found out later.
	c.ctx, c.lists, c.mood = ctx, true, mood{hopeful: true, brave: true}
	c.under.set(under)
	g := &gathering{c: c, v: v, p: p, sure: true, kind: p.kind, wild: -1, refs: map[uint32]bool{}}
	if p.set == nil {
		g.wild = v.model.wildcardKind(p.typ)
	}
	return g
}

func (g *gathering) run() ([]string, error) {
	start, known := g.v.find(g.p.relation.typ.id, g.p.resource)
	if !known {
		return g.names(), nil
	}
	g.c.gen++
	g.gen = g.c.gen
	g.ask(inquiry{object: start, state: g.p.relation.start})
	for head := 0; head < len(g.queue) && g.worst == denied; head++ {
		g.visit(g.queue[head])
	}
	if g.c.under.undecided() {
		g.sure = false
	}
	return g.names(), g.c.err(g.worst)
}

// names renders what was found, sorted, and the resource's own userset, which
// has the permission that it is.
func (g *gathering) names() []string {
	suffix := ""
	if g.p.set != nil {
		suffix = "#" + g.p.set.name
	}
	t := g.v.texts()
	names := make([]string, 0, len(g.refs)+1)
	own := ""
	if g.p.set != nil && g.p.set.typ == g.p.relation.typ {
		own = g.p.relation.typ.name + ":" + g.p.resource + suffix
		names = append(names, own)
		g.sure = false
	}
	for ref := range g.refs {
		if name := t.object(ref) + suffix; name != own {
			names = append(names, name)
		}
	}
	out := make([]string, len(names))
	for i, k := range g.c.naming.sort(names) {
		out[i] = names[k.at]
	}
	return out
}

// ask adds a question unless it was asked, or leads to no subject looked for.
func (g *gathering) ask(at inquiry) {
	st := g.c.model.states[at.state]
	if !st.reach.has(g.kind) && !g.open(st.reach) || !g.c.met.add(at.key(), g.gen, g.gen) {
		return
	}
	if len(g.queue) >= maxGathered {
		g.worst = tooWide
		return
	}
	g.queue = append(g.queue, at)
	if !at.taken && g.p.set != nil && st.asks(g.p.typ.id, g.p.set.id) {
		g.refs[at.object] = true
	}
}

// open says whether a wildcard can be among the subjects that a part can have.
func (g *gathering) open(reach bitset) bool { return g.wild >= 0 && reach.has(g.wild) }

func (g *gathering) visit(at inquiry) {
	st := g.c.model.states[at.state]
	for next := g.v.nodes.at(at.object).sets; next != 0; {
		in := next - 1
		s := g.v.sets.at(in)
		next = s.next
		if e := st.entry(s.relation); e != nil && s.members.n > 0 {
			g.members(e, in, s, at.taken)
		}
	}
	for _, e := range st.exprs {
		g.sure = false
		g.expr(e, at)
	}
}

// expr asks everything on which an intersection or exclusion depends.
func (g *gathering) expr(e *expr, at inquiry) {
	if e.op == opState {
		at.state = e.state
		g.ask(at)
	}
	for _, o := range e.operands {
		switch {
		case o != e.subtract:
			g.expr(o, at)
		case g.open(e.reach):
			g.expr(o, inquiry{object: at.object, taken: !at.taken})
		}
	}
}

func (g *gathering) members(e *entry, in uint32, s *set, taken bool) {
	if taken && len(e.hops) == 0 && !g.v.hasFlagged(s.members) {
		return // objects that are taken away from
	}
	g.v.each(s.members, func(ref uint32) bool {
		if g.looked++; g.looked%polled == 0 {
			g.c.poll()
		}
		if ref&setFlag != 0 {
			g.userset(e, in, s, ref, taken)
		} else {
			g.object(e, in, s, ref, taken)
		}
		if g.c.over == stopped {
			g.worst = stopped
		}
		return g.worst == denied
	})
}

func (g *gathering) userset(e *entry, in uint32, s *set, ref uint32, taken bool) {
	if e.rule == nil {
		return
	}
	m := g.v.sets.at(ref &^ setFlag)
	rule := e.rule.set(pair(m.typ, m.relation))
	if rule != nil && g.member(e.rule, in, s, ref, rule.kind) {
		g.ask(inquiry{object: m.object, state: rule.state, taken: taken})
	}
}

func (g *gathering) object(e *entry, in uint32, s *set, ref uint32, taken bool) {
	o := g.v.nodes.at(ref)
	if !taken && e.rule != nil && g.p.set == nil && o.typ == g.p.typ.id && !g.refs[ref] {
		kind := g.kind
		if string(g.v.idBytes(o)) == wildcard {
			kind = g.wild
		}
		if e.rule.kinds.has(kind) && g.member(e.rule, in, s, ref, kind) {
			g.refs[ref] = true
		}
	}
	for _, h := range e.hops {
		if h.typ == o.typ && string(g.v.idBytes(o)) != wildcard && g.member(e.through, in, s, ref, h.kind) {
			g.ask(inquiry{object: ref, state: h.state, taken: taken})
		}
	}
}

// member says whether a stored subject counts; see walk.member.
func (g *gathering) member(r *rule, in uint32, s *set, ref uint32, kind int) bool {
	g.c.next()
	return g.c.member(r, in, s, ref, kind)
}
