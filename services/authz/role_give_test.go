package authz_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/authz"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/role"
)

const giveModel = roleModel + `
type organization
  relations
    define admin: [user]
`

// assignFor assigns a role on behalf of a user.
func (f *fixture) assignFor(ctx context.Context, org, user, role string) error {
	ctx, call := connect.NewClientContext(ctx)
	call.RequestHeader().Set(principal.OnBehalfOfHeader, user)
	_, err := f.roles.AssignRole(ctx, &authzv1.AssignRoleRequest{Organization: org, Role: role, Subject: "user:ada", IdempotencyKey: f.key()})
	return err
}

// What a user has counts as of now: neither what was taken a moment ago, nor without
// what was given.
func TestUsersGiveWhatTheyHaveNow(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, user := f.opened(t), id.New(id.User)
	f.assign(t, org, giveModel)
	f.createRole(t, org, "ops", permission("service:prod", "can_scale"))
	has := relationship("service:prod", "owner", "user:"+user)
	for range 5 {
		f.write(t, org, touch, has)
		if err := f.assignFor(t.Context(), org, user, "ops"); err != nil {
			t.Errorf("who has it: %v", err)
		}
		f.write(t, org, remove, has)
		wantReason(t, f.assignFor(t.Context(), org, user, "ops"), commonv1.Reason_ACCESS_DENIED)
	}
}

// Who calls with an access token gives away what it has, as a user does for whom a
// product calls.
func TestSubjectsGiveWhatTheyHave(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.opened(t)
	f.assign(t, org, strings.Replace(giveModel, "define owner: [user", "define owner: [user, service_account", 1)+"type service_account\n")
	f.createRole(t, org, "ops", permission("service:prod", "can_scale"))
	for _, subject := range []string{"user:" + id.New(id.User), "service_account:" + id.New(id.ServiceAccount)} {
		_, name, _ := strings.Cut(subject, ":")
		assign := func() error {
			ctx, call := connect.NewClientContext(t.Context())
			call.RequestHeader().Set("Authorization", "Bearer "+name+"/"+org)
			_, err := f.roles.AssignRole(ctx, &authzv1.AssignRoleRequest{Organization: org, Role: "ops", Subject: "user:ada", IdempotencyKey: f.key()})
			return err
		}
		wantReason(t, assign(), commonv1.Reason_ACCESS_DENIED)
		f.write(t, org, touch, relationship("service:prod", "owner", subject))
		if err := assign(); err != nil {
			t.Errorf("%s, who has it: %v", subject, err)
		}
	}
}

// A role with more than is looked through is for administrators to assign.
func TestUsersGiveNoRoleThatIsTooLargeToLookThrough(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, user, administrator := f.opened(t), id.New(id.User), id.New(id.User)
	f.assign(t, org, giveModel)
	f.createRole(t, org, "ops")
	f.said(t, org, &eventv1.MembershipCreated{Organization: org, User: administrator, Role: asAdmin})
	var all []*authzv1.Relationship
	for i := range role.MaxRelationships {
		service := fmt.Sprintf("service:s%05d", i)
		all = append(all, relationship(service, "can_query", role.Holders("ops")), relationship(service, "owner", "user:"+user))
	}
	for ; len(all) > 0; all = all[min(len(all), 2500):] {
		if _, err := f.importAll(t, &authzv1.ImportRelationshipsRequest{Organization: org, Relationships: all[:min(len(all), 2500)]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.assignFor(t.Context(), org, user, "ops"); err != nil {
		t.Errorf("as many as are looked through: %v", err)
	}
	f.write(t, org, touch, relationship("service:zz", "can_query", role.Holders("ops")))
	f.write(t, org, touch, relationship("service:zz", "owner", "user:"+user))
	wantReason(t, f.assignFor(t.Context(), org, user, "ops"), commonv1.Reason_ROLE_IN_USE)
	if err := f.assignFor(t.Context(), org, administrator, "ops"); err != nil {
		t.Errorf("an administrator: %v", err)
	}
}
