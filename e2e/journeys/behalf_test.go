package journeys_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

// console is a product's backend, which manages an organization for its users.
type console struct {
	t            *testing.T
	client       *meridian.Client
	organization string
	keys         int
}

func (c *console) key() string { c.keys++; return fmt.Sprint("behalf-", c.keys) }

// person makes a member.
func (c *console) person(name string, role identityv1.MembershipRole) string {
	c.t.Helper()
	made, err := c.client.Users.CreateUser(c.t.Context(), &identityv1.CreateUserRequest{Email: name + "@example.com", Name: name, IdempotencyKey: c.key()})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.client.Memberships.AddMember(c.t.Context(), &identityv1.AddMemberRequest{
		Organization: c.organization, User: made.GetUser().GetId(), Role: role, IdempotencyKey: c.key(),
	}); err != nil {
		c.t.Fatal(err)
	}
	return made.GetUser().GetId()
}

func (c *console) as(user string) context.Context { return meridian.OnBehalfOf(c.t.Context(), user) }

func (c *console) group(user string) error {
	_, err := c.client.Groups.CreateGroup(c.as(user), &identityv1.CreateGroupRequest{Organization: c.organization, Name: "by " + c.key(), IdempotencyKey: c.key()})
	return err
}

// role makes a role with a relation on the organization.
func (c *console) role(user, relation string) error {
	_, err := c.client.Roles.CreateRole(c.as(user), &authzv1.CreateRoleRequest{
		Organization: c.organization, Role: "by-" + user[4:] + "-" + relation, Name: relation, IdempotencyKey: c.key(),
		Permissions: []*authzv1.RolePermission{{Resource: "organization:" + c.organization, Relation: relation}},
	})
	return err
}

func (c *console) look(user string) error {
	_, err := c.client.Groups.ListGroups(c.as(user), &identityv1.ListGroupsRequest{Organization: c.organization})
	return err
}

func (c *console) want(what string, err error, reason commonv1.Reason) {
	c.t.Helper()
	if reason == 0 && err != nil || reason != 0 && !meridian.Is(err, reason) {
		c.t.Errorf("%s: %v, want %v", what, err, reason)
	}
}

// Who may manage an organization is a check on it: by its model where that knows the
// permission, else by membership. A product's call on behalf of a user reaches no
// further than the user does.
func TestOnBehalfOfUsers(t *testing.T) {
	dev := harness.StartDev(t, t.TempDir())
	c := &console{t: t, client: dev.Client()}
	made, err := c.client.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: "delegated", Name: "Delegated", IdempotencyKey: c.key()})
	if err != nil {
		t.Fatal(err)
	}
	c.organization = made.GetOrganization().GetId()
	admin := c.person("olivia", identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN)
	member := c.person("mia", identityv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER)
	const denied = commonv1.Reason_ACCESS_DENIED

	t.Run("without a model", func(*testing.T) {
		c.want("an administrator", c.group(admin), 0)
		c.want("a member", c.group(member), denied)
		c.want("a member looks", c.look(member), 0)
		c.want("a stranger looks", c.look("usr_00000000000000000000000000"), denied)
	})
	t.Run("with a model", func(*testing.T) {
		c.assign(`model
  schema 1.1
type user
type role
  relations
    define assignee: [user]
type organization
  relations
    define member: [user]
    define admin: [user]
    define people_ops: [user, role#assignee]
    define auditor: [user, role#assignee]
    define can_manage_groups: people_ops
    define can_manage_roles: people_ops or admin
    define can_view_members: member
`)
		c.want("an administrator of whom the model says nothing", c.group(admin), denied)
		c.want("a member", c.group(member), denied)
		c.grant("people_ops", member)
		c.want("a member with the permission", c.group(member), 0)
		c.want("what the model does not know is the administrator's", c.rename(admin), 0)
		c.want("and nobody else's", c.rename(member), denied)
	})
	t.Run("roles", func(*testing.T) {
		c.want("what the user has", c.role(member, "people_ops"), 0)
		c.want("what the user has not", c.role(member, "auditor"), denied)
		c.want("an administrator", c.role(admin, "auditor"), 0)
		_, err := c.client.Roles.AssignRole(c.as(member), &authzv1.AssignRoleRequest{Organization: c.organization, Role: "by-" + admin[4:] + "-auditor", Subject: "user:" + member, IdempotencyKey: c.key()})
		c.want("assigning what the user has not", err, denied)
		_, err = c.client.Roles.AssignRole(c.as(admin), &authzv1.AssignRoleRequest{Organization: c.organization, Role: "by-" + admin[4:] + "-auditor", Subject: "user:" + member, IdempotencyKey: c.key()})
		c.want("assigned by an administrator", err, 0)
	})
	t.Run("who acts", func(t *testing.T) { c.acts(t, member) })
	t.Run("suspended", func(*testing.T) {
		if _, err := c.client.Memberships.SuspendMember(t.Context(), &identityv1.SuspendMemberRequest{Organization: c.organization, User: member, IdempotencyKey: c.key()}); err != nil {
			t.Fatal(err)
		}
		c.want("looks", c.look(member), denied)
		c.want("does what the model still gives", c.group(member), denied)
	})
	t.Run("removed", func(*testing.T) {
		if _, err := c.client.Memberships.RemoveMember(t.Context(), &identityv1.RemoveMemberRequest{Organization: c.organization, User: member, IdempotencyKey: c.key()}); err != nil {
			t.Fatal(err)
		}
		c.want("does what the model still gives", c.group(member), denied)
	})
	t.Run("what is for no user", func(*testing.T) {
		_, err := c.client.Organizations.ListOrganizations(c.as(admin), &identityv1.ListOrganizationsRequest{})
		c.want("the platform's", err, denied)
		_, err = c.client.Checks.Check(c.as(admin), &authzv1.CheckRequest{Organization: c.organization, Subject: "user:" + admin, Permission: "admin", Resource: "organization:" + c.organization})
		c.want("a check", err, denied)
		c.want("nobody's id", c.group("olivia"), commonv1.Reason_INVALID_FIELD)
	})
}

