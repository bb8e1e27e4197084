package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/meridian-iam/meridian/pkg/eventlog"
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
		t.Fatalf("create %s: %v", email, err)
	}
	return answer.GetUser().GetId()
}
