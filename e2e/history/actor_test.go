package history_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// actor is one client that does whatever comes to its mind.
type actor struct {
	*world

	t      *testing.T
	random *rand.Rand
}

// act runs one command, by its weight.
func (a *actor) act() {
	at := a.random.IntN(total)
	for _, c := range repertoire {
		if at -= c.weight; at >= 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(a.t.Context(), 30*time.Second)
		defer cancel()
		err := c.run(a, ctx)
		a.count(c.name, a.judge(c.name, err))
		return
	}
}

// judge names an outcome; what no history may meet fails the test.
func (a *actor) judge(name string, err error) string {
	if err == nil {
		return "ok"
	}
	for _, reason := range refusals {
		if meridian.Is(err, reason) {
			return reason.String()
		}
	}
	a.t.Errorf("%s: %v", name, err)
	return "failed"
}

type command struct {
	name   string
	weight int
	run    func(a *actor, ctx context.Context) error
}

// repertoire is what an actor can do, and how often it does it.
var repertoire = []command{
	{"CreateUser", 12, (*actor).createUser},
	{"UpdateUser", 6, (*actor).updateUser},
	{"ChangeEmail", 4, (*actor).changeEmail},
	{"SuspendUser", 2, (*actor).suspendUser},
	{"ResumeUser", 3, (*actor).resumeUser},
	{"EraseUser", 1, (*actor).eraseUser},
	{"AddMember", 16, (*actor).addMember},
	{"UpdateMember", 6, (*actor).updateMember},
	{"SuspendMember", 3, (*actor).suspendMember},
	{"ResumeMember", 4, (*actor).resumeMember},
	{"RemoveMember", 4, (*actor).removeMember},
	{"CreateGroup", 4, (*actor).createGroup},
	{"UpdateGroup", 2, (*actor).updateGroup},
	{"ChangeGroupMembers", 16, (*actor).changeGroup},
	{"DeleteGroup", 1, (*actor).deleteGroup},
	{"CreateServiceAccount", 3, (*actor).createAccount},
	{"UpdateServiceAccount", 4, (*actor).updateAccount},
	{"DeleteServiceAccount", 1, (*actor).deleteAccount},
	{"CreateInvitation", 4, (*actor).invite},
	{"RevokeInvitation", 1, (*actor).revokeInvitation},
	{"CreateApiToken", 2, (*actor).createToken},
	{"AddDomain", 1, (*actor).addDomain},
	{"UpdateOrganization", 1, (*actor).updateOrganization},
}

var total = func() (sum int) {
	for _, c := range repertoire {
		sum += c.weight
	}
	return sum
}()

func (a *actor) organization() string { return a.organizations[a.random.IntN(len(a.organizations))] }

// some returns one of a list, or an id that nobody has.
func (a *actor) some(list []string, absent string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(list) == 0 {
		return absent
	}
	return list[a.random.IntN(len(list))]
}

func (a *actor) user() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.users) == 0 {
		return "usr_00000000000000000000000000"
	}
	// Some are met often, others seldom.
	n := min(len(a.users), 1+a.random.IntN(len(a.users)))
	return a.users[a.random.IntN(n)]
}

func (a *actor) of(lists map[string][]string, organization, absent string) string {
	a.mu.Lock()
	list := lists[organization]
	a.mu.Unlock()
	return a.some(list, absent)
}

func (a *actor) remember(lists map[string][]string, organization, id string) {
	if id == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	lists[organization] = append(lists[organization], id)
}

func (a *actor) email() string { return fmt.Sprintf("person%d@example.com", a.random.IntN(3000)) }

func (a *actor) createUser(ctx context.Context) error {
	made, err := a.client.Users.CreateUser(ctx, &identityv1.CreateUserRequest{Email: a.email(), Name: "Person of History", IdempotencyKey: a.next()})
	if err == nil {
		a.mu.Lock()
		a.users = append(a.users, made.GetUser().GetId())
		a.mu.Unlock()
	}
	return err
}

