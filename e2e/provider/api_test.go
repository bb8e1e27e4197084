package provider_test

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// reason is that of an error of Meridian.
func reason(err error) commonv1.Reason {
	if failed, ok := meridian.AsError(err); ok {
		return failed.Reason
	}
	return commonv1.Reason_REASON_UNSPECIFIED
}

// TestAPI: people and service accounts call the API with access tokens, and reach what
// the organization's model, or their membership, says that they may.
func TestAPI(t *testing.T) {
	w := start(t)
	made, err := w.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: "acme", Name: "Acme", IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	org := made.GetOrganization().GetId()
	other, err := w.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{Slug: "other", Name: "Other", IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	join := func(email string, role identityv1.MembershipRole) string {
		user := w.user(t, email)
		_, err := w.Memberships.AddMember(t.Context(), &identityv1.AddMemberRequest{Organization: org, User: user, Role: role, IdempotencyKey: rand.Text()})
		if err != nil {
			t.Fatal(err)
		}
		return user
	}
	admin := join("admin@example.com", identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN)
	join("member@example.com", identityv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER)

	s := w.settings(basic)
	s.Scopes, s.OrganizationRequired = append(s.Scopes, "meridian", "meridian.identity.v1.GroupService/ListGroups"), true
	id, secret := w.client(t, s)
	a := application{id, secret}
	call := func(email, scope string) (*meridian.Client, string) {
		r := w.redeem(t, a, w.code(t, w.visitor(t), w.request(a, "scope", scope), email))
		if r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", email, r.status, r.text)
		}
		return meridian.New(w.url, r.str("access_token")), r.str("access_token")
	}
	create := func(c *meridian.Client, organization string) error {
		_, err := c.Groups.CreateGroup(t.Context(), &identityv1.CreateGroupRequest{Organization: organization, Name: "Group " + rand.Text(), IdempotencyKey: rand.Text()})
		return err
	}
	list := func(c *meridian.Client) error {
		_, err := c.Groups.ListGroups(t.Context(), &identityv1.ListGroupsRequest{Organization: org})
		return err
	}
	boss, token := call("admin@example.com", "openid meridian")
	worker, _ := call("member@example.com", "openid meridian")
	reader, _ := call("admin@example.com", "openid meridian.identity.v1.GroupService/ListGroups")
	stranger, _ := call("admin@example.com", "openid")
	for name, tc := range map[string]struct {
		err  error
		want commonv1.Reason
	}{
		"an administrator manages":      {create(boss, org), 0},
		"a member looks":                {list(worker), 0},
		"a member does not manage":      {create(worker, org), commonv1.Reason_ACCESS_DENIED},
		"a token for one procedure":     {list(reader), 0},
		"and for no other":              {create(reader, org), commonv1.Reason_ACCESS_DENIED},
		"a token for signing in only":   {list(stranger), commonv1.Reason_ACCESS_DENIED},
		"another organization":          {create(boss, other.GetOrganization().GetId()), commonv1.Reason_NOT_FOUND},
		"what is the platform's":        {create(boss, ""), commonv1.Reason_ACCESS_DENIED},
		"a token with a letter too few": {list(meridian.New(w.url, token[:len(token)-1])), commonv1.Reason_TOKEN_REJECTED},
		"an administrator of the platform": {func() error {
			_, err := boss.Users.GetUser(t.Context(), &identityv1.GetUserRequest{User: admin})
			return err
		}(), commonv1.Reason_ACCESS_DENIED},
	} {
		if got := reason(tc.err); got != tc.want || (tc.err == nil) != (tc.want == 0) {
			t.Errorf("%s: %v, want %v", name, tc.err, tc.want)
		}
	}

	t.Run("O15 proofs", func(t *testing.T) { w.testProvedCalls(t, org) })

	// Whoever is no administrator any more manages nothing, with the same token; whoever is
	// suspended is out, in under a second.
	suspended := time.Now()
	if _, err := w.Users.SuspendUser(t.Context(), &identityv1.SuspendUserRequest{User: admin, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the token is refused", func() error {
		if err := list(boss); reason(err) != commonv1.Reason_TOKEN_REJECTED {
			return errNotYet
		}
		return nil
	})
	t.Logf("refused %v after the call that suspended", time.Since(suspended).Round(time.Millisecond))
	w.testServiceAccount(t, org)
}

// model lets one service account manage groups.
const model = `model
  schema 1.1
type user
type service_account
type organization
  relations
    define deployer: [service_account]
    define can_manage_groups: deployer
    define can_view_members: deployer
`

// testServiceAccount: a machine calls with a token of client_credentials, as far as the
// model lets its service account.
func (w *world) testServiceAccount(t *testing.T, org string) {
	account, err := w.ServiceAccounts.CreateServiceAccount(t.Context(), &identityv1.CreateServiceAccountRequest{Organization: org, Name: "deployer", IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	svc := account.GetServiceAccount().GetId()
	made, err := w.Clients.CreateClient(t.Context(), &sessionsv1.CreateClientRequest{Organization: org, IdempotencyKey: rand.Text(), Settings: &sessionsv1.ClientSettings{
		Name: "Deployer", Authentication: basic, GrantTypes: []sessionsv1.GrantType{sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS},
		ServiceAccount: svc, Scopes: []string{"meridian"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := application{made.GetClient().GetId(), made.GetSecret()}
	token := func() *meridian.Client {
		r := w.post(t, a, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
		if r.status != http.StatusOK {
			t.Fatalf("token: %d %s", r.status, r.text)
		}
		return meridian.New(w.url, r.str("access_token"))
	}
	machine := token()
	create := func() error {
		_, err := machine.Groups.CreateGroup(t.Context(), &identityv1.CreateGroupRequest{Organization: org, Name: "Group " + rand.Text(), IdempotencyKey: rand.Text()})
		return err
	}
	if err := create(); reason(err) != commonv1.Reason_ACCESS_DENIED {
		t.Errorf("without a model: %v", err)
	}
	published, err := w.Models.PublishModel(t.Context(), &authzv1.PublishModelRequest{Name: "console", Files: []*authzv1.ModelFile{{Path: "m.fga", Content: model}}, IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Models.AssignModel(t.Context(), &authzv1.AssignModelRequest{Organization: org, Choice: &authzv1.AssignModelRequest_Model{Model: published.GetModel().GetId()}, IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	if err := create(); reason(err) != commonv1.Reason_ACCESS_DENIED {
		t.Errorf("without a relationship: %v", err)
	}
	if _, err := w.Write(t.Context(), org, meridian.Touch("organization:"+org, "deployer", "service_account:"+svc)); err != nil {
		t.Fatal(err)
	}
	if err := create(); err != nil {
		t.Errorf("with a relationship: %v", err)
	}
	_, err = w.ServiceAccounts.UpdateServiceAccount(t.Context(), &identityv1.UpdateServiceAccountRequest{Organization: org, ServiceAccount: svc, Disabled: new(true), IdempotencyKey: rand.Text()})
	if err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the token is refused", func() error {
		if err := create(); reason(err) != commonv1.Reason_TOKEN_REJECTED {
			return errNotYet
		}
		return nil
	})
	w.post(t, a, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}).refused(t, http.StatusBadRequest, "invalid_grant")
}
