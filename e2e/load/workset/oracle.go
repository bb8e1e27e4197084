package workset

import (
	"math/bits"
	"math/rand/v2"
)

// Oracle knows the right answers. It computes whole sets of users, object by
// object, with the rules of the model written out by hand: no engine works this
// way, so an engine and the oracle do not err alike.
//
// Objects must not be their own parents, directly or through others. An oracle
// is not safe for concurrent use.
type Oracle struct {
	number  map[string]int // user id to its place in a set
	names   []string       // user ids by place
	granted map[stored][]Subject
	groups  map[string]set // group id to its members
	known   map[stored]set // answers so far
}

// stored is a relation or a permission of one object.
type stored struct {
	object   Object
	relation string
}

// NewOracle returns an oracle for a state that holds the tuples and nothing else.
func NewOracle(tuples []Tuple) *Oracle {
	o := &Oracle{
		number:  make(map[string]int),
		granted: make(map[stored][]Subject),
		groups:  make(map[string]set),
		known:   make(map[stored]set),
	}
	for _, t := range tuples {
		k := stored{t.Object, t.Relation}
		o.granted[k] = append(o.granted[k], t.Subject)
		if _, found := o.number[t.Subject.ID]; !found && t.Subject.Type == "user" && t.Subject.ID != "*" {
			o.number[t.Subject.ID] = len(o.number)
			o.names = append(o.names, t.Subject.ID)
		}
	}
	o.fillGroups()
	return o
}

// Allows answers a check: does the user have the relation or permission?
func (o *Oracle) Allows(user, permission string, object Object) bool {
	s := o.users(object, permission)
	n, named := o.number[user]
	if !named {
		return s.strangers
	}
	return s.has(n)
}

// Names says whether any tuple names the user.
func (o *Oracle) Names(user string) bool {
	_, named := o.number[user]
	return named
}

// draw returns any user who is named and has the permission; false when there
// is none.
func (o *Oracle) draw(random *rand.Rand, object Object, permission string) (user string, ok bool) {
	s := o.users(object, permission)
	size := s.size()
	if size == 0 {
		return "", false
	}
	skip := random.IntN(size)
	for n, name := range o.names {
		if !s.has(n) {
			continue
		}
		if skip == 0 {
			return name, true
		}
		skip--
	}
	return "", false
}

// fillGroups computes who is in which group: it adds what the tuples say, over
// and over, until nothing changes. Groups that hold each other are no trouble.
func (o *Oracle) fillGroups() {
	for changed := true; changed; {
		changed = false
		for k, subjects := range o.granted {
			if k.object.Type != "group" {
				continue
			}
			before := o.groups[k.object.ID]
			after := before.or(o.direct(subjects))
			if after.size() != before.size() {
				o.groups[k.object.ID] = after
				changed = true
			}
		}
	}
}

// direct is the set of users that a list of subjects stands for.
func (o *Oracle) direct(subjects []Subject) set {
	all := newSet(len(o.number))
	for _, s := range subjects {
		switch {
		case s.Type == "group" && s.Relation == "member":
			all = all.or(o.groups[s.ID])
		case s.Type == "user" && s.ID == "*":
			all = all.or(everybody(len(o.number)))
		case s.Type == "user":
			all.add(o.number[s.ID])
		}
	}
	return all
}

// users is the set of users that have a relation or permission to an object.
func (o *Oracle) users(object Object, permission string) set {
	k := stored{object, permission}
	if s, found := o.known[k]; found {
		return s
	}
	s := o.compute(object, permission)
	o.known[k] = s
	return s
}

// compute holds the model: what is not a permission is a stored relation.
func (o *Oracle) compute(object Object, permission string) set {
	own := func(permission string) set { return o.users(object, permission) }
	above := func(permission string) set {
		all := newSet(len(o.number))
		for _, parent := range o.granted[stored{object, "parent"}] {
			all = all.or(o.users(Object{parent.Type, parent.ID}, permission))
		}
		return all
	}
	switch object.Type + "#" + permission {
	case "service#can_admin":
		return own("admin").or(above("admin"))
	case "service#can_edit":
		return own("can_admin").or(own("editor"))
	case "service#can_view":
		return own("can_edit").or(own("viewer")).or(above("member"))
	case "database#can_write":
		return own("owner").or(above("can_edit"))
	case "database#can_read":
		return own("can_write").or(own("reader")).or(above("can_view"))
	case "table#can_select":
		return own("reader").or(above("can_read")).without(own("banned"))
	case "pipe#can_run":
		return own("operator").or(above("can_edit"))
	case "dashboard#can_view":
		return own("viewer").or(above("member"))
	default:
		return o.direct(o.granted[stored{object, permission}])
	}
}

// set is a set of users: one bit for each that the tuples name, and one answer
// for all strangers.
type set struct {
	words     []uint64
	strangers bool
}

func newSet(users int) set { return set{words: make([]uint64, (users+63)/64)} }

func everybody(users int) set {
	s := newSet(users)
	for n := range users {
		s.add(n)
	}
	s.strangers = true
	return s
}

func (s set) add(n int) { s.words[n/64] |= 1 << (n % 64) }

func (s set) has(n int) bool { return n/64 < len(s.words) && s.words[n/64]&(1<<(n%64)) != 0 }

func (s set) size() int {
	total := 0
	for _, w := range s.words {
		total += bits.OnesCount64(w)
	}
	return total
}

// or returns a new set; s and t stay as they are.
func (s set) or(t set) set {
	u := set{words: make([]uint64, max(len(s.words), len(t.words))), strangers: s.strangers || t.strangers}
	copy(u.words, s.words)
	for i, w := range t.words {
		u.words[i] |= w
	}
	return u
}

// without returns a new set; s and t stay as they are.
func (s set) without(t set) set {
	u := set{words: make([]uint64, len(s.words)), strangers: s.strangers && !t.strangers}
	copy(u.words, s.words)
	for i, w := range t.words {
		u.words[i] &^= w
	}
	return u
}
