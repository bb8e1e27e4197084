package rpc_test

import (
	"context"
	"testing"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/rpc"
)

// rights are what users may do in an organization.
type rights map[string]string

// Allowed implements principal.Delegation.
func (r rights) Allowed(_ context.Context, subject, organization, permission string) (bool, error) {
	return permission == "can_manage_service_accounts" && r[subject] == organization, nil
}

// Whoever makes a client of a service account, or has its secret, acts as the account.
// So managing clients is not enough for it.
func TestLending(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	org, elsewhere := f.organization(t), f.organization(t)
	account := f.identity.account(org)
	manager, other, developer := id.New(id.User), id.New(id.User), id.New(id.User)
	f.clients.Delegation = rights{manager: org, other: elsewhere}
	plain := f.create(t, org, machine("")).GetClient()
	lending := f.create(t, org, machine(account)).GetClient()
	trusts := &rpc.Trusts{Clients: f.clients}
	trusted := f.trust(t, org, account)
	calls := map[string]func(ctx context.Context) error{
		"CreateClient": func(ctx context.Context) error {
			_, err := f.clients.CreateClient(ctx, &sessionsv1.CreateClientRequest{Organization: org, Settings: machine(account), IdempotencyKey: f.key()})
			return err
		},
		"UpdateClient": func(ctx context.Context) error {
			_, err := f.clients.UpdateClient(ctx, &sessionsv1.UpdateClientRequest{
				Organization: org, Client: plain.GetId(), Settings: machine(account), IdempotencyKey: f.key(),
			})
			return err
		},
		"AddClientSecret": func(ctx context.Context) error {
			_, err := f.clients.AddClientSecret(ctx, &sessionsv1.AddClientSecretRequest{Organization: org, Client: lending.GetId(), IdempotencyKey: f.key()})
			return err
		},
		"CreateTrust": func(ctx context.Context) error {
			_, err := trusts.CreateTrust(ctx, &sessionsv1.CreateTrustRequest{Organization: org, Settings: trusting(t, account), IdempotencyKey: f.key()})
			return err
		},
		"UpdateTrust": func(ctx context.Context) error {
			settings := trusting(t, account, func(s *sessionsv1.TrustSettings) { s.Name = f.key() })
			_, err := trusts.UpdateTrust(ctx, &sessionsv1.UpdateTrustRequest{Organization: org, Trust: trusted, Settings: settings, IdempotencyKey: f.key()})
			return err
		},
	}
	for name, call := range calls {
		for _, caller := range []principal.Principal{
			{Kind: principal.User, ID: developer, Organization: org, By: id.New(id.Client)},
			{Kind: principal.User, ID: other, Organization: org, By: id.New(id.Client)},
			{Kind: principal.ServiceAccount, ID: account, Organization: org, By: id.New(id.Client)},
			{Kind: principal.APIToken, ID: id.New(id.Token), Level: commonv1.Level_LEVEL_ADMIN, OnBehalfOf: developer},
		} {
			head := f.head(t, org)
			wantFault(t, call(principal.With(t.Context(), caller)), commonv1.Reason_ACCESS_DENIED, "")
			if f.head(t, org) != head {
				t.Errorf("%s by %+v was done", name, caller)
			}
		}
		if err := call(principal.With(t.Context(), principal.Principal{Kind: principal.User, ID: manager, Organization: org, By: id.New(id.Client)})); err != nil {
			t.Errorf("%s by who manages service accounts: %v", name, err)
		}
	}
}