func (a *actor) updateUser(ctx context.Context) error {
	_, err := a.client.Users.UpdateUser(ctx, &identityv1.UpdateUserRequest{
		User: a.user(), Name: new(fmt.Sprint("Person ", a.random.IntN(1000))), IdempotencyKey: a.next(),
	})
	return err
}

func (a *actor) changeEmail(ctx context.Context) error {
	_, err := a.client.Users.ChangeEmail(ctx, &identityv1.ChangeEmailRequest{User: a.user(), Email: a.email(), IdempotencyKey: a.next()})
	return err
}

func (a *actor) suspendUser(ctx context.Context) error {
	_, err := a.client.Users.SuspendUser(ctx, &identityv1.SuspendUserRequest{User: a.user(), IdempotencyKey: a.next()})
	return err
}

func (a *actor) resumeUser(ctx context.Context) error {
	_, err := a.client.Users.ResumeUser(ctx, &identityv1.ResumeUserRequest{User: a.user(), IdempotencyKey: a.next()})
	return err
}

func (a *actor) eraseUser(ctx context.Context) error {
	_, err := a.client.Users.EraseUser(ctx, &identityv1.EraseUserRequest{User: a.user(), IdempotencyKey: a.next(), Force: a.random.IntN(2) == 0})
	return err
}

func (a *actor) role() identityv1.MembershipRole {
	if a.random.IntN(4) == 0 {
		return identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN
	}
	return identityv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER
}

func (a *actor) addMember(ctx context.Context) error {
	_, err := a.client.Memberships.AddMember(ctx, &identityv1.AddMemberRequest{
		Organization: a.organization(), User: a.user(), Role: a.role(), IdempotencyKey: a.next(),
	})
	return err
}

func (a *actor) updateMember(ctx context.Context) error {
	_, err := a.client.Memberships.UpdateMember(ctx, &identityv1.UpdateMemberRequest{
		Organization: a.organization(), User: a.user(), Role: a.role(), IdempotencyKey: a.next(),
	})
	return err
}

func (a *actor) suspendMember(ctx context.Context) error {
	_, err := a.client.Memberships.SuspendMember(ctx, &identityv1.SuspendMemberRequest{Organization: a.organization(), User: a.user(), IdempotencyKey: a.next()})
	return err
}

func (a *actor) resumeMember(ctx context.Context) error {
	_, err := a.client.Memberships.ResumeMember(ctx, &identityv1.ResumeMemberRequest{Organization: a.organization(), User: a.user(), IdempotencyKey: a.next()})
	return err
}

func (a *actor) removeMember(ctx context.Context) error {
	_, err := a.client.Memberships.RemoveMember(ctx, &identityv1.RemoveMemberRequest{Organization: a.organization(), User: a.user(), IdempotencyKey: a.next()})
	return err
}

const absentGroup, absentAccount = "grp_00000000000000000000000000", "svc_00000000000000000000000000"

func (a *actor) createGroup(ctx context.Context) error {
	organization := a.organization()
	made, err := a.client.Groups.CreateGroup(ctx, &identityv1.CreateGroupRequest{
		Organization: organization, Name: fmt.Sprint("Group ", a.random.IntN(300)), IdempotencyKey: a.next(),
	})
	a.remember(a.groups, organization, made.GetGroup().GetId())
	return err
}

func (a *actor) updateGroup(ctx context.Context) error {
	organization := a.organization()
	_, err := a.client.Groups.UpdateGroup(ctx, &identityv1.UpdateGroupRequest{
		Organization: organization, Group: a.of(a.groups, organization, absentGroup), Name: new(fmt.Sprint("Group ", a.random.IntN(300))), IdempotencyKey: a.next(),
	})
	return err
}

