package rpc

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// newSecret makes a client's secret.
func newSecret() (secret.String, client.Hash) {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails, by its contract
	return client.NewSecret(random)
}

// AddClientSecret implements ClientService.
func (s *Clients) AddClientSecret(ctx context.Context, req *sessionsv1.AddClientSecretRequest) (*sessionsv1.AddClientSecretResponse, error) {
	if err := s.open(ctx, req.GetOrganization()); err != nil {
		return nil, err
	}
	row, err := store.FindClientOf(ctx, s.DB.Pool(), req.GetOrganization(), req.GetClient())
	if err != nil {
		return nil, err
	}
	if row.Settings.GetServiceAccount() != "" {
		if err := s.lends(ctx, req.GetOrganization()); err != nil {
			return nil, err
		}
	}
	text, hash := newSecret()
	command := client.AddSecret{ID: id.New(id.ClientSecret), At: s.now()}
	if seconds := req.GetEndOthersSeconds(); seconds > 0 {
		command.EndOthers = command.At.Add(time.Duration(seconds) * time.Second)
	}
	out := &sessionsv1.AddClientSecretResponse{}
	replayed, err := commit.Once(ctx, s.Log, ownerLog(req.GetOrganization()), sessionsv1connect.ClientServiceAddClientSecretProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			out.Client, out.Revision, err = s.change(ctx, tx, req, caller, command.Decide, hash)
			return err
		})
	if err != nil {
		return nil, err
	}
	if !replayed {
		out.Secret = text.Reveal()
	}
	return out, nil
}

// RevokeClientSecret implements ClientService.
func (s *Clients) RevokeClientSecret(
	ctx context.Context, req *sessionsv1.RevokeClientSecretRequest,
) (*sessionsv1.RevokeClientSecretResponse, error) {
	out := &sessionsv1.RevokeClientSecretResponse{}
	_, err := commit.Once(ctx, s.Log, ownerLog(req.GetOrganization()), sessionsv1connect.ClientServiceRevokeClientSecretProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			command := client.RevokeSecret{ID: req.GetSecret()}
			out.Client, out.Revision, err = s.change(ctx, tx, req, caller, command.Decide, client.Hash{})
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}
