package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/home"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1/sessionsv1connect"
)

type clientsAtHome struct {
	*Clients

	peers *home.Peers[sessionsv1connect.ClientServiceClient]
}

// ClientsAtHome serves ClientService with writes executed at home.
func ClientsAtHome(s *Clients, ways *home.Router) sessionsv1connect.ClientServiceHandler {
	return &clientsAtHome{s, home.Clients(ways, sessionsv1connect.NewClientServiceClient)}
}

// CreateClient implements ClientService.
func (s *clientsAtHome) CreateClient(ctx context.Context, req *sessionsv1.CreateClientRequest) (*sessionsv1.CreateClientResponse, error) {
	return home.Send(ctx, s.peers, ownerLog(req.GetOrganization()), req, sessionsv1connect.ClientServiceClient.CreateClient, s.Clients.CreateClient)
}

// UpdateClient implements ClientService.
func (s *clientsAtHome) UpdateClient(ctx context.Context, req *sessionsv1.UpdateClientRequest) (*sessionsv1.UpdateClientResponse, error) {
	return home.Send(ctx, s.peers, ownerLog(req.GetOrganization()), req, sessionsv1connect.ClientServiceClient.UpdateClient, s.Clients.UpdateClient)
}

// DeleteClient implements ClientService.
func (s *clientsAtHome) DeleteClient(ctx context.Context, req *sessionsv1.DeleteClientRequest) (*sessionsv1.DeleteClientResponse, error) {
	return home.Send(ctx, s.peers, ownerLog(req.GetOrganization()), req, sessionsv1connect.ClientServiceClient.DeleteClient, s.Clients.DeleteClient)
}

// AddClientSecret implements ClientService.
func (s *clientsAtHome) AddClientSecret(ctx context.Context, req *sessionsv1.AddClientSecretRequest) (*sessionsv1.AddClientSecretResponse, error) {
	return home.Send(ctx, s.peers, ownerLog(req.GetOrganization()), req, sessionsv1connect.ClientServiceClient.AddClientSecret, s.Clients.AddClientSecret)
}

// RevokeClientSecret implements ClientService.
func (s *clientsAtHome) RevokeClientSecret(
	ctx context.Context, req *sessionsv1.RevokeClientSecretRequest,
) (*sessionsv1.RevokeClientSecretResponse, error) {
	return home.Send(ctx, s.peers, ownerLog(req.GetOrganization()), req,
		sessionsv1connect.ClientServiceClient.RevokeClientSecret, s.Clients.RevokeClientSecret)
}