func (a *actor) changeGroup(ctx context.Context) error {
	organization := a.organization()
	member := a.user()
	switch a.random.IntN(6) {
	case 0:
		member = a.of(a.groups, organization, absentGroup)
	case 1:
		member = a.of(a.accounts, organization, absentAccount)
	}
	request := &identityv1.ChangeGroupMembersRequest{
		Organization: organization, Group: a.of(a.groups, organization, absentGroup), Add: []string{member}, IdempotencyKey: a.next(),
	}
	if a.random.IntN(4) == 0 {
		request.Add, request.Remove = nil, request.GetAdd()
	}
	_, err := a.client.Groups.ChangeGroupMembers(ctx, request)
	return err
}

func (a *actor) deleteGroup(ctx context.Context) error {
	organization := a.organization()
	_, err := a.client.Groups.DeleteGroup(ctx, &identityv1.DeleteGroupRequest{
		Organization: organization, Group: a.of(a.groups, organization, absentGroup), IdempotencyKey: a.next(),
	})
	return err
}

func (a *actor) createAccount(ctx context.Context) error {
	organization := a.organization()
	made, err := a.client.ServiceAccounts.CreateServiceAccount(ctx, &identityv1.CreateServiceAccountRequest{
		Organization: organization, Name: fmt.Sprint("Account ", a.random.IntN(300)), IdempotencyKey: a.next(),
	})
	a.remember(a.accounts, organization, made.GetServiceAccount().GetId())
	return err
}

func (a *actor) updateAccount(ctx context.Context) error {
	organization := a.organization()
	_, err := a.client.ServiceAccounts.UpdateServiceAccount(ctx, &identityv1.UpdateServiceAccountRequest{
		Organization: organization, ServiceAccount: a.of(a.accounts, organization, absentAccount),
		Disabled: new(a.random.IntN(2) == 0), IdempotencyKey: a.next(),
	})
	return err
}

func (a *actor) deleteAccount(ctx context.Context) error {
	organization := a.organization()
	_, err := a.client.ServiceAccounts.DeleteServiceAccount(ctx, &identityv1.DeleteServiceAccountRequest{
		Organization: organization, ServiceAccount: a.of(a.accounts, organization, absentAccount), IdempotencyKey: a.next(),
	})
	return err
}

func (a *actor) invite(ctx context.Context) error {
	organization := a.organization()
	made, err := a.client.Invitations.CreateInvitation(ctx, &identityv1.CreateInvitationRequest{
		Organization: organization, Email: a.email(), WithoutLetter: true, IdempotencyKey: a.next(),
	})
	a.remember(a.invited, organization, made.GetInvitation().GetId())
	return err
}

func (a *actor) revokeInvitation(ctx context.Context) error {
	organization := a.organization()
	_, err := a.client.Invitations.RevokeInvitation(ctx, &identityv1.RevokeInvitationRequest{
		Organization: organization, Invitation: a.of(a.invited, organization, "inv_00000000000000000000000000"), IdempotencyKey: a.next(),
	})
	return err
}

func (a *actor) createToken(ctx context.Context) error {
	_, err := a.client.Tokens.CreateApiToken(ctx, &identityv1.CreateApiTokenRequest{
		Organization: a.organization(), Name: "of history", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: a.next(),
	})
	return err
}

func (a *actor) addDomain(ctx context.Context) error {
	_, err := a.client.Domains.AddDomain(ctx, &identityv1.AddDomainRequest{
		Organization: a.organization(), Name: fmt.Sprintf("history-%d.example.com", a.random.IntN(1000)), IdempotencyKey: a.next(),
	})
	return err
}

func (a *actor) updateOrganization(ctx context.Context) error {
	_, err := a.client.Organizations.UpdateOrganization(ctx, &identityv1.UpdateOrganizationRequest{
		Organization: a.organization(), Name: new(fmt.Sprint("History ", a.random.IntN(100))), IdempotencyKey: a.next(),
	})
	return err
}
