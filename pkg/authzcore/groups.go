package authzcore

// groups are the sets that hold the subject through direct relationships only,
// at any distance, as far as the model allows each of them.
type groups struct {
	gathered bool
	// overflow: there are too many.
	overflow bool
	// sure are those that hold it whatever the circumstances leave open, doubtful
	// those that may: conditions on the way are not decided. What is doubtful is
	// asked one by one where the resource leads to it, so that a condition
	// matters, and counts as lacking, only there.
	sure, doubtful groupList
	// last is the relation of lastPair: groups are mostly of one kind.
	last     *relationDef
	lastPair uint32
}

// groupList are groups in the order in which they were found.
type groupList struct {
	list  []groupSet
	known stamps
}

type groupSet struct {
	set      uint32
	depth    int32
	pair     uint32
	relation *relationDef
}

func (g *groups) reset() {
	if !g.gathered {
		return
	}
	g.gathered, g.overflow = false, false
	g.sure.reset()
	g.doubtful.reset()
	g.last, g.lastPair = nil, 0
}

func (g *groupList) size() int { return 2*cap(g.list) + len(g.known.slots) }

func (g *groupList) reset() {
	clear(g.list)
	g.list = g.list[:0]
}

// gather finds the subject's groups, once per check. It returns false when
// there are too many or when they nest deeper than the limit.
func (c *checker) gather() bool {
	g := &c.groups
	if g.gathered {
		return !g.overflow
	}
	g.gathered = true
	if c.hasSubject {
		c.climb(c.subject, c.kind, 1, &g.sure)
	}
	if c.hasAnyone {
		c.climb(c.anyone, c.anyoneKind, 1, &g.sure)
	}
	c.climbAll(&g.sure)
	c.climbAll(&g.doubtful)
	return !g.overflow
}

// climbAll adds the groups that hold those of a list, and those that hold them.
func (c *checker) climbAll(from *groupList) {
	for i := 0; i < len(from.list) && !c.groups.overflow; i++ {
		x := from.list[i]
		if c.view.sets.at(x.set).heldBy.groups.n > 0 {
			c.climb(x.set|setFlag, c.model.setKind(x.relation), x.depth+1, from)
		}
	}
}

// climb adds the groups that hold a ref of a kind: to a list if they do so for
// sure, else to the doubtful ones.
func (c *checker) climb(ref uint32, kind int, depth int32, to *groupList) {
	g := &c.groups
	var single [1]uint32
	sets := c.view.whole(c.view.heldBy(ref).groups, &single)
	for refs := sets.next(); len(refs) > 0; refs = sets.next() {
		for _, n := range refs {
			s := c.view.sets.at(n)
			if p := pair(s.typ, s.relation); p != g.lastPair {
				g.last, g.lastPair = c.model.pairs[p], p
			}
			r := g.last
			if r == nil || !r.pure || !r.rule.kinds.has(kind) {
				continue
			}
			to := to
			switch c.climbs(r.rule, n, s, ref, kind) {
			case met:
			case unmet:
				if c.over != denied {
					g.overflow = true
					return
				}
				continue
			default:
				to = &g.doubtful
			}
			if !c.enter(to, groupSet{set: n, depth: depth, relation: r, pair: g.lastPair}) {
				return
			}
		}
	}
}

// enter adds a group to a list, once. It returns false when there are too many.
func (c *checker) enter(to *groupList, x groupSet) bool {
	g := &c.groups
	if to == &g.doubtful && g.sure.has(x.set, c.base) || !to.add(x.set, c.base) {
		return true
	}
	if len(g.sure.list)+len(g.doubtful.list) == c.view.limits.gather || int(x.depth) >= c.view.limits.Depth {
		g.overflow = true
		return false
	}
	to.list = append(to.list, x)
	return true
}

// climbs says whether a ref is a member of a set that holds it. What conditions
// lack is not kept: nothing leads to the set yet.
func (c *checker) climbs(r *rule, in uint32, s *set, ref uint32, kind int) outcome {
	if s.guarded == 0 {
		if r.plain.has(kind) {
			return met
		}
		return unmet
	}
	t, allowed := c.view.allowedTerms(r, in, ref, kind)
	switch {
	case !allowed:
		return unmet
	case t == nil:
		return met
	}
	x, _, _ := c.judge(t)
	return x
}

// inGroups says whether a set holds one of the subject's groups, of a kind that
// the rule allows.
func (c *checker) inGroups(r *rule, in uint32, s *set) bool {
	g := &c.groups.sure
	if len(g.list) == 0 {
		return false
	}
	var single [1]uint32
	sets := c.view.flagged(s.members, &single)
	if sets.count(4*len(g.list)) > 4*len(g.list) {
		for _, x := range g.list {
			rule := r.set(x.pair)
			if rule != nil && c.view.contains(s.members, x.set|setFlag) && c.member(r, in, s, x.set|setFlag, rule.kind) {
				return true
			}
		}
		return false
	}
	for refs := sets.next(); len(refs) > 0; refs = sets.next() {
		for _, ref := range refs {
			n := ref &^ setFlag
			if !g.has(n, c.base) {
				continue
			}
			m := c.view.sets.at(n)
			rule := r.set(pair(m.typ, m.relation))
			if rule != nil && c.member(r, in, s, ref, rule.kind) {
				return true
			}
		}
	}
	return false
}

// add enters a group and says whether it is new.
func (g *groupList) add(set, base uint32) bool {
	if len(g.list) < scanned {
		for _, x := range g.list {
			if x.set == set {
				return false
			}
		}
		return true
	}
	if len(g.list) == scanned {
		for _, x := range g.list {
			g.known.add(uint64(x.set), base, base)
		}
	}
	return g.known.add(uint64(set), base, base)
}

func (g *groupList) has(set, base uint32) bool {
	if len(g.list) <= scanned {
		for _, x := range g.list {
			if x.set == set {
				return true
			}
		}
		return false
	}
	return g.known.live(uint64(set), base)
}
