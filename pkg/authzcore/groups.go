package authzcore

// groups are the sets that hold the subject through direct relationships only,
// at any distance, as far as the model and the circumstances allow each of them.
type groups struct {
	gathered bool
	// overflow: there are too many, or conditions on the way are not decided.
	overflow bool
	list     []groupSet
	known    stamps
	// last is the relation of lastPair: groups are mostly of one kind.
	last     *relationDef
	lastPair uint32
}

type groupSet struct {
	set      uint32
	depth    int32
	pair     uint32
	relation *relationDef
}

func (g *groups) reset() {
	g.gathered, g.overflow = false, false
	clear(g.list)
	g.list = g.list[:0]
	g.last, g.lastPair = nil, 0
}

// gather finds the subject's groups, once per check. It returns false when
// there are too many, when they nest deeper than the limit, or when it depends
// on more than the circumstances say.
func (c *checker) gather() bool {
	g := &c.groups
	if g.gathered {
		return !g.overflow
	}
	g.gathered = true
	if c.hasSubject {
		c.climb(c.subject, c.kind, 1)
	}
	if c.hasAnyone {
		c.climb(c.anyone, c.anyoneKind, 1)
	}
	for i := 0; i < len(g.list) && !g.overflow; i++ {
		from := g.list[i]
		if c.view.sets.at(from.set).heldBy.groups.n > 0 {
			c.climb(from.set|setFlag, c.model.setKind(from.relation), from.depth+1)
		}
	}
	return !g.overflow
}

// climb adds the groups that hold a ref of a kind.
func (c *checker) climb(ref uint32, kind int, depth int32) {
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
			x := c.climbs(r.rule, n, s, ref, kind)
			if x == unknown || x == broken || c.halted || c.spent {
				g.overflow = true
				return
			}
			if x == unmet {
				continue
			}
			if !g.add(n, c.base) {
				continue
			}
			if len(g.list) == c.view.limits.gather || int(depth) >= c.view.limits.Depth {
				g.overflow = true
				return
			}
			g.list = append(g.list, groupSet{set: n, depth: depth, relation: r, pair: g.lastPair})
		}
	}
}

// climbs says whether a ref is a member of a set that holds it.
func (c *checker) climbs(r *rule, in uint32, s *set, ref uint32, kind int) outcome {
	if s.guarded > 0 {
		return c.outcome(r, in, ref, kind)
	}
	if r.plain.has(kind) {
		return met
	}
	return unmet
}

// inGroups says whether a set holds one of the subject's groups, of a kind that
// the rule allows.
func (c *checker) inGroups(r *rule, in uint32, s *set) bool {
	g := &c.groups
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
func (g *groups) add(set, base uint32) bool {
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

func (g *groups) has(set, base uint32) bool {
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
