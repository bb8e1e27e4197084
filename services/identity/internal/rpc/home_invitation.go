package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/home"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

type invitationsAtHome struct {
	*Invitations

	peers *home.Peers[identityv1connect.InvitationServiceClient]
}

// InvitationsAtHome serves InvitationService with writes executed at home, which is
// also where addresses are sealed.
func InvitationsAtHome(s *Invitations, ways *home.Router) identityv1connect.InvitationServiceHandler {
	return &invitationsAtHome{s, home.Clients(ways, identityv1connect.NewInvitationServiceClient)}
}

// CreateInvitation implements InvitationService.
func (s *invitationsAtHome) CreateInvitation(ctx context.Context, req *identityv1.CreateInvitationRequest) (*identityv1.CreateInvitationResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.InvitationServiceClient.CreateInvitation, s.Invitations.CreateInvitation)
}

// ResendInvitation implements InvitationService.
func (s *invitationsAtHome) ResendInvitation(ctx context.Context, req *identityv1.ResendInvitationRequest) (*identityv1.ResendInvitationResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.InvitationServiceClient.ResendInvitation, s.Invitations.ResendInvitation)
}

// RevokeInvitation implements InvitationService.
func (s *invitationsAtHome) RevokeInvitation(ctx context.Context, req *identityv1.RevokeInvitationRequest) (*identityv1.RevokeInvitationResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.InvitationServiceClient.RevokeInvitation, s.Invitations.RevokeInvitation)
}

// AcceptInvitation implements InvitationService. The secret says whose invitation it
// is; of one that opens nothing the answer is the same everywhere.
func (s *invitationsAtHome) AcceptInvitation(ctx context.Context, req *identityv1.AcceptInvitationRequest) (*identityv1.AcceptInvitationResponse, error) {
	if s.peers == nil {
		return s.Invitations.AcceptInvitation(ctx, req)
	}
	found, err := s.bySecret(ctx, s.DB.Pool(), req.GetSecret())
	if err != nil {
		return nil, err
	}
	return home.Send(ctx, s.peers, found.Organization, req, identityv1connect.InvitationServiceClient.AcceptInvitation, s.Invitations.AcceptInvitation)
}
