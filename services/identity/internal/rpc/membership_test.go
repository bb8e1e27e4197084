package rpc_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

func TestMembershipLife(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org, ada := f.organization(t, ctx, "acme"), f.user(t, ctx, "ada@example.com", "Ada")
	request := &identityv1.AddMemberRequest{
		Organization: org, User: ada, Role: administrator, Source: identityv1.MembershipSource_MEMBERSHIP_SOURCE_MIGRATION,
		SourceRef: "legacy", IdempotencyKey: "1",
	}
	added, err := f.memberships.AddMember(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	want := &identityv1.Membership{
		Organization: org, User: ada, Role: administrator, State: identityv1.MembershipState_MEMBERSHIP_STATE_ACTIVE,
		Source: identityv1.MembershipSource_MEMBERSHIP_SOURCE_MIGRATION, SourceRef: "legacy",
		CreatedAt: added.GetMembership().GetCreatedAt(), Email: "ada@example.com", Name: "Ada",
	}
	if !proto.Equal(added.GetMembership(), want) {
		t.Errorf("added %v, want %v", added.GetMembership(), want)
	}
	if again, err := f.memberships.AddMember(ctx, request); err != nil || !proto.Equal(again, added) {
		t.Errorf("repeated with the same key: %v, %v", again, err)
	}
	if got := f.get(t, adminOf(t, org), org, ada); !proto.Equal(got, want) {
		t.Errorf("GetMember = %v, want %v", got, want)
	}
	_, err = f.memberships.AddMember(ctx, &identityv1.AddMemberRequest{Organization: org, User: ada, IdempotencyKey: key()})
	if !fault.Is(err, commonv1.Reason_ALREADY_EXISTS) {
		t.Errorf("added twice: %v", err)
	}
	bob := f.user(t, ctx, "bob@example.com", "Bob")
	f.member(t, ctx, org, bob, administrator)
	removed, err := f.memberships.RemoveMember(adminOf(t, org), &identityv1.RemoveMemberRequest{Organization: org, User: ada, IdempotencyKey: key()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.memberships.GetMember(ctx, &identityv1.GetMemberRequest{Organization: org, User: ada, AtLeast: removed.GetRevision()})
	if !fault.Is(err, commonv1.Reason_NOT_FOUND) {
		t.Errorf("after the removal: %v", err)
	}
	f.member(t, ctx, org, ada, plain)
	for _, log := range []string{org, ada, bob} {
		f.verify(t, log)
	}
}

// What is in another organization looks as what is nowhere.
func TestForeignMembersLookAbsent(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org, other := f.organization(t, ctx, "acme"), f.organization(t, ctx, "globex")
	ada := f.user(t, ctx, "ada@example.com", "Ada")
	f.member(t, ctx, other, ada, plain)
	calls := map[string]func(user string) error{
		"get": func(user string) error {
			_, err := f.memberships.GetMember(ctx, &identityv1.GetMemberRequest{Organization: org, User: user})
			return err
		},
		"update": func(user string) error {
			_, err := f.memberships.UpdateMember(ctx, &identityv1.UpdateMemberRequest{Organization: org, User: user, Role: plain, IdempotencyKey: key()})
			return err
		},
		"suspend": func(user string) error {
			_, err := f.memberships.SuspendMember(ctx, &identityv1.SuspendMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
			return err
		},
		"resume": func(user string) error {
			_, err := f.memberships.ResumeMember(ctx, &identityv1.ResumeMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
			return err
		},
		"remove": func(user string) error {
			_, err := f.memberships.RemoveMember(ctx, &identityv1.RemoveMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
			return err
		},
	}
	for name, call := range calls {
		foreign, absent := call(ada), call(id.New(id.User))
		if !fault.Is(foreign, commonv1.Reason_NOT_FOUND) || foreign.Error() != absent.Error() {
			t.Errorf("%s: foreign %v, absent %v", name, foreign, absent)
		}
	}
	f.verify(t, org)
}

func TestAddMemberRefuses(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org, ada := f.organization(t, ctx, "acme"), f.user(t, ctx, "ada@example.com", "Ada")
	for name, tc := range map[string]struct {
		ctx       context.Context
		org, user string
		want      commonv1.Reason
	}{
		"anonymous":            {t.Context(), org, ada, commonv1.Reason_TOKEN_MISSING},
		"no such organization": {ctx, id.New(id.Organization), ada, commonv1.Reason_NOT_FOUND},
		"no such user":         {ctx, org, id.New(id.User), commonv1.Reason_NOT_FOUND},
		"neither":              {ctx, id.New(id.Organization), id.New(id.User), commonv1.Reason_NOT_FOUND},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := f.memberships.AddMember(tc.ctx, &identityv1.AddMemberRequest{Organization: tc.org, User: tc.user, IdempotencyKey: key()})
			if !fault.Is(err, tc.want) {
				t.Errorf("AddMember = %v, %v; want %v", answer, err, tc.want)
			}
		})
	}
	f.verify(t, org)
	f.verify(t, ada)
}

func TestLastAdministrator(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	ada, bob := f.user(t, ctx, "ada@example.com", "Ada"), f.user(t, ctx, "bob@example.com", "Bob")
	f.member(t, ctx, org, ada, administrator)
	f.member(t, ctx, org, bob, plain)
	own := adminOf(t, org)
	demote := func(user string) error {
		_, err := f.memberships.UpdateMember(own, &identityv1.UpdateMemberRequest{Organization: org, User: user, Role: plain, IdempotencyKey: key()})
		return err
	}
	suspend := func(user string) error {
		_, err := f.memberships.SuspendMember(own, &identityv1.SuspendMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
		return err
	}
	remove := func(user string) error {
		_, err := f.memberships.RemoveMember(own, &identityv1.RemoveMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
		return err
	}
	for name, call := range map[string]func(string) error{"demote": demote, "suspend": suspend, "remove": remove} {
		err := call(ada)
		got, _ := fault.As(err)
		if !fault.Is(err, commonv1.Reason_LAST_ADMINISTRATOR) || got.Meta["organization"] != org {
			t.Errorf("%s the last administrator: %v", name, err)
		}
	}
	if _, err := f.memberships.UpdateMember(own, &identityv1.UpdateMemberRequest{Organization: org, User: bob, Role: administrator, IdempotencyKey: key()}); err != nil {
		t.Fatal(err)
	}
	if err := suspend(bob); err != nil {
		t.Fatal(err)
	}
	if err := demote(ada); !fault.Is(err, commonv1.Reason_LAST_ADMINISTRATOR) {
		t.Errorf("a suspended administrator counts: %v", err)
	}
	if _, err := f.memberships.ResumeMember(own, &identityv1.ResumeMemberRequest{Organization: org, User: bob, IdempotencyKey: key()}); err != nil {
		t.Fatal(err)
	}
	if err := remove(ada); err != nil {
		t.Errorf("one of two administrators: %v", err)
	}
	f.verify(t, org)
}

// Two administrators who take away each other's role, at once, leave one.
func TestAdministratorsRace(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	var admins []string
	for i := range 2 {
		admins = append(admins, f.user(t, ctx, fmt.Sprintf("admin%d@example.com", i), "Admin"))
		f.member(t, ctx, org, admins[i], administrator)
	}
	for round := range 10 {
		var (
			wait    sync.WaitGroup
			refused atomic.Int32
		)
		for i, user := range admins {
			wait.Go(func() {
				var err error
				switch (round + i) % 3 {
				case 0:
					_, err = f.memberships.SuspendMember(ctx, &identityv1.SuspendMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
				default:
					_, err = f.memberships.UpdateMember(ctx, &identityv1.UpdateMemberRequest{Organization: org, User: user, Role: plain, IdempotencyKey: key()})
				}
				switch {
				case fault.Is(err, commonv1.Reason_LAST_ADMINISTRATOR):
					refused.Add(1)
				case err != nil:
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if refused.Load() != 1 {
			t.Errorf("round %d: %d of 2 were refused", round, refused.Load())
		}
		for _, user := range admins {
			_, err := f.memberships.UpdateMember(ctx, &identityv1.UpdateMemberRequest{Organization: org, User: user, Role: administrator, IdempotencyKey: key()})
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.memberships.ResumeMember(ctx, &identityv1.ResumeMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	f.verify(t, org)
}

func TestManagedElsewhere(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	org := f.organization(t, ctx, "acme")
	for i, source := range []identityv1.MembershipSource{
		identityv1.MembershipSource_MEMBERSHIP_SOURCE_SCIM, identityv1.MembershipSource_MEMBERSHIP_SOURCE_JIT,
	} {
		user := f.user(t, ctx, fmt.Sprintf("user%d@example.com", i), "User")
		_, err := f.memberships.AddMember(ctx, &identityv1.AddMemberRequest{Organization: org, User: user, Source: source, IdempotencyKey: key()})
		if err != nil {
			t.Fatal(err)
		}
		calls := map[string]func(ctx context.Context) error{
			"1 suspend": func(ctx context.Context) error {
				_, err := f.memberships.SuspendMember(ctx, &identityv1.SuspendMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
				return err
			},
			"2 resume": func(ctx context.Context) error {
				_, err := f.memberships.ResumeMember(ctx, &identityv1.ResumeMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
				return err
			},
			"3 remove": func(ctx context.Context) error {
				_, err := f.memberships.RemoveMember(ctx, &identityv1.RemoveMemberRequest{Organization: org, User: user, IdempotencyKey: key()})
				return err
			},
		}
		if _, err := f.memberships.UpdateMember(adminOf(t, org), &identityv1.UpdateMemberRequest{Organization: org, User: user, Role: administrator, IdempotencyKey: key()}); err != nil {
			t.Errorf("%v: the organization changes a role: %v", source, err)
		}
		bob := f.user(t, ctx, fmt.Sprintf("bob%d@example.com", i), "Bob")
		f.member(t, ctx, org, bob, administrator)
		for _, name := range []string{"1 suspend", "2 resume", "3 remove"} {
			if err := calls[name](adminOf(t, org)); !fault.Is(err, commonv1.Reason_MANAGED_ELSEWHERE) {
				t.Errorf("%v: the organization's %s: %v", source, name, err)
			}
			if err := calls[name](onBehalf(t, bob)); !fault.Is(err, commonv1.Reason_MANAGED_ELSEWHERE) {
				t.Errorf("%v: a user's %s by way of the platform: %v", source, name, err)
			}
			if err := calls[name](ctx); err != nil {
				t.Errorf("%v: the platform's %s: %v", source, name, err)
			}
		}
	}
	f.verify(t, org)
}

func TestSuspendUserEverywhere(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada := f.user(t, ctx, "ada@example.com", "Ada")
	var orgs []string
	for i := range 5 {
		orgs = append(orgs, f.organization(t, ctx, fmt.Sprint("org-", i)))
		f.member(t, ctx, orgs[i], ada, administrator)
	}
	bob := f.user(t, ctx, "bob@example.com", "Bob")
	f.member(t, ctx, orgs[0], bob, administrator)
	_, err := f.memberships.SuspendMember(ctx, &identityv1.SuspendMemberRequest{Organization: orgs[0], User: ada, IdempotencyKey: key()})
	if err != nil {
		t.Fatal(err)
	}
	suspended, err := f.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: ada, IdempotencyKey: key()})
	if err != nil {
		t.Fatal(err)
	}
	if len(suspended.GetOrganizationRevisions()) != 4 || suspended.GetUser().GetState() != identityv1.UserState_USER_STATE_SUSPENDED {
		t.Errorf("suspended: %v", suspended)
	}
	for _, org := range orgs {
		if m := f.get(t, ctx, org, ada); m.GetState() != identityv1.MembershipState_MEMBERSHIP_STATE_SUSPENDED {
			t.Errorf("while the user is suspended: %v", m)
		}
	}
	late := f.organization(t, ctx, "late")
	f.member(t, ctx, late, ada, plain)
	if m := f.get(t, ctx, late, ada); m.GetState() != identityv1.MembershipState_MEMBERSHIP_STATE_SUSPENDED {
		t.Errorf("a suspended user was added: %v", m)
	}
	_, err = f.memberships.ResumeMember(ctx, &identityv1.ResumeMemberRequest{Organization: orgs[1], User: ada, IdempotencyKey: key()})
	if !fault.Is(err, commonv1.Reason_USER_SUSPENDED) {
		t.Errorf("resumed here while suspended everywhere: %v", err)
	}
	_, err = f.memberships.SuspendMember(ctx, &identityv1.SuspendMemberRequest{Organization: orgs[2], User: ada, IdempotencyKey: key()})
	if err != nil {
		t.Errorf("suspended here too: %v", err)
	}
	again, err := f.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: ada, IdempotencyKey: key()})
	if err != nil || len(again.GetOrganizationRevisions()) != 0 {
		t.Errorf("suspended twice: %v, %v", again, err)
	}
	resumed, err := f.users.ResumeUser(ctx, &identityv1.ResumeUserRequest{User: ada, IdempotencyKey: key()})
	if err != nil || resumed.GetUser().GetState() != identityv1.UserState_USER_STATE_ACTIVE {
		t.Fatalf("ResumeUser = %v, %v", resumed, err)
	}
	for i, org := range append(orgs, late) {
		want := identityv1.MembershipState_MEMBERSHIP_STATE_ACTIVE
		if i == 0 || i == 2 { // the organization's own
			want = identityv1.MembershipState_MEMBERSHIP_STATE_SUSPENDED
		}
		if m := f.get(t, ctx, org, ada); m.GetState() != want {
			t.Errorf("organization %d after the user was resumed: %v, want %v", i, m, want)
		}
		f.verify(t, org)
	}
	f.verify(t, ada)
	f.verify(t, bob)
	for _, err := range []error{
		func() error {
			_, err := f.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: id.New(id.User), IdempotencyKey: key()})
			return err
		}(),
		func() error {
			_, err := f.users.ResumeUser(ctx, &identityv1.ResumeUserRequest{User: id.New(id.User), IdempotencyKey: key()})
			return err
		}(),
	} {
		if !fault.Is(err, commonv1.Reason_NOT_FOUND) {
			t.Errorf("absent user: %v", err)
		}
	}
}

// A user is suspended and resumed while organizations add, suspend and remove the
// user: at the end no membership is out of step.
func TestSuspensionsRaceWithMemberships(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	ada := f.user(t, ctx, "ada@example.com", "Ada")
	var orgs []string
	for i := range 4 {
		orgs = append(orgs, f.organization(t, ctx, fmt.Sprint("org-", i)))
	}
	allowed := func(err error) {
		if err != nil && !fault.Is(err, commonv1.Reason_NOT_FOUND) && !fault.Is(err, commonv1.Reason_USER_SUSPENDED) {
			t.Error(err)
		}
	}
	var wait sync.WaitGroup
	for _, org := range orgs {
		wait.Go(func() {
			for range 5 {
				_, err := f.memberships.AddMember(ctx, &identityv1.AddMemberRequest{Organization: org, User: ada, IdempotencyKey: key()})
				allowed(err)
				_, err = f.memberships.ResumeMember(ctx, &identityv1.ResumeMemberRequest{Organization: org, User: ada, IdempotencyKey: key()})
				allowed(err)
				_, err = f.memberships.RemoveMember(ctx, &identityv1.RemoveMemberRequest{Organization: org, User: ada, IdempotencyKey: key()})
				allowed(err)
			}
			f.member(t, ctx, org, ada, plain)
		})
	}
	wait.Go(func() {
		for range 5 {
			_, err := f.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: ada, IdempotencyKey: key()})
			allowed(err)
			_, err = f.users.ResumeUser(ctx, &identityv1.ResumeUserRequest{User: ada, IdempotencyKey: key()})
			allowed(err)
		}
		_, err := f.users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: ada, IdempotencyKey: key()})
		allowed(err)
	})
	wait.Wait()
	for _, org := range orgs {
		if m := f.get(t, ctx, org, ada); m.GetState() != identityv1.MembershipState_MEMBERSHIP_STATE_SUSPENDED {
			t.Errorf("the user is suspended, the membership %v", m)
		}
		f.verify(t, org)
	}
	f.verify(t, ada)
}
