package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/home"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

type (
	serviceAccountsAtHome struct {
		*ServiceAccounts

		peers *home.Peers[identityv1connect.ServiceAccountServiceClient]
	}
	groupsAtHome struct {
		*Groups

		peers *home.Peers[identityv1connect.GroupServiceClient]
	}
)

// ServiceAccountsAtHome serves ServiceAccountService with writes executed at home.
func ServiceAccountsAtHome(s *ServiceAccounts, ways *home.Router) identityv1connect.ServiceAccountServiceHandler {
	return &serviceAccountsAtHome{s, home.Clients(ways, identityv1connect.NewServiceAccountServiceClient)}
}

// GroupsAtHome serves GroupService with writes executed at home.
func GroupsAtHome(s *Groups, ways *home.Router) identityv1connect.GroupServiceHandler {
	return &groupsAtHome{s, home.Clients(ways, identityv1connect.NewGroupServiceClient)}
}

// CreateServiceAccount implements ServiceAccountService.
func (s *serviceAccountsAtHome) CreateServiceAccount(ctx context.Context, req *identityv1.CreateServiceAccountRequest) (*identityv1.CreateServiceAccountResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.ServiceAccountServiceClient.CreateServiceAccount, s.ServiceAccounts.CreateServiceAccount)
}

// UpdateServiceAccount implements ServiceAccountService.
func (s *serviceAccountsAtHome) UpdateServiceAccount(ctx context.Context, req *identityv1.UpdateServiceAccountRequest) (*identityv1.UpdateServiceAccountResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.ServiceAccountServiceClient.UpdateServiceAccount, s.ServiceAccounts.UpdateServiceAccount)
}

// DeleteServiceAccount implements ServiceAccountService.
func (s *serviceAccountsAtHome) DeleteServiceAccount(ctx context.Context, req *identityv1.DeleteServiceAccountRequest) (*identityv1.DeleteServiceAccountResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.ServiceAccountServiceClient.DeleteServiceAccount, s.ServiceAccounts.DeleteServiceAccount)
}

// CreateGroup implements GroupService.
func (s *groupsAtHome) CreateGroup(ctx context.Context, req *identityv1.CreateGroupRequest) (*identityv1.CreateGroupResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.GroupServiceClient.CreateGroup, s.Groups.CreateGroup)
}

// UpdateGroup implements GroupService.
func (s *groupsAtHome) UpdateGroup(ctx context.Context, req *identityv1.UpdateGroupRequest) (*identityv1.UpdateGroupResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.GroupServiceClient.UpdateGroup, s.Groups.UpdateGroup)
}

// DeleteGroup implements GroupService.
func (s *groupsAtHome) DeleteGroup(ctx context.Context, req *identityv1.DeleteGroupRequest) (*identityv1.DeleteGroupResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.GroupServiceClient.DeleteGroup, s.Groups.DeleteGroup)
}

// ChangeGroupMembers implements GroupService.
func (s *groupsAtHome) ChangeGroupMembers(ctx context.Context, req *identityv1.ChangeGroupMembersRequest) (*identityv1.ChangeGroupMembersResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.GroupServiceClient.ChangeGroupMembers, s.Groups.ChangeGroupMembers)
}
