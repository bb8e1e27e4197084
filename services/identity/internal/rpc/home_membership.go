package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/home"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// MembershipsAtHome serves MembershipService with writes executed at the
// organization's home.
func MembershipsAtHome(s *Memberships, ways *home.Router) identityv1connect.MembershipServiceHandler {
	return &membershipsAtHome{s, home.Clients(ways, identityv1connect.NewMembershipServiceClient)}
}

// AddMember implements MembershipService.
func (s *membershipsAtHome) AddMember(ctx context.Context, req *identityv1.AddMemberRequest) (*identityv1.AddMemberResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.MembershipServiceClient.AddMember, s.Memberships.AddMember)
}

// UpdateMember implements MembershipService.
func (s *membershipsAtHome) UpdateMember(ctx context.Context, req *identityv1.UpdateMemberRequest) (*identityv1.UpdateMemberResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.MembershipServiceClient.UpdateMember, s.Memberships.UpdateMember)
}

// SuspendMember implements MembershipService.
func (s *membershipsAtHome) SuspendMember(ctx context.Context, req *identityv1.SuspendMemberRequest) (*identityv1.SuspendMemberResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.MembershipServiceClient.SuspendMember, s.Memberships.SuspendMember)
}

// ResumeMember implements MembershipService.
func (s *membershipsAtHome) ResumeMember(ctx context.Context, req *identityv1.ResumeMemberRequest) (*identityv1.ResumeMemberResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.MembershipServiceClient.ResumeMember, s.Memberships.ResumeMember)
}

// RemoveMember implements MembershipService.
func (s *membershipsAtHome) RemoveMember(ctx context.Context, req *identityv1.RemoveMemberRequest) (*identityv1.RemoveMemberResponse, error) {
	return home.Send(ctx, s.peers, req.GetOrganization(), req, identityv1connect.MembershipServiceClient.RemoveMember, s.Memberships.RemoveMember)
}
