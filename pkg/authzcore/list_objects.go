package authzcore

import (
	"context"
	"time"
)

// ObjectQuery asks on which resources of a type a subject has a permission.
type ObjectQuery struct {
	Subject, Permission, Type string
}

// Found is one resource or subject in a list.
type Found struct {
	// Name is type:id, type:* or type:id#relation.
	Name string
	// Conditional: as in Answer.
	Conditional bool
}

// maxLookups bounds the objects that one list visits.
const maxLookups = 50_000_000

// ListObjects returns the resources on which Decide would not answer Deny,
// sorted by name. The cost follows what the subject is related to, not the size
// of the graph: it goes from the subject up, and asks on the way only for what
// intersections and exclusions need beside.
//
// It may have the answer where Decide goes over a limit, ErrTooDeep or ErrTooWide,
// and goes over one itself only where Decide of one of the resources does.
//
// Errors: those of Decide for any of the resources, and ErrTooWide when it looks
// at more than 50,000,000 objects; with ctx.Err() it returns what was found until
// then.
func (v *View) ListObjects(ctx context.Context, q ObjectQuery, under Circumstances) ([]Found, error) {
	if v.model == nil {
		return nil, ErrNoModel
	}
	if err := checkName("resource_type", "type_name", q.Type); err != nil {
		return nil, err
	}
	// The resource's id is not looked at.
	p, err := v.model.resolve(Question{Subject: q.Subject, Permission: q.Permission, Resource: q.Type + ":x"})
	if err != nil {
		return nil, err
	}
	if under.At.IsZero() {
		under.At = time.Now()
	}
	if _, err := ParseSubject(q.Subject); err != nil {
		return nil, err
	}
	w := v.walk(ctx, &p, &under)
	defer w.c.release()
	return w.list()
}

// walk goes from a subject to all objects on which it has a permission.
type walk struct {
	c      *checker
	v      *View
	p      *Parsed
	target *relationDef
	route  *route
	// last is the relation of lastPair: sets come in runs of one kind.
	last     *relationDef
	lastPair uint32
	// gen marks what was reached.
	gen   uint32
	found []uint32
	// doubtful are objects that were reached only across an error.
	doubtful []uint32
	// trouble is the largest error on the way; ended is what ends the list.
	trouble, ended verdict
	// across: errors count as true.
	across bool
	// lookups counts the objects that were looked at.
	lookups int
}

// reached says that the subject has a relation of an object.
type reached struct {
	object   uint32
	relation *relationDef
}

func (v *View) walk(ctx context.Context, p *Parsed, under *Circumstances) *walk {
	c := v.acquire(p)
	c.ctx, c.lists = ctx, true
	c.under.set(under)
	return &walk{c: c, v: v, p: p, target: p.relation, route: v.model.routeTo(p.relation)}
}

// list reaches for objects as Decide decides: without the conditions that could
// not be evaluated and, if there were any, with them.
func (w *walk) list() ([]Found, error) {
	sure := w.run(mood{})
	perhaps, undecided := sure, w.c.under.undecided()
	if undecided && w.ended == denied {
		perhaps = w.run(mood{hopeful: true, brave: true})
		if w.ended == denied && len(perhaps) > len(sure) && w.c.under.failure != nil {
			brave := perhaps
			perhaps = w.run(mood{hopeful: true})
			w.doubt(brave, perhaps)
		}
	}
	if err := w.c.err(w.ended); err != nil || !undecided && len(w.doubtful) == 0 {
		return w.names(sure, nil), err
	}
	return w.settle(sure, perhaps)
}

// run returns the objects that are reached in a mood. It doubts those that are
// reached only if errors count as true: the walk asks for parts of definitions by
// themselves, and Decide, which comes to them from the object, may meet no error
// there, or another.
func (w *walk) run(m mood) []uint32 {
	w.c.again(m)
	w.across = false
	found := w.pass()
	if w.ended == denied && w.trouble != denied {
		w.across = true
		if more := w.pass(); w.ended == denied && len(more) > len(found) {
			w.doubt(more, found)
		}
	}
	return found
}

