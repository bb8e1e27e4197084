package rpc_test

import (
	"context"
	"testing"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

// A user who may manage members, and does not administer, makes nobody an
// administrator and touches none.
func TestOnlyAdministratorsManageAdministrators(t *testing.T) {
	d, ctx := newDoor(t), admin(t)
	invitations := &rpc.Invitations{DB: d.db, Log: d.log, Clock: d.users.Clock, Users: d.users, Memberships: d.memberships, Post: d.auth.Post}
	org := d.organization(t, ctx, "acme")
	person := func(name string, role identityv1.MembershipRole) string {
		user := d.user(t, ctx, name+"@example.com", name)
		d.member(t, ctx, org, user, role)
		return user
	}
	olivia, oscar := person("olivia", administrator), person("oscar", administrator)
	gone, hr, mia := person("gone", administrator), person("hr", plain), person("mia", plain)
	update := func(user string, role identityv1.MembershipRole) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := d.memberships.UpdateMember(ctx, &identityv1.UpdateMemberRequest{Organization: org, User: user, Role: role, IdempotencyKey: key()})
			return err
		}
	}
	suspend := func(user string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := d.memberships.SuspendMember(ctx, &identityv1.SuspendMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
			return err
		}
	}
	resume := func(user string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := d.memberships.ResumeMember(ctx, &identityv1.ResumeMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
			return err
		}
	}
	remove := func(user string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := d.memberships.RemoveMember(ctx, &identityv1.RemoveMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
			return err
		}
	}
	invite := func(role identityv1.MembershipRole, email string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := invitations.CreateInvitation(ctx, &identityv1.CreateInvitationRequest{Organization: org, Email: email, Role: role, IdempotencyKey: key()})
			return err
		}
	}
	groups := &rpc.Groups{DB: d.db, Log: d.log, Clock: d.users.Clock}
	made, err := groups.CreateGroup(ctx, &identityv1.CreateGroupRequest{Organization: org, Name: "ops", IdempotencyKey: key()})
	must(t, err)
	group := func(add, remove []string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := groups.ChangeGroupMembers(ctx, &identityv1.ChangeGroupMembersRequest{
				Organization: org, Group: made.GetGroup().GetId(), Add: add, Remove: remove, IdempotencyKey: key(),
			})
			return err
		}
	}
	must(t, group([]string{mia}, nil)(ctx))
	must(t, suspend(gone)(ctx))
	const denied = commonv1.Reason_ACCESS_DENIED
	for _, c := range []struct {
		name string
		who  string
		call func(context.Context) error
		want commonv1.Reason
	}{
		{"makes himself one", hr, update(hr, administrator), denied},
		{"demotes one", hr, update(olivia, plain), denied},
		{"suspends one", hr, suspend(olivia), denied},
		{"resumes one", hr, resume(gone), denied},
		{"removes one", hr, remove(olivia), denied},
		{"invites one", hr, invite(administrator, "evil@example.com"), denied},
		{"invites somebody", hr, invite(plain, "nora@example.com"), 0},
		{"suspends somebody", hr, suspend(mia), 0},
		{"adds himself to a group", hr, group([]string{hr}, nil), denied},
		{"adds himself and removes", hr, group([]string{hr}, []string{mia}), denied},
		{"removes from a group", hr, group(nil, []string{mia}), 0},
		{"an administrator adds to a group", olivia, group([]string{mia}, nil), 0},
		{"an administrator who is suspended", gone, resume(gone), denied},
		{"an administrator makes one", olivia, update(hr, administrator), 0},
		{"an administrator demotes one", olivia, update(oscar, plain), 0},
		{"an administrator invites one", olivia, invite(administrator, "zoe@example.com"), 0},
	} {
		if c.want != 0 {
			for _, subject := range []string{c.who, id.New(id.ServiceAccount)} {
				if err := c.call(bearing(t, org, subject)); !fault.Is(err, c.want) {
					t.Errorf("%s, with an access token of %s: %v, want %v", c.name, subject, err, c.want)
				}
			}
		}
		err := c.call(onBehalf(t, c.who))
		if c.want == 0 && err != nil || c.want != 0 && !fault.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	d.verify(t, org)
}
