package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/id"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
)

// The handlers that are mounted: writes go to the home region of the log that
// they append to, everything else is answered here. An import is not among them:
// its messages are large, and one is committed while the next one comes.

type (
	relationshipsAtHome struct {
		*Relationships

		peers *home.Peers[authzv1connect.RelationshipServiceClient]
	}
	rolesAtHome struct {
		*Roles

		peers *home.Peers[authzv1connect.RoleServiceClient]
	}
	modelsAtHome struct {
		*Models

		peers *home.Peers[authzv1connect.ModelServiceClient]
	}
)

// RelationshipsAtHome serves RelationshipService with writes executed at home.
func RelationshipsAtHome(s *Relationships, ways *home.Router) authzv1connect.RelationshipServiceHandler {
	return &relationshipsAtHome{s, home.Clients(ways, authzv1connect.NewRelationshipServiceClient)}
}

// RolesAtHome serves RoleService with writes executed at home.
func RolesAtHome(s *Roles, ways *home.Router) authzv1connect.RoleServiceHandler {
	return &rolesAtHome{s, home.Clients(ways, authzv1connect.NewRoleServiceClient)}
}

// ModelsAtHome serves ModelService with writes executed at home.
func ModelsAtHome(s *Models, ways *home.Router) authzv1connect.ModelServiceHandler {
	return &modelsAtHome{s, home.Clients(ways, authzv1connect.NewModelServiceClient)}
}

// WriteRelationships implements RelationshipService.
func (s *relationshipsAtHome) WriteRelationships(ctx context.Context, req *authzv1.WriteRelationshipsRequest) (*authzv1.WriteRelationshipsResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, authzv1connect.RelationshipServiceClient.WriteRelationships, s.Relationships.WriteRelationships)
}

// CreateRole implements RoleService.
func (s *rolesAtHome) CreateRole(ctx context.Context, req *authzv1.CreateRoleRequest) (*authzv1.CreateRoleResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, authzv1connect.RoleServiceClient.CreateRole, s.Roles.CreateRole)
}

// UpdateRole implements RoleService.
func (s *rolesAtHome) UpdateRole(ctx context.Context, req *authzv1.UpdateRoleRequest) (*authzv1.UpdateRoleResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, authzv1connect.RoleServiceClient.UpdateRole, s.Roles.UpdateRole)
}

// DeleteRole implements RoleService.
func (s *rolesAtHome) DeleteRole(ctx context.Context, req *authzv1.DeleteRoleRequest) (*authzv1.DeleteRoleResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, authzv1connect.RoleServiceClient.DeleteRole, s.Roles.DeleteRole)
}

// AssignRole implements RoleService.
func (s *rolesAtHome) AssignRole(ctx context.Context, req *authzv1.AssignRoleRequest) (*authzv1.AssignRoleResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, authzv1connect.RoleServiceClient.AssignRole, s.Roles.AssignRole)
}

// UnassignRole implements RoleService.
func (s *rolesAtHome) UnassignRole(ctx context.Context, req *authzv1.UnassignRoleRequest) (*authzv1.UnassignRoleResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, authzv1connect.RoleServiceClient.UnassignRole, s.Roles.UnassignRole)
}

// AssignModel implements ModelService.
func (s *modelsAtHome) AssignModel(ctx context.Context, req *authzv1.AssignModelRequest) (*authzv1.AssignModelResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, authzv1connect.ModelServiceClient.AssignModel, s.Models.AssignModel)
}

// PublishModel implements ModelService.
func (s *modelsAtHome) PublishModel(ctx context.Context, req *authzv1.PublishModelRequest) (*authzv1.PublishModelResponse, error) {
	return home.Send(ctx, s.peers, id.Platform, req, authzv1connect.ModelServiceClient.PublishModel, s.Models.PublishModel)
}

// SetModelState implements ModelService.
func (s *modelsAtHome) SetModelState(ctx context.Context, req *authzv1.SetModelStateRequest) (*authzv1.SetModelStateResponse, error) {
	return home.Send(ctx, s.peers, id.Platform, req, authzv1connect.ModelServiceClient.SetModelState, s.Models.SetModelState)
}
