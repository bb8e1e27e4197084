package rpc

import (
	"context"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/commit"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/revision"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// BlockClient implements ClientService.
func (s *Clients) BlockClient(ctx context.Context, req *sessionsv1.BlockClientRequest) (*sessionsv1.BlockClientResponse, error) {
	out := &sessionsv1.BlockClientResponse{}
	_, err := commit.Once(ctx, s.Log, ownerLog(req.GetOrganization()), sessionsv1connect.ClientServiceBlockClientProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			out.Revision, err = s.block(ctx, tx, caller, client.Block{Client: req.GetClient(), Organization: req.GetOrganization(), Blocked: true})
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// UnblockClient implements ClientService.
func (s *Clients) UnblockClient(ctx context.Context, req *sessionsv1.UnblockClientRequest) (*sessionsv1.UnblockClientResponse, error) {
	out := &sessionsv1.UnblockClientResponse{}
	_, err := commit.Once(ctx, s.Log, ownerLog(req.GetOrganization()), sessionsv1connect.ClientServiceUnblockClientProcedure, req, out,
		func(ctx context.Context, tx pgx.Tx, caller principal.Principal) (err error) {
			out.Revision, err = s.block(ctx, tx, caller, client.Block{Client: req.GetClient(), Organization: req.GetOrganization()})
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// block blocks a client as a command says, or no more, and returns the revision token.
func (s *Clients) block(ctx context.Context, tx pgx.Tx, caller principal.Principal, command client.Block) (string, error) {
	head, err := s.lock(ctx, tx, command.Organization)
	if err != nil {
		return "", err
	}
	rows, err := store.ListBlocks(ctx, tx, command.Organization)
	if err != nil {
		return "", err
	}
	command.Others = int64(len(rows))
	for _, row := range rows {
		command.Before = command.Before || row.Client == command.Client
	}
	events, err := command.Decide()
	switch {
	case err != nil:
		return "", err
	case len(events) == 0:
	case command.Blocked:
		err = store.PutBlock(ctx, tx, store.Block{
			Organization: command.Organization, Client: command.Client, HomeRegion: head.HomeRegion, BlockedAt: s.now(),
		})
	default:
		err = store.DeleteBlock(ctx, tx, command.Organization, command.Client)
	}
	if err != nil {
		return "", err
	}
	return s.tell(ctx, tx, head, caller, events)
}

// tell appends events to a log that is locked, or begins the platform's, and returns the
// revision token.
func (s *Clients) tell(ctx context.Context, tx pgx.Tx, head eventlog.Head, caller principal.Principal, events []proto.Message) (string, error) {
	rev := revision.Revision{Log: head.Log, Sequence: head.Sequence}
	if len(events) > 0 {
		var err error
		rev, err = s.Log.Append(ctx, tx, eventlog.Append{
			Log: head.Log, Expected: head.Sequence, HomeRegion: head.HomeRegion, Actor: caller.Actor(), Events: events,
		})
		if err != nil {
			return "", err
		}
	}
	return revision.Token(rev)
}

// ListBlockedClients implements ClientService.
func (s *Clients) ListBlockedClients(
	ctx context.Context, req *sessionsv1.ListBlockedClientsRequest,
) (*sessionsv1.ListBlockedClientsResponse, error) {
	if err := commit.Fresh(ctx, s.Log, s.DB.Pool(), req); err != nil {
		return nil, err
	}
	if err := s.there(ctx, req.GetOrganization()); err != nil {
		return nil, err
	}
	rows, err := store.ListBlocks(ctx, s.DB.Pool(), req.GetOrganization())
	if err != nil {
		return nil, err
	}
	out := &sessionsv1.ListBlockedClientsResponse{}
	for _, row := range rows {
		out.Clients = append(out.Clients, &sessionsv1.BlockedClient{Client: row.Client, BlockedAt: timestamppb.New(row.BlockedAt)})
	}
	return out, nil
}

// BlockClient implements ClientService.
func (s *clientsAtHome) BlockClient(ctx context.Context, req *sessionsv1.BlockClientRequest) (*sessionsv1.BlockClientResponse, error) {
	return home.Send(ctx, s.peers, ownerLog(req.GetOrganization()), req, sessionsv1connect.ClientServiceClient.BlockClient, s.Clients.BlockClient)
}

// UnblockClient implements ClientService.
func (s *clientsAtHome) UnblockClient(ctx context.Context, req *sessionsv1.UnblockClientRequest) (*sessionsv1.UnblockClientResponse, error) {
	return home.Send(ctx, s.peers, ownerLog(req.GetOrganization()), req, sessionsv1connect.ClientServiceClient.UnblockClient, s.Clients.UnblockClient)
}
