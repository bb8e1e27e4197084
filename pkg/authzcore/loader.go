package authzcore

// loader builds a graph from a snapshot's stream.
type loader struct {
	in    *unframer
	w     *writer
	limit uint64

	types, relations, conditions []uint16
	refs                         []uint32
}

func (l *loader) load(model func(id string) (*Model, error)) (Header, error) {
	var h Header
	l.in.start()
	h.Sequence = l.in.uint()
	h.Model = string(l.in.text(MaxIDBytes))
	h.Organization = string(l.in.text(MaxIDBytes))
	if copy(h.Hash[:], l.in.text(32)) != 32 && l.in.err == nil {
		return h, corrupt("the hash is damaged")
	}
	if l.in.err != nil {
		return h, l.in.err
	}
	l.w.sequence = h.Sequence
	if h.Model != "" {
		m, err := model(h.Model)
		if err != nil {
			return h, err
		}
		l.w.model = m
		l.w.markGroups(m)
	}
	for _, step := range []func() error{l.names, l.objects, l.sets, l.held, l.terms, l.in.end} {
		if err := step(); err != nil {
			return h, err
		}
	}
	return h, nil
}

func (l *loader) names() error {
	read := func(t *nameTable) []uint16 {
		var out []uint16
		for range l.in.below(maxNames + 1) {
			name := string(l.in.text(MaxNameBytes))
			if l.in.err != nil {
				return nil
			}
			if checkName("name", "name", name) != nil {
				l.in.err = corrupt("a name is damaged")
				return nil
			}
			id, err := t.intern(name)
			if err != nil {
				l.in.err = err
				return nil
			}
			out = append(out, id)
		}
		return out
	}
	l.types = read(&l.w.graph.names.types)
	l.relations = read(&l.w.graph.names.relations)
	l.conditions = read(&l.w.graph.names.conditions)
	return l.in.err
}

// terms reads the terms of members.
func (l *loader) terms() error {
	conditions := l.w.graph.names.conditions.all()
	for i := range l.in.below(setFlag) {
		in, ref, condition := l.in.below(uint64(l.w.sets.n)), l.in.below(1<<32), l.in.below(uint64(len(l.conditions)+1))
		t := Terms{Context: string(l.in.text(MaxStoredContextBytes)), Expires: int64(l.in.uint())}
		if l.in.err != nil {
			return l.in.err
		}
		if condition > 0 {
			t.Condition = conditions[l.conditions[condition-1]-1]
		}
		if _, err := DecodeContext(t.Context); err != nil || t.Expires < 0 || t == (Terms{}) || !l.w.peek().contains(l.w.sets.at(in).members, ref) {
			return corrupt("terms are damaged")
		}
		own, err := l.w.graph.names.newTerms(t)
		if err != nil {
			return err
		}
		l.w.setTerms(in, ref, own)
		if err := l.room(i); err != nil {
			return err
		}
	}
	return l.in.err
}

func (l *loader) objects() error {
	for i := range l.in.below(setFlag) {
		typ := l.in.below(uint64(len(l.types)))
		id := string(l.in.text(MaxIDBytes))
		if l.in.err != nil {
			return l.in.err
		}
		if checkID("id", id) != nil {
			return corrupt("an id is damaged")
		}
		if l.w.node(l.types[typ], id) != i {
			return corrupt("an object comes twice")
		}
		if err := l.room(i); err != nil {
			return err
		}
	}
	return l.in.err
}

// sets reads the sets and their members. Members may be sets that come later.
func (l *loader) sets() error {
	count := l.in.below(setFlag)
	for i := range count {
		object := l.in.below(uint64(l.w.nodes.n))
		relation := l.in.below(uint64(len(l.relations)))
		if l.in.err != nil {
			return l.in.err
		}
		o := l.w.nodes.at(object)
		if l.w.setOf(object, o.typ, l.relations[relation]) != i {
			return corrupt("a set comes twice")
		}
		if err := l.members(i, count); err != nil {
			return err
		}
		if err := l.room(i); err != nil {
			return err
		}
	}
	return l.in.err
}

func (l *loader) members(i, sets uint32) error {
	l.refs = l.refs[:0]
	last := uint64(0)
	for j := range l.in.below(1 << 32) {
		distance := uint64(l.in.below(1 << 32))
		if j > 0 && distance == 0 && l.in.err == nil {
			return corrupt("members do not increase")
		}
		last += distance
		ok := last < uint64(l.w.nodes.n) || last >= setFlag && last < setFlag+uint64(sets)
		if l.in.err != nil || !ok {
			return cmpErr(l.in.err, "a member is out of range")
		}
		l.refs = append(l.refs, uint32(last))
	}
	s := l.w.sets.mut(i, l.w.batch)
	s.members = l.w.makeList(l.refs)
	l.w.relationships += uint64(len(l.refs))
	return l.in.err
}

func cmpErr(err error, what string) error {
	if err != nil {
		return err
	}
	return corrupt(what)
}

// held fills the lists of what holds each object and set.
func (l *loader) held() error {
	w := l.w
	if w.groups == nil {
		w.groups = map[uint32]bool{}
	}
	v := *w.peek()
	for i := range w.sets.n {
		var single [1]uint32
		usersets := v.flagged(w.sets.at(i).members, &single)
		for refs := usersets.next(); len(refs) > 0; refs = usersets.next() {
			for _, ref := range refs {
				m := w.sets.at(ref &^ setFlag)
				w.groups[pair(m.typ, m.relation)] = true
			}
		}
	}
	for i := range w.sets.n {
		s := w.sets.at(i)
		group := w.groups[pair(s.typ, s.relation)]
		v := *w.peek()
		v.each(s.members, func(ref uint32) bool {
			held := w.heldBy(ref).list(group)
			*held, _ = w.insert(*held, i)
			return true
		})
		if err := l.room(i); err != nil {
			return err
		}
	}
	return nil
}

// room checks the limit now and then.
func (l *loader) room(i uint32) error {
	if l.limit == 0 || i%4096 != 0 || l.w.bytes() <= l.limit {
		return nil
	}
	return ErrSnapshotTooLarge
}
