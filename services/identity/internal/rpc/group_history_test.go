package rpc_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/domain/group"
)

// nested is which groups are in which, as a test remembers it.
type nested map[string]map[string]bool

// height is how many groups are inside each other in a group.
func (n nested) height(g string) (h int) {
	for member := range n[g] {
		if group.IsGroup(member) {
			h = max(h, n.height(member))
		}
	}
	return h + 1
}

func (n nested) reaches(from, to string) bool {
	if from == to {
		return true
	}
	for member := range n[from] {
		if group.IsGroup(member) && n.reaches(member, to) {
			return true
		}
	}
	return false
}

// allows says what adding a group to another is answered with: whether it would be
// a cycle, or too deep anywhere.
func (n nested) allows(outer, inner string) commonv1.Reason {
	if n[outer][inner] {
		return 0
	}
	if n.reaches(inner, outer) {
		return commonv1.Reason_GROUP_CYCLE
	}
	n[outer][inner] = true
	defer delete(n[outer], inner)
	for g := range n {
		if n.height(g) > group.MaxDepth {
			return commonv1.Reason_GROUP_TOO_DEEP
		}
	}
	return 0
}

// A random history of groups, of which a test knows by itself what is refused, and
// whose rows are what its log says.
func TestRandomHistory(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			p := newPeople(t)
			org := p.organization(t, p.ctx, "acme")
			h := &history{people: p, t: t, org: org, random: random, groups: nested{}, users: p.members(t, org, 5)}
			for range 12 {
				h.create()
			}
			for step := range 220 {
				h.step()
				if step%55 == 54 {
					p.verify(t, org)
				}
			}
			h.compare()
		})
	}
}

// history is a random one.
type history struct {
	*people

	t        *testing.T
	org      string
	random   *rand.Rand
	groups   nested
	users    []string
	accounts []string
	made     int
}

// any is one of some, in an order that a seed gives.
func (h *history) any(of []string) string { return of[h.random.IntN(len(of))] }

func (h *history) names() []string { return slices.Sorted(maps.Keys(h.groups)) }

func (h *history) create() {
	h.made++
	h.groups[h.group(h.t, h.org, fmt.Sprint("group ", h.made))] = map[string]bool{}
}

func (h *history) step() {
	switch n := h.random.IntN(20); {
	case n == 0:
		h.create()
	case n == 1:
		h.made++
		h.accounts = append(h.accounts, h.account(h.t, h.org, fmt.Sprint("account ", h.made)))
	case n == 2 && len(h.groups) > 6:
		h.deleteGroup(h.any(h.names()))
	case n == 3 && len(h.accounts) > 1:
		h.deleteAccount(h.any(h.accounts))
	case n < 8:
		h.move(h.any(h.names()), h.any(append(h.accounts, h.users...)))
	default:
		h.nest(h.any(h.names()), h.any(h.names()))
	}
}

func (h *history) deleteGroup(g string) {
	_, err := h.people.groups.DeleteGroup(h.ctx, &identityv1.DeleteGroupRequest{Organization: h.org, Group: g, IdempotencyKey: h.key()})
	if err != nil {
		h.t.Fatal(err)
	}
	delete(h.groups, g)
	h.forget(g)
}

