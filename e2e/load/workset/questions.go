package workset

import "math/rand/v2"

// mix is how often each kind of check is asked, in percent.
var mix = []struct {
	kind    string
	percent int
}{
	{"direct", 20},    // a right that a tuple gives to the user
	{"group", 25},     // one that it gives to a group of the user
	{"deep", 30},      // one that comes from the levels above
	{"exclusion", 15}, // a table that bans somebody
	{"wildcard", 10},  // a dashboard that may be open to everybody
}

// leadsTo names the permission that a stored relation gives. What is missing
// here is asked for as it is.
var leadsTo = map[string]string{
	"service#admin":    "can_admin",
	"service#editor":   "can_edit",
	"service#viewer":   "can_view",
	"database#owner":   "can_write",
	"database#reader":  "can_read",
	"table#reader":     "can_select",
	"pipe#operator":    "can_run",
	"dashboard#viewer": "can_view",
}

// asker makes up questions about one organization.
type asker struct {
	of      *organization
	oracle  *Oracle
	random  *rand.Rand
	toUsers []Tuple // grants to one user
	toGroup []Tuple // grants to a group
	bans    []Tuple
	open    []Object // dashboards for everybody
	closed  []Object // the other dashboards
}

func newAsker(of *organization, oracle *Oracle, random *rand.Rand) *asker {
	a := &asker{of: of, oracle: oracle, random: random}
	isOpen := make(map[Object]bool)
	for _, t := range of.tuples {
		switch {
		case t.Relation == "banned":
			a.bans = append(a.bans, t)
		case t.Subject.ID == "*":
			isOpen[t.Object] = true
			a.open = append(a.open, t.Object)
		case t.Object.Type == "group" || t.Relation == "parent":
		case t.Subject.Type == "user":
			a.toUsers = append(a.toUsers, t)
		default:
			a.toGroup = append(a.toGroup, t)
		}
	}
	for _, d := range of.dashboards {
		if !isOpen[d] {
			a.closed = append(a.closed, d)
		}
	}
	return a
}

// question is a check without its answer.
type question struct {
	user, permission string
	object           Object
}

// ask draws a kind and an answer, and looks for a question that has it. When
// none turns up, the last question stands with the answer that it has.
func (a *asker) ask() Check {
	kind, want := a.kind(), a.random.IntN(2) == 0
	var c Check
	for range 20 {
		q, ok := a.question(kind, want)
		if !ok {
			break
		}
		c = a.answered(q, kind)
		if c.Expected == want {
			return c
		}
	}
	if c.Permission == "" {
		c = a.answered(question{a.bystander(), "member", Object{"organization", a.of.id}}, kind)
	}
	return c
}

func (a *asker) answered(q question, kind string) Check {
	return Check{
		Subject:    user(q.user),
		Permission: q.permission,
		Object:     q.object,
		Expected:   a.oracle.Allows(q.user, q.permission, q.object),
		Kind:       kind,
	}
}

func (a *asker) kind() string {
	roll := a.random.IntN(100)
	for _, m := range mix {
		if roll -= m.percent; roll < 0 {
			return m.kind
		}
	}
	return mix[0].kind
}

// question returns false when the organization has nothing of this kind.
func (a *asker) question(kind string, want bool) (question, bool) {
	switch kind {
	case "direct":
		return a.aboutGrant(a.toUsers, want)
	case "group":
		return a.aboutGrant(a.toGroup, want)
	case "exclusion":
		return a.aboutBan(want)
	case "wildcard":
		return a.aboutDashboard(want)
	default:
		return a.aboutLeaf(want)
	}
}

func (a *asker) aboutGrant(grants []Tuple, want bool) (question, bool) {
	t, ok := draw(a.random, grants)
	if !ok {
		return question{}, false
	}
	permission, found := leadsTo[t.Object.Type+"#"+t.Relation]
	if !found {
		permission = t.Relation
	}
	asking := t.Subject.ID
	switch {
	case !want:
		asking = a.bystander()
	case t.Subject.Type == "group":
		if asking, ok = a.oracle.draw(a.random, Object{"group", t.Subject.ID}, "member"); !ok {
			return question{}, false
		}
	}
	return question{asking, permission, t.Object}, true
}

// aboutLeaf asks for what is at the end of the hierarchy.
func (a *asker) aboutLeaf(want bool) (question, bool) {
	objects, permission := a.of.tables, "can_select"
	switch a.random.IntN(10) {
	case 0, 1:
		objects, permission = a.of.pipes, "can_run"
	case 2, 3:
		objects, permission = a.of.databases, "can_write"
	}
	object, ok := draw(a.random, objects)
	if !ok {
		return question{}, false
	}
	return question{a.userFor(object, permission, want), permission, object}, true
}

func (a *asker) aboutBan(want bool) (question, bool) {
	t, ok := draw(a.random, a.bans)
	if !ok {
		return question{}, false
	}
	asking := t.Subject.ID
	if want {
		asking = a.userFor(t.Object, "can_select", true)
	}
	return question{asking, "can_select", t.Object}, true
}

func (a *asker) aboutDashboard(want bool) (question, bool) {
	dashboards := a.closed
	if want {
		dashboards = a.open
	}
	object, ok := draw(a.random, dashboards)
	return question{a.anybody(), "can_view", object}, ok
}

// userFor draws a user who has the permission, or anybody.
func (a *asker) userFor(object Object, permission string, want bool) string {
	if want {
		if found, ok := a.oracle.draw(a.random, object, permission); ok {
			return found
		}
	}
	return a.bystander()
}

// bystander is a user of the organization seven times in ten, else of any.
func (a *asker) bystander() string {
	if a.random.IntN(10) < 7 {
		return userID(a.of.rank, a.random.IntN(a.of.users[a.of.rank]))
	}
	return a.anybody()
}

// anybody is a user of any organization.
func (a *asker) anybody() string {
	rank := a.random.IntN(len(a.of.users))
	return userID(rank, a.random.IntN(a.of.users[rank]))
}

// probe looks for a user and a table that one more tuple brings together. used
// holds the probes so far.
func (a *asker) probe(used map[Tuple]bool) (Probe, bool) {
	for range 100 {
		table, ok := draw(a.random, a.of.tables)
		if !ok {
			return Probe{}, false
		}
		who := a.bystander()
		t := Tuple{table, "reader", user(who)}
		if used[t] || a.oracle.Allows(who, "can_select", table) || a.oracle.Allows(who, "banned", table) {
			continue
		}
		used[t] = true
		return probeOf(t), true
	}
	return Probe{}, false
}

// probeOf is the probe of a tuple: written, the tuple makes its check true.
func probeOf(t Tuple) Probe {
	return Probe{Tuple: t, Check: Check{Subject: t.Subject, Permission: "can_select", Object: t.Object, Kind: "probe"}}
}

// selectable returns the ids of the tables that a user may select.
func (a *asker) selectable(who string) []string {
	var ids []string
	if !a.oracle.Names(who) {
		return nil // tables are never open to strangers
	}
	for _, t := range a.of.tables {
		if a.oracle.Allows(who, "can_select", t) {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// draw returns any of the elements; false when there is none.
func draw[T any](random *rand.Rand, from []T) (one T, ok bool) {
	if len(from) == 0 {
		return one, false
	}
	return from[random.IntN(len(from))], true
}
