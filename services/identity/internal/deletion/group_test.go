package deletion_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/deletion"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

// Groups that are in each other, and service accounts that are in groups, are gone
// with facts that say all of it.
func TestDeleteGroupsAndServiceAccounts(t *testing.T) {
	f := newFixture(t)
	ctx := principal.With(t.Context(), principal.Principal{Kind: principal.APIToken, ID: "tok", Level: commonv1.Level_LEVEL_ADMIN})
	groups := &rpc.Groups{DB: f.db, Log: f.log, Clock: f.clock}
	accounts := &rpc.ServiceAccounts{DB: f.db, Log: f.log, Clock: f.clock}
	made, err := f.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{Slug: "acme", Name: "acme", IdempotencyKey: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	org := made.GetOrganization().GetId()
	var outer string
	const number = 140
	for i := range number {
		g, err := groups.CreateGroup(ctx, &identityv1.CreateGroupRequest{Organization: org, Name: fmt.Sprint("group ", i), IdempotencyKey: fmt.Sprint("group ", i)})
		if err != nil {
			t.Fatal(err)
		}
		a, err := accounts.CreateServiceAccount(ctx, &identityv1.CreateServiceAccountRequest{Organization: org, Name: fmt.Sprint("bot ", i), IdempotencyKey: fmt.Sprint("bot ", i)})
		if err != nil {
			t.Fatal(err)
		}
		add := []string{a.GetServiceAccount().GetId()}
		if outer == "" {
			outer = g.GetGroup().GetId()
		} else {
			_, err = groups.ChangeGroupMembers(ctx, &identityv1.ChangeGroupMembersRequest{
				Organization: org, Group: outer, Add: []string{g.GetGroup().GetId()}, IdempotencyKey: fmt.Sprint("nest ", i),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		_, err = groups.ChangeGroupMembers(ctx, &identityv1.ChangeGroupMembersRequest{
			Organization: org, Group: g.GetGroup().GetId(), Add: add, IdempotencyKey: fmt.Sprint("add ", i),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = f.organizations.DeleteOrganization(ctx, &identityv1.DeleteOrganizationRequest{Organization: org, GraceDays: new(uint32(1)), IdempotencyKey: "delete"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = groups.CreateGroup(ctx, &identityv1.CreateGroupRequest{Organization: org, Name: "late", IdempotencyKey: "late"})
	if err == nil || !strings.Contains(err.Error(), "ORGANIZATION_STATE") {
		t.Errorf("a group in an organization that is about to be deleted: %v, want ORGANIZATION_STATE", err)
	}
	_, err = accounts.CreateServiceAccount(ctx, &identityv1.CreateServiceAccountRequest{Organization: org, Name: "late", IdempotencyKey: "late"})
	if err == nil || !strings.Contains(err.Error(), "ORGANIZATION_STATE") {
		t.Errorf("a service account there: %v, want ORGANIZATION_STATE", err)
	}
	head, err := f.log.Head(t.Context(), f.db.Pool(), org)
	if err != nil {
		t.Fatal(err)
	}
	f.now.Add(int64(25 * time.Hour))
	w := f.worker("eu-west", deletion.Tokens{Clock: f.clock}, deletion.Groups{}, deletion.ServiceAccounts{})
	if _, done, err := w.Delete(t.Context()); done != 1 || err != nil {
		t.Fatalf("Delete = %d, %v", done, err)
	}
	want := strings.Repeat("GroupMembersChanged ", number) + strings.Repeat("GroupDeleted ", number) +
		strings.Repeat("ServiceAccountDeleted ", number) + "OrganizationDeleted"
	if got := f.tail(t, org, head.Sequence+1); got != want {
		t.Errorf("events %q", got)
	}
	for _, table := range []string{"groups", "group_members", "service_accounts", "counts WHERE number <> 0"} {
		var left int
		if err := f.db.Pool().QueryRow(t.Context(), "SELECT count(*) FROM identity."+table).Scan(&left); err != nil || left > 0 {
			t.Errorf("%d rows are left of %s, %v", left, table, err)
		}
	}
}