// doubt doubts the objects that are among some and not among others.
func (w *walk) doubt(some, others []uint32) {
	among := make(map[uint32]bool, len(others))
	for _, n := range others {
		among[n] = true
	}
	for _, n := range some {
		if !among[n] {
			w.doubtful = append(w.doubtful, n)
		}
	}
}

// settle adds to the sure objects the doubtful ones of which Decide says so, and
// those that are reached perhaps.
func (w *walk) settle(sure, perhaps []uint32) ([]Found, error) {
	answers := make(map[uint32]Answer, len(sure))
	for _, n := range sure {
		answers[n] = Allow
	}
	out := sure
	for _, n := range w.doubtful {
		if _, settled := answers[n]; settled {
			continue
		}
		decision, err := w.decide(n)
		if err != nil {
			return w.names(out, answers), err
		}
		if answers[n] = decision.Answer; decision.Answer != Deny {
			out = append(out, n)
		}
	}
	for _, n := range perhaps {
		if _, settled := answers[n]; !settled {
			out = append(out, n)
		}
	}
	return w.names(out, answers), nil
}

// decide asks Decide about an object.
func (w *walk) decide(n uint32) (Decision, error) {
	if err := w.c.ctx.Err(); err != nil {
		return Decision{}, err
	}
	p := *w.p
	if p.resource = p.subject.ID; n != phantom {
		p.resource = string(w.v.idBytes(w.v.nodes.at(n)))
	}
	p.question.Resource = w.target.typ.name + ":" + p.resource
	return w.v.decide(w.c.ctx, &p, &Circumstances{Context: w.c.under.context, At: w.c.under.at})
}

func (w *walk) pass() []uint32 {
	c := w.c
	c.gen++
	w.gen, w.trouble, w.ended, w.lookups = c.gen, denied, denied, 0
	w.found, c.naming.objects = c.naming.objects[:0], nil
	clear(c.reached) // nothing is left of it beyond its length
	c.reached = c.reached[:0]
	if c.isSet {
		w.reach(c.own, w.p.set)
	} else {
		if c.hasSubject {
			w.held(c.subject, c.kind)
		}
		if c.hasAnyone {
			w.held(c.anyone, c.anyoneKind)
		}
	}
	for head := 0; head < len(c.reached) && w.ended == denied; head++ {
		w.follow(c.reached[head])
	}
	return w.found
}

// counts notes an error of a part and says whether the part is true.
func (w *walk) counts(x verdict) bool {
	if x <= allowed {
		return x == allowed
	}
	if x == stopped {
		w.ended = stopped
	}
	w.trouble = max(w.trouble, x)
	return w.across
}

// reach adds a relation of an object, once.
func (w *walk) reach(object uint32, r *relationDef) {
	if !w.route.useful.has(r.ordinal) || !w.c.met.add(uint64(r.ordinal)<<32|uint64(object), w.gen, w.gen) {
		return
	}
	if w.route.onward.has(r.ordinal) {
		w.c.reached = append(w.c.reached, reached{object, r})
	}
	if r == w.target {
		w.found = append(w.found, object)
	}
}

// count counts an object that is looked at. It returns false when the list has
// to end.
func (w *walk) count() bool {
	if w.lookups++; w.lookups > maxLookups {
		w.ended = tooWide
	}
	if w.lookups%polled == 0 {
		w.c.poll()
	}
	if w.c.over == stopped {
		w.ended = stopped
	}
	return w.ended == denied
}

// holds says whether what a place in a definition needs beside it holds of an
// object.
func (w *walk) holds(n *needs, object uint32) bool {
	c := w.c
	for ; n != nil; n = n.outer {
		for _, o := range n.expr.operands {
			if o == n.operand {
				continue
			}
			c.next()
			var x verdict
			if o == n.expr.subtract {
				c.flip()
				x = c.operand(o, visit{object: object}).not()
				c.flip()
			} else {
				x = c.operand(o, visit{object: object})
			}
			if !w.counts(x) {
				return false
			}
		}
	}
	return true
}