func (h *history) deleteAccount(a string) {
	_, err := h.people.accounts.DeleteServiceAccount(h.ctx, &identityv1.DeleteServiceAccountRequest{
		Organization: h.org, ServiceAccount: a, IdempotencyKey: h.key(),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.accounts = slices.DeleteFunc(h.accounts, func(other string) bool { return other == a })
	h.forget(a)
}

func (h *history) forget(member string) {
	for _, members := range h.groups {
		delete(members, member)
	}
}

// move adds a user or a service account to a group, or takes it out.
func (h *history) move(g, member string) {
	if h.groups[g][member] {
		h.mustChange(h.t, h.org, g, nil, []string{member})
		delete(h.groups[g], member)
		return
	}
	h.mustChange(h.t, h.org, g, []string{member}, nil)
	h.groups[g][member] = true
}

// nest puts a group into another, or takes it out now and then.
func (h *history) nest(outer, inner string) {
	if h.groups[outer][inner] && h.random.IntN(2) == 0 {
		h.mustChange(h.t, h.org, outer, nil, []string{inner})
		delete(h.groups[outer], inner)
		return
	}
	want := h.groups.allows(outer, inner)
	_, err := h.change(h.org, outer, []string{inner}, nil)
	switch {
	case want == 0 && err == nil:
		h.groups[outer][inner] = true
	case want == 0 || !fault.Is(err, want):
		h.t.Fatalf("%s in %s: %v, want %v", inner, outer, err, want)
	}
}

// compare compares every group with what the test remembers.
func (h *history) compare() {
	depth := 0
	for g, want := range h.groups {
		got, _ := h.membersOf(h.t, h.org, g, 7)
		if !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			h.t.Errorf("group %s has %v, want %v", g, got, want)
		}
		depth = max(depth, h.groups.height(g))
	}
	h.t.Logf("%d groups, %d deep", len(h.groups), depth)
}

// Groups and service accounts of new organizations are made by transactions that
// all overlap. None is asked to run again.
func TestGroupsOfOrganizationsDoNotConflict(t *testing.T) {
	const each = 8
	meeting := &sqltest.Meeting{Mark: "INSERT INTO log.idempotency"}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqltest.URL(t), MaxConns: 2*each + 2, Tracer: meeting})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	p := newPeopleOn(t, db)
	owners := make([]string, 2*each)
	for i := range owners {
		owners[i] = p.organization(t, p.ctx, fmt.Sprint("owner-", i))
	}
	meeting.Expect(2 * each)
	var wait sync.WaitGroup
	for i, owner := range owners {
		wait.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = p.groups.CreateGroup(p.ctx, &identityv1.CreateGroupRequest{Organization: owner, Name: "ops", IdempotencyKey: p.key()})
			} else {
				_, err = p.accounts.CreateServiceAccount(p.ctx, &identityv1.CreateServiceAccountRequest{Organization: owner, Name: "bot", IdempotencyKey: p.key()})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if runs := meeting.Runs(); runs != 2*each {
		t.Errorf("%d transactions ran for %d commits", runs, 2*each)
	}
	meeting.Expect(0)
	for _, owner := range owners {
		p.verify(t, owner)
	}
}

// Reads take any token of their organization that was issued, and no other.
func TestReadsAtLeast(t *testing.T) {
	p := newPeople(t)
	org, other := p.organization(t, p.ctx, "acme"), p.organization(t, p.ctx, "globex")
	grp := p.group(t, org, "ops")
	read := func(ctx context.Context, token string) error {
		_, err := p.groups.ListGroupMembers(ctx, &identityv1.ListGroupMembersRequest{Organization: org, Group: grp, AtLeast: token})
		return err
	}
	for name, tc := range map[string]struct {
		token string
		want  commonv1.Reason
	}{
		"the head":            {token(t, org, 2), 0},
		"before":              {token(t, org, 1), 0},
		"after":               {token(t, org, 3), commonv1.Reason_REVISION_UNKNOWN},
		"of no log":           {token(t, id.New(id.Organization), 1), commonv1.Reason_REVISION_UNKNOWN},
		"of no platform":      {token(t, id.Platform, 9), commonv1.Reason_REVISION_UNKNOWN},
		"not a token":         {"x", commonv1.Reason_REVISION_MALFORMED},
		"of another, issued":  {token(t, other, 1), 0},
		"of another, not yet": {token(t, other, 2), commonv1.Reason_REVISION_UNKNOWN},
	} {
		t.Run(name, func(t *testing.T) {
			if err := read(p.ctx, tc.token); tc.want == 0 && err != nil || tc.want != 0 && !fault.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
	// Whoever reaches one organization learns nothing of another's log.
	for who, ctx := range map[string]context.Context{"a token": adminOf(t, org), "a user": onBehalf(t, id.New(id.User))} {
		for sequence := range uint64(2) {
			if err := read(ctx, token(t, other, sequence+1)); err != nil {
				t.Errorf("%s, of another's log at %d: %v", who, sequence+1, err)
			}
		}
	}
}
