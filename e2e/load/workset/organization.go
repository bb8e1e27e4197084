package workset

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// organization is one customer with all its tuples. It is made from the seed
// and its rank alone, so a work set needs the memory of one organization.
type organization struct {
	id         string
	tuples     []Tuple
	tables     []Object
	databases  []Object
	pipes      []Object
	dashboards []Object

	sizes  Sizes
	factor float64
	random *rand.Rand
	users  []int // how many users each organization has, by rank
	rank   int
	groups []string
	seen   map[Tuple]bool
}

func userID(rank, n int) string { return fmt.Sprintf("u%d-%d", rank, n) }

// makeOrganization returns the organization of a rank, the largest being 0.
func makeOrganization(s Sizes, factor float64, users []int, rank int) *organization {
	o := &organization{
		id:     fmt.Sprintf("o%d", rank),
		sizes:  s,
		factor: factor,
		random: randomFor(s.Seed, purposeTuples, rank),
		users:  users,
		rank:   rank,
		seen:   make(map[Tuple]bool),
	}
	o.addGroups()
	o.addMembers()
	for n := range times(s.Services, math.Sqrt(factor)) {
		o.addService(n)
	}
	for n := range times(s.Dashboards, factor) {
		o.addDashboard(n)
	}
	o.seen = nil
	return o
}

// What random numbers are for: each purpose has a sequence of its own, so that
// more checks do not change the tuples.
const (
	purposeTuples = iota + 1
	purposeChecks
	purposeProbes
	purposePlan
)

func randomFor(seed uint64, purpose, rank int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(purpose)<<32|uint64(rank)))
}

func (o *organization) add(object Object, relation string, s Subject) {
	t := Tuple{object, relation, s}
	if !o.seen[t] {
		o.seen[t] = true
		o.tuples = append(o.tuples, t)
	}
}

func (o *organization) percent(n int) bool { return o.random.IntN(100) < n }

// someUser is a user of the organization.
func (o *organization) someUser() Subject {
	return user(userID(o.rank, o.random.IntN(o.users[o.rank])))
}

// userOrGuest is a user of the organization, or now and then of any.
func (o *organization) userOrGuest() Subject {
	if !o.percent(o.sizes.GuestPercent) {
		return o.someUser()
	}
	other := o.random.IntN(len(o.users))
	return user(userID(other, o.random.IntN(o.users[other])))
}

// grant gives a relation n times: to groups six times in ten, else to users.
func (o *organization) grant(object Object, relation string, n int) {
	for range n {
		if o.percent(60) {
			o.add(object, relation, members(o.groups[o.random.IntN(len(o.groups))]))
		} else {
			o.add(object, relation, o.userOrGuest())
		}
	}
}

// addGroups makes chains of four nested groups, so that the first of a chain
// holds its users through up to four steps.
func (o *organization) addGroups() {
	for n := range max(4, times(o.sizes.Groups, math.Sqrt(o.factor))) {
		o.groups = append(o.groups, fmt.Sprintf("%s-g%d", o.id, n))
	}
	for n, id := range o.groups {
		if n%4 != 0 {
			o.add(Object{"group", o.groups[n-1]}, "member", members(id))
		}
		for range 1 + o.random.IntN(max(2, o.users[o.rank]/4)) {
			o.add(Object{"group", id}, "member", o.userOrGuest())
		}
	}
}

// addMembers makes every second user and the last group members of the
// organization, and a few users and a group its admins. The other users have
// only what groups and grants give them.
func (o *organization) addMembers() {
	self := Object{"organization", o.id}
	for n := 0; n < o.users[o.rank]; n += 2 {
		o.add(self, "member", user(userID(o.rank, n)))
	}
	o.add(self, "member", members(o.groups[len(o.groups)-1]))
	for range 1 + o.users[o.rank]/30 {
		o.add(self, "admin", o.userOrGuest())
	}
	if len(o.groups) > 8 {
		o.add(self, "admin", members(o.groups[7]))
	}
}

func (o *organization) addService(n int) {
	service := Object{"service", fmt.Sprintf("%s-s%d", o.id, n)}
	o.add(service, "parent", Subject{Type: "organization", ID: o.id})
	o.grant(service, "admin", 1)
	o.grant(service, "editor", 2)
	o.grant(service, "viewer", 3)
	for d := range times(o.sizes.Databases, math.Sqrt(o.factor)) {
		o.addDatabase(service, d)
	}
	for p := range o.sizes.Pipes {
		pipe := Object{"pipe", fmt.Sprintf("%s-p%d", service.ID, p)}
		o.pipes = append(o.pipes, pipe)
		o.add(pipe, "parent", Subject{Type: service.Type, ID: service.ID})
		o.grant(pipe, "operator", 1)
	}
}

func (o *organization) addDatabase(service Object, n int) {
	database := Object{"database", fmt.Sprintf("%s-d%d", service.ID, n)}
	o.databases = append(o.databases, database)
	o.add(database, "parent", Subject{Type: service.Type, ID: service.ID})
	o.grant(database, "owner", 1)
	o.grant(database, "reader", 1+o.random.IntN(2))
	for t := range o.sizes.Tables {
		table := Object{"table", fmt.Sprintf("%s-t%d", database.ID, t)}
		o.tables = append(o.tables, table)
		o.add(table, "parent", Subject{Type: database.Type, ID: database.ID})
		if o.percent(50) {
			o.grant(table, "reader", 1)
		}
		if o.percent(o.sizes.BannedPercent) {
			o.add(table, "banned", o.someUser())
		}
	}
}

func (o *organization) addDashboard(n int) {
	dashboard := Object{"dashboard", fmt.Sprintf("%s-b%d", o.id, n)}
	o.dashboards = append(o.dashboards, dashboard)
	o.add(dashboard, "parent", Subject{Type: "organization", ID: o.id})
	if o.percent(o.sizes.OpenPercent) {
		o.add(dashboard, "viewer", user("*"))
		return
	}
	o.grant(dashboard, "viewer", 1+o.random.IntN(2))
}
