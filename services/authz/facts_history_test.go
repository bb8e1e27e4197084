package authz_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/id"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

// crowd is who is in an organization, as a test remembers it.
type crowd struct {
	org      string
	roles    map[string]eventv1.MembershipRole
	stopped  map[string]bool // suspended users and disabled service accounts
	accounts map[string]bool
	groups   map[string]map[string]bool
}

// relationships are what must hold of it.
func (c *crowd) relationships() (out []string) {
	for u, role := range c.roles {
		if c.stopped[u] {
			continue
		}
		out = append(out, "organization:"+c.org+"#member@user:"+u)
		if role == asAdmin {
			out = append(out, "organization:"+c.org+"#admin@user:"+u)
		}
	}
	for a := range c.accounts {
		if !c.stopped[a] {
			out = append(out, "organization:"+c.org+"#service_account@service_account:"+a)
		}
	}
	for g, members := range c.groups {
		for m := range members {
			subject := map[string]string{"usr": "user:" + m, "svc": "service_account:" + m, "grp": "group:" + m + "#member"}[m[:3]]
			out = append(out, "group:"+g+"#member@"+subject)
		}
	}
	slices.Sort(out)
	return out
}

// leave takes a member out of all groups.
func (c *crowd) leave(m string) (events []proto.Message) {
	for _, g := range slices.Sorted(maps.Keys(c.groups)) {
		if c.groups[g][m] {
			delete(c.groups[g], m)
			events = append(events, &eventv1.GroupMembersChanged{Group: g, Removed: []string{m}})
		}
	}
	return events
}

// step is one commit of identity.
func (c *crowd) step(random *rand.Rand) []proto.Message {
	pick := func(of []string) string { return of[random.IntN(len(of))] }
	users, accounts, groups := slices.Sorted(maps.Keys(c.roles)), slices.Sorted(maps.Keys(c.accounts)), slices.Sorted(maps.Keys(c.groups))
	role := []eventv1.MembershipRole{asMember, asAdmin}[random.IntN(2)]
	switch n := random.IntN(12); {
	case n == 0 || len(users) < 3:
		u := id.New(id.User)
		c.roles[u] = role
		return []proto.Message{&eventv1.MembershipCreated{Organization: c.org, User: u, Role: role}}
	case n == 1 || len(accounts) < 2:
		a := id.New(id.ServiceAccount)
		c.accounts[a] = true
		return []proto.Message{&eventv1.ServiceAccountCreated{Organization: c.org, ServiceAccount: a, Name: a}}
	case n == 2 || len(groups) < 3:
		g := id.New(id.Group)
		c.groups[g] = map[string]bool{}
		return []proto.Message{&eventv1.GroupCreated{Organization: c.org, Group: g, Name: g}}
	case n == 3:
		u := pick(users)
		events := c.leave(u)
		delete(c.roles, u)
		delete(c.stopped, u)
		return append(events, &eventv1.MembershipRemoved{Organization: c.org, User: u})
	case n == 4:
		u := pick(users)
		c.roles[u] = role
		return []proto.Message{&eventv1.MembershipRoleChanged{Organization: c.org, User: u, Role: role, Suspended: c.stopped[u]}}
	case n == 5:
		return []proto.Message{c.toggle(pick(users))}
	case n == 6:
		return []proto.Message{c.toggle(pick(accounts))}
	case n == 7:
		a := pick(accounts)
		events := c.leave(a)
		delete(c.accounts, a)
		delete(c.stopped, a)
		return append(events, &eventv1.ServiceAccountDeleted{Organization: c.org, ServiceAccount: a})
	case n == 8:
		g := pick(groups)
		out := &eventv1.GroupMembersChanged{Group: g, Removed: slices.Sorted(maps.Keys(c.groups[g]))}
		events := append([]proto.Message{out}, c.leave(g)...)
		delete(c.groups, g)
		return append(events, &eventv1.GroupDeleted{Group: g})
	default:
		change := &eventv1.GroupMembersChanged{Group: pick(groups)}
		members := c.groups[change.GetGroup()]
		for _, m := range slices.Concat(users, accounts, groups) {
			switch {
			case m == change.GetGroup() || random.IntN(3) > 0:
			case members[m]:
				delete(members, m)
				change.Removed = append(change.Removed, m)
			default:
				members[m] = true
				change.Added = append(change.Added, m)
			}
		}
		return []proto.Message{change}
	}
}

// toggle suspends or resumes a user, disables or enables a service account.
func (c *crowd) toggle(who string) proto.Message {
	c.stopped[who] = !c.stopped[who]
	switch role, isUser := c.roles[who]; {
	case isUser && c.stopped[who]:
		return &eventv1.MembershipSuspended{Organization: c.org, User: who}
	case isUser:
		return &eventv1.MembershipResumed{Organization: c.org, User: who, Role: role}
	case c.stopped[who]:
		return &eventv1.ServiceAccountDisabled{Organization: c.org, ServiceAccount: who}
	default:
		return &eventv1.ServiceAccountEnabled{Organization: c.org, ServiceAccount: who}
	}
}

// A random history of identity is, at every revision, what the graph has: one that
// followed the log, one that was loaded from a snapshot, and one that a watcher
// built.
func TestFactsDifferential(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			f := newFixture(t, authz.Config{})
			org := f.peopled(t)
			random := rand.New(rand.NewPCG(seed, 2))
			c := &crowd{
				org: org, roles: map[string]eventv1.MembershipRole{}, stopped: map[string]bool{},
				accounts: map[string]bool{}, groups: map[string]map[string]bool{},
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			stream, err := f.relationships.Watch(ctx, &authzv1.WatchRequest{Organization: org, After: tokenOf(t, org, f.head(t, org))})
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			var token string
			for step := range 120 {
				if events := c.step(random); len(events) > 0 {
					token = f.said(t, org, events...)
				}
				if step%10 != 9 {
					continue
				}
				if got, want := f.exported(t, org, token), c.relationships(); !slices.Equal(got, want) {
					t.Fatalf("step %d:\n%q, want\n%q", step, got, want)
				}
			}
			if got, want := watched(t, stream, sequenceOf(t, org, token), org), c.relationships(); !slices.Equal(got, want) {
				t.Errorf("watched %q, want %q", got, want)
			}
			cancel()
			f.stopService()
			f.startService(t)
			if got, want := f.exported(t, org, token), c.relationships(); !slices.Equal(got, want) {
				t.Errorf("from a snapshot: %q, want %q", got, want)
			}
			f.verify(t, org)
		})
	}
}

// watched builds what a watcher knows at a revision.
func watched(t *testing.T, stream *connect.ServerStreamForClient[authzv1.WatchResponse], until uint64, org string) []string {
	t.Helper()
	held := map[string]bool{}
	for at := uint64(0); at < until; {
		if !stream.Receive() {
			t.Fatalf("the watch ended: %v", stream.Err())
		}
		m := stream.Msg()
		if m.GetCheckpoint() != "" {
			at = sequenceOf(t, org, m.GetCheckpoint())
		}
		for _, c := range m.GetChanges().GetChanges() {
			r := c.GetRelationship()
			name := r.GetResource() + "#" + r.GetRelation() + "@" + r.GetSubject()
			if c.GetKind() == authzv1.WatchKind_WATCH_KIND_DELETED {
				delete(held, name)
			} else {
				held[name] = true
			}
		}
		if m.GetChanges() != nil {
			at = m.GetChanges().GetSequence()
		}
	}
	return slices.Sorted(maps.Keys(held))
}
