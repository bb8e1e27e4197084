package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/home"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// The handlers that are mounted: writes go to the home region of the log that
// they append to, everything else is answered here.

type (
	organizationsAtHome struct {
		*Organizations

		peers *home.Peers[identityv1connect.OrganizationServiceClient]
	}
	apiTokensAtHome struct {
		*APITokens

		peers *home.Peers[identityv1connect.ApiTokenServiceClient]
	}
	usersAtHome struct {
		*Users

		peers *home.Peers[identityv1connect.UserServiceClient]
	}
	membershipsAtHome struct {
		*Memberships

		peers *home.Peers[identityv1connect.MembershipServiceClient]
	}
)

// OrganizationsAtHome serves OrganizationService with writes executed at home.
func OrganizationsAtHome(s *Organizations, ways *home.Router) identityv1connect.OrganizationServiceHandler {
	return &organizationsAtHome{s, home.Clients(ways, identityv1connect.NewOrganizationServiceClient)}
}

// APITokensAtHome serves ApiTokenService with writes executed at home.
func APITokensAtHome(s *APITokens, ways *home.Router) identityv1connect.ApiTokenServiceHandler {
	return &apiTokensAtHome{s, home.Clients(ways, identityv1connect.NewApiTokenServiceClient)}
}

// CreateOrganization implements OrganizationService. The organization is made in
// its home region, which is this one when the request names none.
func (s *organizationsAtHome) CreateOrganization(
	ctx context.Context, req *identityv1.CreateOrganizationRequest,
) (*identityv1.CreateOrganizationResponse, error) {
	return home.SendTo(ctx, s.peers, req.GetHomeRegion(), req,
		identityv1connect.OrganizationServiceClient.CreateOrganization, s.Organizations.CreateOrganization)
}

// MoveHome implements OrganizationService. To a region that no calls are sent to
// from here an organization is moved from here: it may be one that is being
// added, which the home region has not been told of.
func (s *organizationsAtHome) MoveHome(ctx context.Context, req *identityv1.MoveHomeRequest) (*identityv1.MoveHomeResponse, error) {
	if !s.peers.Knows(req.GetHomeRegion()) {
		return s.Organizations.MoveHome(ctx, req)
	}
	return home.Send(ctx, s.peers, req.GetOrganization(), req,
		identityv1connect.OrganizationServiceClient.MoveHome, s.Organizations.MoveHome)
}

// UpdateOrganization implements OrganizationService.
func (s *organizationsAtHome) UpdateOrganization(ctx context.Context, req *identityv1.UpdateOrganizationRequest) (*identityv1.UpdateOrganizationResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.OrganizationServiceClient.UpdateOrganization, s.Organizations.UpdateOrganization)
}

// SuspendOrganization implements OrganizationService.
func (s *organizationsAtHome) SuspendOrganization(ctx context.Context, req *identityv1.SuspendOrganizationRequest) (*identityv1.SuspendOrganizationResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.OrganizationServiceClient.SuspendOrganization, s.Organizations.SuspendOrganization)
}

// ResumeOrganization implements OrganizationService.
func (s *organizationsAtHome) ResumeOrganization(ctx context.Context, req *identityv1.ResumeOrganizationRequest) (*identityv1.ResumeOrganizationResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.OrganizationServiceClient.ResumeOrganization, s.Organizations.ResumeOrganization)
}

// DeleteOrganization implements OrganizationService.
func (s *organizationsAtHome) DeleteOrganization(ctx context.Context, req *identityv1.DeleteOrganizationRequest) (*identityv1.DeleteOrganizationResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.OrganizationServiceClient.DeleteOrganization, s.Organizations.DeleteOrganization)
}

// CreateApiToken implements ApiTokenService.
func (s *apiTokensAtHome) CreateApiToken(ctx context.Context, req *identityv1.CreateApiTokenRequest) (*identityv1.CreateApiTokenResponse, error) {
	return home.Send(ctx, s.peers, logOf(req.GetOrganization()), req, identityv1connect.ApiTokenServiceClient.CreateApiToken, s.APITokens.CreateApiToken)
}

// RotateApiToken implements ApiTokenService.
func (s *apiTokensAtHome) RotateApiToken(ctx context.Context, req *identityv1.RotateApiTokenRequest) (*identityv1.RotateApiTokenResponse, error) {
	return home.Send(ctx, s.peers, logOf(req.GetOrganization()), req, identityv1connect.ApiTokenServiceClient.RotateApiToken, s.APITokens.RotateApiToken)
}

// RevokeApiToken implements ApiTokenService.
func (s *apiTokensAtHome) RevokeApiToken(ctx context.Context, req *identityv1.RevokeApiTokenRequest) (*identityv1.RevokeApiTokenResponse, error) {
	return home.Send(ctx, s.peers, logOf(req.GetOrganization()), req, identityv1connect.ApiTokenServiceClient.RevokeApiToken, s.APITokens.RevokeApiToken)
}
