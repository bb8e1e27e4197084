// Package rpc serves the sessions service's procedures: parse, decide, reply.
package rpc

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/page"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// clientsPage is how many clients a page has when the request does not say.
const clientsPage = 50

// Clients serves ClientService.
type Clients struct {
	sessionsv1connect.UnimplementedClientServiceHandler

	DB  *sqldb.DB
	Log *eventlog.Store
	// PlatformRegion is the home of the platform's log.
	PlatformRegion string
	// Organizations and ServiceAccounts are identity's.
	Organizations   identityv1connect.OrganizationServiceClient
	ServiceAccounts identityv1connect.ServiceAccountServiceClient
	// Delegation says what users may do; nil: nobody knows.
	Delegation principal.Delegation
	Clock      func() time.Time
}

var _ sessionsv1connect.ClientServiceHandler = (*Clients)(nil)

// CreateClient implements ClientService.
func (s *Clients) CreateClient(ctx context.Context, req *sessionsv1.CreateClientRequest) (*sessionsv1.CreateClientResponse, error) {
	settings, err := s.settings(ctx, req.GetOrganization(), req.GetSettings())
	if err != nil {
		return nil, err
	}
	command := client.Create{
		ID: id.New(id.Client), Organization: req.GetOrganization(), Settings: settings, Secret: id.New(id.ClientSecret),
	}
	text, hash := newSecret()
	out := &sessionsv1.CreateClientResponse{}
	replayed, err := commit.Once(ctx, s.Log, ownerLog(req.GetOrganization()), sessionsv1connect.ClientServiceCreateClientProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			out.Client, out.Revision, err = s.create(ctx, tx, command, hash, caller)
			return err
		})
	if err != nil {
		return nil, err
	}
	if !replayed && client.HasSecret(settings) {
		out.Secret = text.Reveal()
	}
	return out, nil
}

func (s *Clients) create(
	ctx context.Context, tx pgx.Tx, command client.Create, hash client.Hash, caller principal.Principal,
) (*sessionsv1.Client, string, error) {
	head, err := s.lock(ctx, tx, command.Organization)
	if err != nil {
		return nil, "", err
	}
	if command.Others, err = store.CountClients(ctx, tx, command.Organization); err != nil {
		return nil, "", err
	}
	events, err := command.Decide()
	if err != nil {
		return nil, "", err
	}
	return s.record(ctx, tx, head, caller, store.Client{}, store.ClientChange{Events: events, Hash: hash})
}

// UpdateClient implements ClientService.
func (s *Clients) UpdateClient(ctx context.Context, req *sessionsv1.UpdateClientRequest) (*sessionsv1.UpdateClientResponse, error) {
	command := client.Update{Disabled: req.Disabled}
	var err error
	switch {
	case req.GetSettings() != nil:
		command.Settings, err = s.settings(ctx, req.GetOrganization(), req.GetSettings())
	case !req.GetDisabled(): // what only takes away is always possible
		err = s.open(ctx, req.GetOrganization())
	}
	if err != nil {
		return nil, err
	}
	out := &sessionsv1.UpdateClientResponse{}
	_, err = commit.Once(ctx, s.Log, ownerLog(req.GetOrganization()), sessionsv1connect.ClientServiceUpdateClientProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			out.Client, out.Revision, err = s.change(ctx, tx, req, caller, command.Decide, client.Hash{})
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteClient implements ClientService.
func (s *Clients) DeleteClient(ctx context.Context, req *sessionsv1.DeleteClientRequest) (*sessionsv1.DeleteClientResponse, error) {
	out := &sessionsv1.DeleteClientResponse{}
	_, err := commit.Once(ctx, s.Log, ownerLog(req.GetOrganization()), sessionsv1connect.ClientServiceDeleteClientProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			_, out.Revision, err = s.change(ctx, tx, req, caller, client.Delete{}.Decide, client.Hash{})
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// named is a request about a client.
type named interface {
	GetOrganization() string
	GetClient() string
}

// change changes a client as a command decides.
func (s *Clients) change(
	ctx context.Context, tx pgx.Tx, req named, caller principal.Principal,
	decide func(client.State) ([]proto.Message, error), hash client.Hash,
) (*sessionsv1.Client, string, error) {
	head, err := s.lock(ctx, tx, req.GetOrganization())
	if err != nil {
		return nil, "", err
	}
	row, err := store.FindClientOf(ctx, tx, req.GetOrganization(), req.GetClient())
	if err != nil {
		return nil, "", err
	}
	events, err := decide(row.State)
	if err != nil {
		return nil, "", err
	}
	return s.record(ctx, tx, head, caller, row, store.ClientChange{Events: events, Hash: hash})
}

// GetClient implements ClientService.
func (s *Clients) GetClient(ctx context.Context, req *sessionsv1.GetClientRequest) (*sessionsv1.GetClientResponse, error) {
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	row, err := store.FindClientOf(ctx, s.DB.Pool(), req.GetOrganization(), req.GetClient())
	if err != nil {
		return nil, err
	}
	return &sessionsv1.GetClientResponse{Client: clientMessage(row, s.Clock())}, nil
}

// ListClients implements ClientService.
func (s *Clients) ListClients(ctx context.Context, req *sessionsv1.ListClientsRequest) (*sessionsv1.ListClientsResponse, error) {
	query := "clients of " + req.GetOrganization()
	after, err := page.After(query, req.GetCursor())
	if err != nil {
		return nil, err
	}
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	if err := s.there(ctx, req.GetOrganization()); err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), clientsPage)
	rows, err := store.ListClients(ctx, s.DB.Pool(), req.GetOrganization(), after, size)
	if err != nil {
		return nil, err
	}
	out := &sessionsv1.ListClientsResponse{}
	at := s.Clock()
	for _, row := range rows {
		out.Clients = append(out.Clients, clientMessage(row, at))
	}
	if len(rows) == size {
		out.NextCursor = page.Cursor(query, rows[size-1].ID)
	}
	return out, nil
}
