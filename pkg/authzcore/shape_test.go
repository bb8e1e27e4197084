package authzcore_test

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// cloudModel is shaped like a cloud database company's: objects nest four deep,
// groups nest, some dashboards are public, some users are banned.
const cloudModel = `model
  schema 1.1
type user
type group
  relations
    define member: [user, group#member]
type organization
  relations
    define admin: [user, group#member]
    define member: [user, group#member]
type service
  relations
    define parent: [organization]
    define admin: [user, group#member]
    define editor: [user, group#member]
    define viewer: [user, group#member]
    define can_admin: admin or admin from parent
    define can_edit: editor or can_admin
    define can_view: viewer or can_edit or member from parent
type database
  relations
    define parent: [service]
    define owner: [user, group#member]
    define reader: [user, group#member]
    define can_write: owner or can_edit from parent
    define can_read: reader or can_write or can_view from parent
type table
  relations
    define parent: [database]
    define reader: [user, group#member]
    define banned: [user]
    define can_select: (reader or can_read from parent) but not banned
type dashboard
  relations
    define parent: [organization]
    define viewer: [user, user:*, group#member]
    define can_view: viewer or member from parent
`

// shape draws relationships and questions of the cloud model.
type shape struct {
	r             *rand.Rand
	relationships []authzcore.Relationship
	questions     []authzcore.Question
}

// drawShape draws about n relationships in organizations whose size follows
// rank^-0.6, and questions whose share follows rank^-1.
func drawShape(n, questions int) *shape {
	s := &shape{r: rand.New(rand.NewPCG(1, 2))}
	orgs := max(n/1050, 1)
	size, popularity := 0.0, 0.0
	for i := range orgs {
		size += math.Pow(float64(i+1), -0.6)
		popularity += 1 / float64(i+1)
	}
	for i := range orgs {
		scale := min(max(math.Pow(float64(i+1), -0.6)*float64(orgs)/size, 0.2), 20)
		s.organization(i, scale, max(int(float64(questions)/float64(i+1)/popularity), 1))
	}
	s.r.Shuffle(len(s.questions), func(i, j int) { s.questions[i], s.questions[j] = s.questions[j], s.questions[i] })
	return s
}

func (s *shape) add(resource, relation, subject string) {
	s.relationships = append(s.relationships, authzcore.Relationship{Resource: resource, Relation: relation, Subject: subject})
}

func (s *shape) ask(subject, permission, resource string) {
	s.questions = append(s.questions, authzcore.Question{Subject: subject, Permission: permission, Resource: resource})
}

func (s *shape) organization(i int, scale float64, questions int) {
	n := func(base int, k float64) int { return max(1, int(math.Round(float64(base)*k))) }
	root := math.Sqrt(scale)
	users, groups := n(60, scale), max(4, n(12, root))
	user := func() string { return fmt.Sprintf("user:u%d-%d", i, s.r.IntN(users)) }
	grantee := func() string {
		if s.r.IntN(10) < 6 {
			return fmt.Sprintf("group:o%d-g%d#member", i, s.r.IntN(groups))
		}
		return user()
	}
	org := fmt.Sprintf("organization:o%d", i)
	for k := range groups {
		group := fmt.Sprintf("group:o%d-g%d", i, k)
		if k%4 != 0 {
			s.add(fmt.Sprintf("group:o%d-g%d", i, k-1), "member", group+"#member")
		}
		for range 1 + s.r.IntN(max(2, users/4)) {
			s.add(group, "member", user())
		}
	}
	for k := range users / 2 {
		s.add(org, "member", fmt.Sprintf("user:u%d-%d", i, 2*k))
	}
	s.add(org, "admin", user())
	var tables []string
	for k := range n(6, root) {
		service := fmt.Sprintf("service:o%d-s%d", i, k)
		s.add(service, "parent", org)
		for _, relation := range []string{"admin", "editor", "editor", "viewer", "viewer", "viewer"} {
			s.add(service, relation, grantee())
		}
		for d := range n(4, root) {
			database := fmt.Sprintf("database:o%d-s%d-d%d", i, k, d)
			s.add(database, "parent", service)
			s.add(database, "owner", grantee())
			s.add(database, "reader", grantee())
			for t := range 18 {
				table := fmt.Sprintf("table:o%d-s%d-d%d-t%d", i, k, d, t)
				tables = append(tables, table)
				s.add(table, "parent", database)
				if s.r.IntN(2) == 0 {
					s.add(table, "reader", grantee())
				}
				if s.r.IntN(8) == 0 {
					s.add(table, "banned", user())
				}
			}
		}
	}
	s.dashboards(i, n(20, scale), org, user, grantee)
	for range questions {
		switch s.r.IntN(8) {
		case 0:
			s.ask(user(), "can_view", fmt.Sprintf("dashboard:o%d-b%d", i, s.r.IntN(n(20, scale))))
		case 1:
			s.ask(user(), "can_edit", fmt.Sprintf("service:o%d-s0", i))
		default:
			s.ask(user(), "can_select", tables[s.r.IntN(len(tables))])
		}
	}
}

func (s *shape) dashboards(i, n int, org string, user, grantee func() string) {
	for k := range n {
		dashboard := fmt.Sprintf("dashboard:o%d-b%d", i, k)
		s.add(dashboard, "parent", org)
		switch {
		case s.r.IntN(7) == 0:
			s.add(dashboard, "viewer", "user:*")
		case s.r.IntN(20) == 0:
			s.add(dashboard, "viewer", user())
		default:
			s.add(dashboard, "viewer", grantee())
		}
	}
}
