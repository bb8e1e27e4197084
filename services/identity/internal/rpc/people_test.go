package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/blind"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
)

func newVault(t *testing.T) *eventlog.Vault {
	t.Helper()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	key, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return eventlog.NewVault(key)
}

// people adds the services of people to the fixture.
func (f *fixture) people(t *testing.T, clock func() time.Time) {
	t.Helper()
	index, err := blind.NewKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	f.blind = index
	f.users = &rpc.Users{
		DB: f.db, Log: f.log, Region: "eu-west", Regions: []string{"eu-west", "us-east"}, Blind: index, Clock: clock,
	}
	f.memberships = &rpc.Memberships{DB: f.db, Log: f.log, Blind: index, Clock: clock}
}

// abroad is the service of users in us-east: the same database, another regional
// key.
func (f *fixture) abroad(t *testing.T) *fixture {
	t.Helper()
	other := &fixture{db: f.db, blind: f.blind}
	other.log = eventlog.New(eventlog.Config{DB: f.db, Region: "us-east", Vault: newVault(t), Clock: f.users.Clock})
	users := *f.users
	users.Log, users.Region = other.log, "us-east"
	other.users = &users
	return other
}

// lastKey numbers idempotency keys.
var lastKey atomic.Int64

// key is an idempotency key that no other call has.
func key() string { return fmt.Sprint("key-", lastKey.Add(1)) }

// user makes a user with an address and a name.
func (f *fixture) user(t *testing.T, ctx context.Context, email, name string) string {
	t.Helper()
	answer, err := f.users.CreateUser(ctx, &identityv1.CreateUserRequest{Email: email, Name: name, IdempotencyKey: key()})
	if err != nil {
		t.Errorf("create %s: %v", email, err) // not fatal: goroutines call it
	}
	return answer.GetUser().GetId()
}

// member makes a user a member; role 0 is a plain one.
func (f *fixture) member(t *testing.T, ctx context.Context, org, user string, role identityv1.MembershipRole) {
	t.Helper()
	_, err := f.memberships.AddMember(ctx, &identityv1.AddMemberRequest{Organization: org, User: user, Role: role, IdempotencyKey: key()})
	if err != nil {
		t.Errorf("add member: %v", err) // not fatal: goroutines call it
	}
}

// adminOf is a caller who reaches one organization.
func adminOf(t *testing.T, org string) context.Context {
	t.Helper()
	return principal.With(t.Context(), principal.Principal{
		Kind: principal.APIToken, ID: id.New(id.Token), Organization: org, Level: commonv1.Level_LEVEL_ADMIN,
	})
}

// onBehalf is the platform's caller, who calls on behalf of a user.
func onBehalf(t *testing.T, user string) context.Context {
	t.Helper()
	return principal.With(t.Context(), principal.Principal{
		Kind: principal.APIToken, ID: id.New(id.Token), Level: commonv1.Level_LEVEL_ADMIN, OnBehalfOf: user,
	})
}

// bearing is a user or service account who calls with an access token.
func bearing(t *testing.T, org, subject string) context.Context {
	t.Helper()
	p := principal.Principal{Kind: principal.User, ID: subject, Organization: org, By: id.New(id.Client)}
	if id.Valid(id.ServiceAccount, subject) {
		p.Kind = principal.ServiceAccount
	}
	return principal.With(t.Context(), p)
}

const (
	plain         = identityv1.MembershipRole_MEMBERSHIP_ROLE_MEMBER
	administrator = identityv1.MembershipRole_MEMBERSHIP_ROLE_ADMIN
)

// get reads a membership.
func (f *fixture) get(t *testing.T, ctx context.Context, org, user string) *identityv1.Membership {
	t.Helper()
	answer, err := f.memberships.GetMember(ctx, &identityv1.GetMemberRequest{Organization: org, User: user})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetMembership()
}

// appendTo appends to a log, whatever the rows say.
func (f *fixture) appendTo(ctx context.Context, tx pgx.Tx, log string, events ...proto.Message) error {
	_, err := f.log.Append(ctx, tx, eventlog.Append{
		Log: log, Expected: eventlog.AnyHead, Events: events, Actor: principal.Principal{Kind: principal.Operator, ID: "test"}.Actor(),
	})
	return err
}
