package rpc_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

// add adds a secret, and ends the others after some time; 0: they stay.
func (f *fixture) add(c *sessionsv1.Client, ends time.Duration) (*sessionsv1.AddClientSecretResponse, error) {
	return f.clients.AddClientSecret(f.ctx, &sessionsv1.AddClientSecretRequest{
		Organization: c.GetOrganization(), Client: c.GetId(), EndOthersSeconds: uint32(ends / time.Second), IdempotencyKey: f.key(),
	})
}

// A secret is changed without a gap: two are live, and the first ends by itself.
func TestClientSecrets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org := f.organization(t)
	made := f.create(t, org, app())
	c := made.GetClient()
	f.advance(1234567 * time.Nanosecond) // rows keep microseconds
	added, err := f.add(c, time.Hour)
	secrets := added.GetClient().GetSecrets()
	if err != nil || len(secrets) != 2 || added.GetSecret() == made.GetSecret() || added.GetSecret() == "" {
		t.Fatalf("%v, %v", added, err)
	}
	if want := f.clock().Add(time.Hour).Truncate(time.Microsecond); !secrets[0].GetExpiresAt().AsTime().Equal(want) || secrets[1].GetExpiresAt() != nil {
		t.Errorf("secrets %v, want that the first ends at %v", secrets, want)
	}
	if got := f.get(t, c); !proto.Equal(got, added.GetClient()) {
		t.Errorf("read %v, want %v", got, added.GetClient())
	}
	_, err = f.add(c, time.Second)
	wantFault(t, err, commonv1.Reason_LIMIT_REACHED, "secrets")
	f.advance(time.Hour)
	if got := f.get(t, c).GetSecrets(); len(got) != 1 || got[0].GetId() != secrets[1].GetId() {
		t.Errorf("secrets after the first has ended: %v", got)
	}
	third, err := f.add(c, 0)
	if err != nil || len(third.GetClient().GetSecrets()) != 2 {
		t.Fatalf("%v, %v", third, err)
	}
	revoke := &sessionsv1.RevokeClientSecretRequest{Organization: org, Client: c.GetId(), Secret: secrets[1].GetId(), IdempotencyKey: "r1"}
	revoked, err := f.clients.RevokeClientSecret(f.ctx, revoke)
	if err != nil || len(revoked.GetClient().GetSecrets()) != 1 {
		t.Fatalf("%v, %v", revoked, err)
	}
	revoke.IdempotencyKey = "r2"
	if again, err := f.clients.RevokeClientSecret(f.ctx, revoke); err != nil || again.GetRevision() != revoked.GetRevision() {
		t.Errorf("revoked twice: %v, %v", again, err)
	}
	var stored int
	err = f.db.Pool().QueryRow(t.Context(), `SELECT count(*) FROM sessions.client_secrets`).Scan(&stored)
	if err != nil || stored != 1 {
		t.Errorf("%d secrets are stored, %v: one is live", stored, err)
	}
	f.verifyClients(t, org)
}

func TestRepeatedAddClientSecret(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := f.create(t, f.organization(t), app()).GetClient()
	request := &sessionsv1.AddClientSecretRequest{Organization: c.GetOrganization(), Client: c.GetId(), IdempotencyKey: "once"}
	first, err := f.clients.AddClientSecret(f.ctx, request)
	if err != nil || first.GetSecret() == "" {
		t.Fatalf("%v, %v", first, err)
	}
	again, err := f.clients.AddClientSecret(f.ctx, request)
	if err != nil || again.GetSecret() != "" || !proto.Equal(again.GetClient(), first.GetClient()) || again.GetRevision() != first.GetRevision() {
		t.Errorf("repeated: %v, %v; want the same without the secret", again, err)
	}
}

func TestClientsWithoutSecrets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org := f.organization(t)
	for name, settings := range map[string]*sessionsv1.ClientSettings{"public": app(public), "signing": app(signing(jwks(t, false)))} {
		made := f.create(t, org, settings)
		if made.GetSecret() != "" || len(made.GetClient().GetSecrets()) != 0 {
			t.Errorf("%s has a secret: %v", name, made)
		}
		_, err := f.add(made.GetClient(), 0)
		wantFault(t, err, commonv1.Reason_CLIENT_SECRETLESS, "")
	}
}

// Of eight who add a secret at once, one does.
func TestClientSecretsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org := f.organization(t)
	c := f.create(t, org, app()).GetClient()
	var wait sync.WaitGroup
	var added, refused atomic.Int32
	for range 8 {
		wait.Go(func() {
			switch _, err := f.add(c, 0); {
			case err == nil:
				added.Add(1)
			case fault.Is(err, commonv1.Reason_LIMIT_REACHED):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if added.Load() != 1 || refused.Load() != 7 || len(f.get(t, c).GetSecrets()) != client.LiveSecrets {
		t.Errorf("%d added and %d refused, want 1 and 7; live: %v", added.Load(), refused.Load(), f.get(t, c).GetSecrets())
	}
	f.verifyClients(t, org)
}
