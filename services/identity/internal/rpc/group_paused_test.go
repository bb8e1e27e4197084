package rpc_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// Whoever is suspended or disabled stays in groups, and the events say that the
// groups give nothing until that ends: also when it was put into one meanwhile.
func TestPausedMembersOfGroups(t *testing.T) {
	p := newPeople(t)
	org := p.organization(t, p.ctx, "acme")
	zoe, bot := p.user(t, p.ctx, "zoe@example.com", "Zoe"), p.account(t, org, "bot")
	p.member(t, p.ctx, org, zoe, plain)
	first, second := p.group(t, org, "first"), p.group(t, org, "second")
	p.mustChange(t, org, first, []string{zoe, bot}, nil)
	from := p.head(t, org)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := p.memberships.SuspendMember(p.ctx, &identityv1.SuspendMemberRequest{Organization: org, User: zoe, IdempotencyKey: p.key()})
	do(err)
	disable := func(disabled bool) error {
		_, err := p.accounts.UpdateServiceAccount(p.ctx, &identityv1.UpdateServiceAccountRequest{
			Organization: org, ServiceAccount: bot, Disabled: new(disabled), IdempotencyKey: p.key(),
		})
		return err
	}
	do(disable(true))
	p.mustChange(t, org, second, []string{zoe, bot}, nil)
	_, err = p.memberships.ResumeMember(p.ctx, &identityv1.ResumeMemberRequest{Organization: org, User: zoe, IdempotencyKey: p.key()})
	do(err)
	do(disable(false))
	_, err = p.users.SuspendUser(p.ctx, &identityv1.SuspendUserRequest{User: zoe, IdempotencyKey: p.key()})
	do(err)
	_, err = p.users.ResumeUser(p.ctx, &identityv1.ResumeUserRequest{User: zoe, IdempotencyKey: p.key()})
	do(err)

	both, paused := []string{first, second}, []string{zoe, bot}
	slices.Sort(both)
	role := eventv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER
	want := []proto.Message{
		&eventv1.MembershipSuspended{Organization: org, User: zoe, Groups: []string{first}},
		&eventv1.ServiceAccountDisabled{Organization: org, ServiceAccount: bot, Groups: []string{first}},
		&eventv1.GroupMembersChanged{Group: second, Added: paused, Paused: paused},
		&eventv1.MembershipResumed{Organization: org, User: zoe, Role: role, Groups: both},
		&eventv1.ServiceAccountEnabled{Organization: org, ServiceAccount: bot, Groups: both},
		&eventv1.MembershipSuspended{Organization: org, User: zoe, Everywhere: true, Groups: both},
		&eventv1.MembershipResumed{Organization: org, User: zoe, Role: role, Groups: both},
	}
	recorded, err := p.log.Read(t.Context(), p.db.Pool(), org, from+1, eventlog.MaxRead)
	if err != nil || len(recorded) != len(want) {
		t.Fatalf("%d events, %v; want %d", len(recorded), err, len(want))
	}
	for i, r := range recorded {
		got, err := r.Message()
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := got.(*eventv1.GroupMembersChanged); ok {
			slices.Sort(e.Added)
			slices.Sort(e.Paused)
			slices.Sort(paused)
		}
		if !proto.Equal(got, want[i]) {
			t.Errorf("event %d is %v, want %v", i, got, want[i])
		}
	}
	p.verify(t, org)
}