func (c *console) assign(model string) {
	c.t.Helper()
	published, err := c.client.Models.PublishModel(c.t.Context(), &authzv1.PublishModelRequest{
		Name: "delegated", Files: []*authzv1.ModelFile{{Path: "m.fga", Content: model}}, IdempotencyKey: c.key(),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err = c.client.Models.AssignModel(c.t.Context(), &authzv1.AssignModelRequest{
		Organization: c.organization, Choice: &authzv1.AssignModelRequest_Model{Model: published.GetModel().GetId()}, IdempotencyKey: c.key(),
	}); err != nil {
		c.t.Fatal(err)
	}
	c.settle()
}

func (c *console) grant(relation, user string) {
	c.t.Helper()
	if _, err := c.client.Write(c.t.Context(), c.organization, meridian.Touch("organization:"+c.organization, relation, "user:"+user)); err != nil {
		c.t.Fatal(err)
	}
	c.settle()
}

// settle waits until checks are as fresh as what was written.
func (c *console) settle() {
	c.t.Helper()
	_, err := c.client.Checks.Check(c.t.Context(), &authzv1.CheckRequest{
		Organization: c.organization, Subject: "user:nobody", Permission: "member", Resource: "organization:" + c.organization,
		Freshness: &commonv1.Freshness{Level: &commonv1.Freshness_FullyConsistent{FullyConsistent: true}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *console) rename(user string) error {
	_, err := c.client.Organizations.UpdateOrganization(c.as(user), &identityv1.UpdateOrganizationRequest{
		Organization: c.organization, Name: new("By " + c.key()), IdempotencyKey: c.key(),
	})
	return err
}

// acts looks into the log for who made a group: the user, by way of the token.
func (c *console) acts(t *testing.T, user string) {
	t.Helper()
	stream, err := c.client.Logs.TailLog(t.Context(), &logv1.TailLogRequest{Log: c.organization})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	found := false
	for stream.Receive() {
		actor := stream.Msg().GetEnvelope().GetActor()
		found = found || actor.GetKind() == logv1.ActorKind_ACTOR_KIND_USER && actor.GetId() == user && actor.GetVia() != ""
	}
	if err := stream.Err(); err != nil || !found {
		t.Errorf("no event by the user: %v", err)
	}
}
