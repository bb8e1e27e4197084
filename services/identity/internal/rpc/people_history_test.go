package rpc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

// A random history of users and memberships, erasures in the middle, of which a
// test knows by itself what is refused. At the end every log verifies, and nothing
// is left of the erased.
func TestRandomHistoryOfPeople(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := newLives(t, newFixture(t), seed, 4)
			h.run(2_000)
			if h.erased < 5 || h.refused < 100 || h.done < 500 {
				t.Errorf("%d users were erased, %d commands refused and %d done: too few to tell anything", h.erased, h.refused, h.done)
			}
			t.Logf("%d users of whom %d were erased, %d commands done, %d refused", len(h.people), h.erased, h.done, h.refused)
		})
	}
}

// life is a user as a test remembers one.
type life struct {
	id, email string
	// names are all that the user ever had.
	names     []string
	suspended bool
	erased    bool
}

// part is a membership as a test remembers one.
type part struct {
	admin, suspended, everywhere bool
}

func (p *part) administers() bool { return p != nil && p.admin && !p.suspended }

// lives is a random history.
type lives struct {
	*fixture

	t      *testing.T
	ctx    context.Context
	random *rand.Rand
	groups *rpc.Groups
	people []*life
	// taken are the addresses that somebody has, gone the names of the erased.
	taken map[string]bool
	gone  []string
	// orgs are organizations, with their members and a group.
	orgs    []string
	members map[string]map[*life]*part
	group   map[string]string
	next    int

	done, refused, erased int
}

func newLives(t *testing.T, f *fixture, seed uint64, organizations int) *lives {
	t.Helper()
	h := &lives{
		fixture: f, t: t, ctx: admin(t), random: rand.New(rand.NewPCG(seed, 7)),
		groups: &rpc.Groups{DB: f.db, Log: f.log, Clock: f.users.Clock},
		taken:  map[string]bool{}, members: map[string]map[*life]*part{}, group: map[string]string{},
	}
	for i := range organizations {
		org := f.organization(t, h.ctx, fmt.Sprint("org-", i))
		made, err := h.groups.CreateGroup(h.ctx, &identityv1.CreateGroupRequest{Organization: org, Name: "all", IdempotencyKey: key()})
		if err != nil {
			t.Fatal(err)
		}
		h.orgs = append(h.orgs, org)
		h.members[org], h.group[org] = map[*life]*part{}, made.GetGroup().GetId()
	}
	return h
}

// run runs commands, and verifies every log now and then and at the end.
func (h *lives) run(commands int) {
	h.t.Helper()
	for n := range commands {
		h.step()
		if h.t.Failed() {
			h.t.Fatalf("after command %d", n)
		}
		if n == commands/2 || n == commands-1 {
			h.check()
		}
	}
}

func (h *lives) check() {
	h.t.Helper()
	for _, org := range h.orgs {
		h.verify(h.t, org)
	}
	for _, p := range h.people {
		h.verify(h.t, p.id)
	}
	h.nowhere(h.t, h.gone...)
}

// want compares an error with what the test expects: no error for reason 0.
func (h *lives) want(what string, err error, reason commonv1.Reason) bool {
	h.t.Helper()
	switch {
	case reason == 0 && err == nil:
		h.done++
	case reason == 0 || !fault.Is(err, reason):
		h.t.Errorf("%s: %v, want %v", what, err, reason)
	default:
		h.refused++
	}
	return reason == 0
}

func (h *lives) step() {
	h.t.Helper()
	if len(h.people) < 5 {
		h.create()
		return
	}
	p, org := h.people[h.random.IntN(len(h.people))], h.orgs[h.random.IntN(len(h.orgs))]
	switch n := h.random.IntN(100); {
	case n < 8:
		h.create()
	case n < 16:
		h.rename(p)
	case n < 24:
		h.changeEmail(p)
	case n < 29:
		h.standing(p, true)
	case n < 36:
		h.standing(p, false)
	case n < 38:
		h.eraseOne(p)
	case n < 55:
		h.add(org, p)
	case n < 68:
		h.role(org, p)
	case n < 76:
		h.suspendMember(org, p)
	case n < 84:
		h.resumeMember(org, p)
	case n < 92:
		h.remove(org, p)
	default:
		h.join(org, p)
	}
}

// canary is a text that nobody else has.
func (h *lives) canary() string {
	h.next++
	return fmt.Sprintf("canary%dx", h.next)
}

// present is what a command on a user is answered with.
func (p *life) present() commonv1.Reason {
	if p.erased {
		return commonv1.Reason_USER_ERASED
	}
	return 0
}

func (h *lives) create() {
	email := h.canary() + "@example.com"
	reason := commonv1.Reason(0)
	if h.random.IntN(4) == 0 && len(h.people) > 0 {
		email = h.people[h.random.IntN(len(h.people))].email
		if h.taken[email] {
			reason = commonv1.Reason_ALREADY_EXISTS
		}
	}
	name := h.canary()
	made, err := h.users.CreateUser(h.ctx, &identityv1.CreateUserRequest{Email: email, Name: name + " Lee", IdempotencyKey: key()})
	if h.want("create", err, reason) {
		h.taken[email] = true
		h.people = append(h.people, &life{id: made.GetUser().GetId(), email: email, names: []string{name}})
	}
}

func (h *lives) rename(p *life) {
	name := h.canary()
	full := name + " Lee"
	_, err := h.users.UpdateUser(h.ctx, &identityv1.UpdateUserRequest{User: p.id, Name: &full, IdempotencyKey: key()})
	if h.want("rename", err, p.present()) {
		p.names = append(p.names, name)
	}
}

