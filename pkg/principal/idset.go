package principal

// idSet remembers the latest ids that were added to it, up to its size.
type idSet struct {
	size    int
	members map[string]struct{}
	order   []string // a ring once it is full
	next    int
}

func newIDSet(size int) *idSet {
	return &idSet{size: size, members: make(map[string]struct{})}
}

func (s *idSet) has(id string) bool {
	_, ok := s.members[id]
	return ok
}

func (s *idSet) add(id string) {
	if s.has(id) {
		return
	}
	s.members[id] = struct{}{}
	if len(s.order) < s.size {
		s.order = append(s.order, id)
		return
	}
	delete(s.members, s.order[s.next])
	s.order[s.next] = id
	s.next = (s.next + 1) % s.size
}
