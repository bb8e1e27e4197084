package rpc_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

func TestBlockedClients(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org := f.organization(t)
	const url = "https://agent.example/client.json"
	block := func(organization, client string) error {
		_, err := f.clients.BlockClient(f.ctx, &sessionsv1.BlockClientRequest{Organization: organization, Client: client, IdempotencyKey: f.key()})
		return err
	}
	unblock := func(organization string) error {
		_, err := f.clients.UnblockClient(f.ctx, &sessionsv1.UnblockClientRequest{Organization: organization, Client: url, IdempotencyKey: f.key()})
		return err
	}
	listed := func(organization string) int {
		t.Helper()
		list, err := f.clients.ListBlockedClients(f.ctx, &sessionsv1.ListBlockedClientsRequest{Organization: organization})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.GetClients())
	}
	for _, organization := range []string{org, ""} {
		for range 2 {
			if err := block(organization, url); err != nil {
				t.Fatal(err)
			}
		}
		if listed(organization) != 1 {
			t.Errorf("%q: %d are blocked", organization, listed(organization))
		}
	}
	for range 2 {
		if err := unblock(org); err != nil {
			t.Fatal(err)
		}
	}
	if listed(org) != 0 || listed("") != 1 {
		t.Error("an organization unblocks for everybody")
	}
	said := f.events(t, org, 1)
	want := []proto.Message{&eventv1.ClientBlocked{Client: url, Organization: org}, &eventv1.ClientUnblocked{Client: url, Organization: org}}
	if len(said) != 2 || !proto.Equal(said[0], want[0]) || !proto.Equal(said[1], want[1]) {
		t.Errorf("the log says %v", said)
	}
	wantFault(t, block(org, "https://agent.example"), commonv1.Reason_INVALID_FIELD, "client")
	wantFault(t, block(id.New(id.Organization), url), commonv1.Reason_NOT_FOUND, "")
	_, err := f.db.Pool().Exec(t.Context(), `INSERT INTO sessions.client_blocks (organization_id, client_id, home_region, blocked_at)
		 SELECT $1, 'https://' || n || '.example/', 'eu-west', now() FROM generate_series(1, $2) AS n`, org, client.Limit)
	if err != nil {
		t.Fatal(err)
	}
	wantFault(t, block(org, url), commonv1.Reason_LIMIT_REACHED, "clients")
}
