package deletion_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/deletion"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Members leave, in several commits, before the organization is deleted; the users
// stay.
func TestMembersAreRemoved(t *testing.T) {
	f := newFixture(t)
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	wrapping, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	index, err := blind.NewKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	f.log = eventlog.New(eventlog.Config{DB: f.db, Region: "eu-west", Vault: eventlog.NewVault(wrapping), Clock: f.clock})
	users := &rpc.Users{DB: f.db, Log: f.log, Region: "eu-west", Regions: []string{"eu-west"}, Blind: index, Clock: f.clock}
	memberships := &rpc.Memberships{DB: f.db, Log: f.log, Clock: f.clock}
	ctx := principal.With(t.Context(), principal.Principal{Kind: principal.APIToken, ID: "tok", Level: commonv1.Level_LEVEL_ADMIN})
	made, err := f.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{Slug: "acme", Name: "Acme", IdempotencyKey: "org"})
	if err != nil {
		t.Fatal(err)
	}
	org := made.GetOrganization().GetId()
	const members = 300
	var people []string
	for i := range members {
		user, err := users.CreateUser(ctx, &identityv1.CreateUserRequest{Email: fmt.Sprintf("u%d@example.com", i), Name: "User", IdempotencyKey: fmt.Sprint("u", i)})
		if err != nil {
			t.Fatal(err)
		}
		people = append(people, user.GetUser().GetId())
		_, err = memberships.AddMember(ctx, &identityv1.AddMemberRequest{
			Organization: org, User: people[i], Role: identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN, IdempotencyKey: fmt.Sprint("m", i),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = f.organizations.DeleteOrganization(ctx, &identityv1.DeleteOrganizationRequest{Organization: org, GraceDays: new(uint32(1)), IdempotencyKey: "delete"})
	if err != nil {
		t.Fatal(err)
	}
	f.now.Add(int64(25 * time.Hour))
	if due, done, err := f.worker("eu-west", deletion.Members{Log: f.log}).Delete(t.Context()); due != 1 || done != 1 || err != nil {
		t.Fatalf("%d due, %d deleted, %v", due, done, err)
	}
	want := strings.TrimSpace(strings.Repeat("MembershipRemoved ", members)) + " OrganizationDeleted"
	if got := f.tail(t, org, members+3); got != want {
		t.Errorf("the log ends with %s", got)
	}
	for _, user := range []string{people[0], people[members-1]} {
		v := &eventlog.Verifier{Store: f.log, Folds: []eventlog.Fold{store.Fold{Log: f.log, Blind: index}}}
		if result, err := v.Verify(t.Context(), user, nil); err != nil || result.Difference != nil {
			t.Errorf("user %s: %v, %v", user, result.Difference, err)
		}
	}
}