// member says whether a ref that a set holds counts. What it looks at counts
// against no limit but that of the walk.
func (w *walk) member(r *rule, in uint32, s *set, ref uint32, kind int) bool {
	w.c.next()
	return w.c.member(r, in, s, ref, kind)
}

// held follows a ref of a kind to the sets that hold it.
func (w *walk) held(ref uint32, kind int) {
	holders := w.v.heldBy(ref)
	for _, l := range [...]list{holders.groups, holders.others} {
		w.v.each(l, func(in uint32) bool {
			w.heldIn(in, ref, kind)
			return w.count()
		})
	}
}

func (w *walk) heldIn(in, ref uint32, kind int) {
	s := w.v.sets.at(in)
	if p := pair(s.typ, s.relation); p != w.lastPair {
		w.last, w.lastPair = w.v.model.pairs[p], p
	}
	r := w.last
	if r == nil || !w.route.useful.has(r.ordinal) || !r.rule.kinds.has(kind) || !w.member(r.rule, in, s, ref, kind) {
		return
	}
	for _, n := range r.leads.stored {
		if w.holds(n, s.object) {
			w.reach(s.object, r)
		}
	}
}

// follow finds what a relation of an object leads to.
func (w *walk) follow(at reached) {
	r := at.relation
	for _, x := range r.leads.computed {
		if w.route.useful.has(x.to.ordinal) && w.holds(x.needs, at.object) {
			w.reach(at.object, x.to)
		}
	}
	if at.object == phantom {
		return
	}
	if w.route.asSets.has(r.ordinal) {
		if n, stored := w.v.setOf(at.object, r.id); stored {
			w.held(n|setFlag, w.v.model.setKind(r))
		}
	}
	if len(r.leads.from) > 0 {
		w.related(at)
	}
}

// related follows an object to those that are related to it.
func (w *walk) related(at reached) {
	kind := w.v.model.objectKind(at.relation.typ)
	holders := w.v.heldBy(at.object)
	for _, l := range [...]list{holders.others, holders.groups} {
		w.v.each(l, func(in uint32) bool {
			s := w.v.sets.at(in)
			for i := range at.relation.leads.from {
				x := &at.relation.leads.from[i]
				if x.tupleset.id != s.relation || x.to.typ.id != s.typ || !w.route.useful.has(x.to.ordinal) {
					continue
				}
				if w.member(x.tupleset.rule, in, s, at.object, kind) && w.holds(x.needs, s.object) {
					w.reach(s.object, x.to)
				}
			}
			return w.count()
		})
	}
}

// names renders objects, sorted. Those that answers do not allow, if there are
// any, are conditional.
func (w *walk) names(objects []uint32, answers map[uint32]Answer) []Found {
	t, memory := w.v.texts(), &w.c.naming
	buf, ends := memory.text[:0], memory.ends[:0]
	for _, n := range objects {
		if n == phantom {
			buf = append(buf, w.p.subject.Type+":"+w.p.subject.ID...)
		} else {
			buf = t.appendObject(buf, n)
		}
		ends = append(ends, len(buf))
	}
	// One text for all names: a list may have very many.
	all, names, start := string(buf), memory.names[:0], 0
	for _, end := range ends {
		names = append(names, all[start:end])
		start = end
	}
	out := make([]Found, len(objects))
	for i, k := range memory.sort(names) {
		out[i] = Found{Name: names[k.at], Conditional: answers != nil && answers[objects[k.at]] != Allow}
	}
	clear(names)
	memory.text, memory.ends, memory.names, memory.objects = buf, ends, names, objects
	return out
}

// naming is the memory in which a list is found and gets its names.
type naming struct {
	sorter

	text  []byte
	ends  []int
	names []string
	// objects is nil while a pass has it; a second pass makes its own.
	objects []uint32
}

// size is about how many times 16 bytes it keeps.
func (n *naming) size() int {
	return cap(n.keys) + cap(n.other) + cap(n.names) + cap(n.ends)/2 + cap(n.objects)/4 + cap(n.text)/16
}