func (h *lives) changeEmail(p *life) {
	email := h.canary() + "@example.com"
	if h.random.IntN(3) == 0 {
		email = h.people[h.random.IntN(len(h.people))].email
	}
	reason := p.present()
	if reason == 0 && h.taken[email] && email != p.email {
		reason = commonv1.Reason_ALREADY_EXISTS
	}
	_, err := h.users.ChangeEmail(h.ctx, &identityv1.ChangeEmailRequest{User: p.id, Email: email, IdempotencyKey: key()})
	if h.want("change email", err, reason) {
		delete(h.taken, p.email)
		h.taken[email], p.email = true, email
	}
}

func (h *lives) standing(p *life, suspend bool) {
	var err error
	if suspend {
		_, err = h.users.SuspendUser(h.ctx, &identityv1.SuspendUserRequest{User: p.id, IdempotencyKey: key()})
	} else {
		_, err = h.users.ResumeUser(h.ctx, &identityv1.ResumeUserRequest{User: p.id, IdempotencyKey: key()})
	}
	if !h.want("suspend or resume", err, p.present()) {
		return
	}
	p.suspended = suspend
	for _, org := range h.orgs {
		switch m := h.members[org][p]; {
		case m == nil:
		case suspend && !m.suspended:
			m.suspended, m.everywhere = true, true
		case !suspend && m.everywhere:
			m.suspended, m.everywhere = false, false
		}
	}
}

func (h *lives) eraseOne(p *life) {
	force, reason := h.random.IntN(2) == 0, commonv1.Reason(0)
	for _, org := range h.orgs {
		if h.last(org, p) && !force && !p.erased {
			reason = commonv1.Reason_LAST_ADMINISTRATOR
		}
	}
	_, err := h.erase(h.ctx, p.id, force)
	if !h.want("erase", err, reason) || p.erased {
		return
	}
	got, err := h.users.GetUser(h.ctx, &identityv1.GetUserRequest{User: p.id})
	if err != nil || got.GetUser().GetEmail() != "" {
		h.t.Errorf("erased: %v, %v", got, err)
	}
	p.erased = true
	delete(h.taken, p.email)
	for _, org := range h.orgs {
		delete(h.members[org], p)
	}
	h.erased++
	h.gone = append(h.gone, p.names...)
}

// last says whether a user is the last active administrator of an organization.
func (h *lives) last(org string, p *life) bool {
	if !h.members[org][p].administers() {
		return false
	}
	for other, m := range h.members[org] {
		if other != p && m.administers() {
			return false
		}
	}
	return true
}

func (h *lives) add(org string, p *life) {
	reason := p.present()
	if reason == 0 && h.members[org][p] != nil {
		reason = commonv1.Reason_ALREADY_EXISTS
	}
	asAdmin := h.random.IntN(2) == 0
	role := plain
	if asAdmin {
		role = administrator
	}
	_, err := h.memberships.AddMember(h.ctx, &identityv1.AddMemberRequest{Organization: org, User: p.id, Role: role, IdempotencyKey: key()})
	if h.want("add", err, reason) {
		h.members[org][p] = &part{admin: asAdmin, suspended: p.suspended, everywhere: p.suspended}
	}
}

// of is what a command on a membership is answered with, if it would take away an
// administrator or not.
func (h *lives) of(org string, p *life, takes bool) commonv1.Reason {
	switch {
	case h.members[org][p] == nil:
		return commonv1.Reason_NOT_FOUND
	case takes && h.last(org, p):
		return commonv1.Reason_LAST_ADMINISTRATOR
	}
	return 0
}

func (h *lives) role(org string, p *life) {
	promote := h.random.IntN(2) == 0
	role := plain
	if promote {
		role = administrator
	}
	_, err := h.memberships.UpdateMember(h.ctx, &identityv1.UpdateMemberRequest{Organization: org, User: p.id, Role: role, IdempotencyKey: key()})
	if h.want("role", err, h.of(org, p, !promote)) {
		h.members[org][p].admin = promote
	}
}

func (h *lives) suspendMember(org string, p *life) {
	_, err := h.memberships.SuspendMember(h.ctx, &identityv1.SuspendMemberRequest{Organization: org, User: p.id, IdempotencyKey: key()})
	if h.want("suspend member", err, h.of(org, p, true)) {
		m := h.members[org][p]
		m.suspended, m.everywhere = true, false
	}
}

func (h *lives) resumeMember(org string, p *life) {
	reason := h.of(org, p, false)
	if reason == 0 && h.members[org][p].suspended && p.suspended {
		reason = commonv1.Reason_USER_SUSPENDED
	}
	_, err := h.memberships.ResumeMember(h.ctx, &identityv1.ResumeMemberRequest{Organization: org, User: p.id, IdempotencyKey: key()})
	if h.want("resume member", err, reason) {
		m := h.members[org][p]
		m.suspended, m.everywhere = false, false
	}
}

func (h *lives) remove(org string, p *life) {
	_, err := h.memberships.RemoveMember(h.ctx, &identityv1.RemoveMemberRequest{Organization: org, User: p.id, IdempotencyKey: key()})
	if h.want("remove", err, h.of(org, p, true)) {
		delete(h.members[org], p)
	}
}

// join puts a member into the organization's group.
func (h *lives) join(org string, p *life) {
	_, err := h.groups.ChangeGroupMembers(h.ctx, &identityv1.ChangeGroupMembersRequest{
		Organization: org, Group: h.group[org], Add: []string{p.id}, IdempotencyKey: key(),
	})
	h.want("join", err, h.of(org, p, false))
}
