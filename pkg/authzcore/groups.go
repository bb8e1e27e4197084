package authzcore

// groups are the sets that hold the subject through direct relationships only,
// at any distance, as far as the model allows each of them.
type groups struct {
	gathered bool
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
// there are too many, or when they nest deeper than the limit.
func (c *checker) gather() bool {
	g := &c.groups
	if g.gathered {
		return !g.overflow
	}
	g.gathered = true
	if c.hasSubject {
		c.climb(c.view.heldBy(c.subject).groups, c.kind, 1)
	}
	if c.hasAnyone {
		c.climb(c.view.heldBy(c.anyone).groups, c.anyoneKind, 1)
	}
	for i := 0; i < len(g.list) && !g.overflow; i++ {
		from := g.list[i]
		if in := c.view.sets.at(from.set).heldBy.groups; in.n > 0 {
			c.climb(in, c.model.setKind(from.relation), from.depth+1)
		}
	}
	return !g.overflow
}

// climb adds the groups in a list of sets that hold a subject of a kind.
func (c *checker) climb(in list, kind int, depth int32) {
	g := &c.groups
	var single [1]uint32
	sets := c.view.whole(in, &single)
	for refs := sets.next(); len(refs) > 0; refs = sets.next() {
		for _, n := range refs {
			s := c.view.sets.at(n)
			if p := pair(s.typ, s.relation); p != g.lastPair {
				g.last, g.lastPair = c.model.pairs[p], p
			}
			r := g.last
			if r == nil || !r.pure || !r.rule.kinds.has(kind) || !g.add(n, c.base) {
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

// inGroups says whether a set holds one of the subject's groups, of a kind that
// the rule allows.
func (c *checker) inGroups(r *rule, s *set) bool {
	g := &c.groups
	if len(g.list) == 0 {
		return false
	}
	var single [1]uint32
	sets := c.view.flagged(s.members, &single)
	if sets.count(4*len(g.list)) > 4*len(g.list) {
		for _, x := range g.list {
			if r.set(x.pair) != nil && c.view.contains(s.members, x.set|setFlag) {
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
			if r.set(pair(m.typ, m.relation)) != nil {
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
