package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/home"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

// UsersAtHome serves UserService with writes executed at the user's home, which is
// also where personal data is sealed and opened.
func UsersAtHome(s *Users, ways *home.Router) identityv1connect.UserServiceHandler {
	return &usersAtHome{s, home.Clients(ways, identityv1connect.NewUserServiceClient)}
}

// CreateUser implements UserService. The user is made in the home region that the
// request names, else in the realm's, else here.
func (s *usersAtHome) CreateUser(ctx context.Context, req *identityv1.CreateUserRequest) (*identityv1.CreateUserResponse, error) {
	if req.GetHomeRegion() == "" && req.GetRealm() != "" {
		return home.Send(ctx, s.peers, req.GetRealm(), req, identityv1connect.UserServiceClient.CreateUser, s.Users.CreateUser)
	}
	return home.SendTo(ctx, s.peers, req.GetHomeRegion(), req, identityv1connect.UserServiceClient.CreateUser, s.Users.CreateUser)
}

// UpdateUser implements UserService.
func (s *usersAtHome) UpdateUser(ctx context.Context, req *identityv1.UpdateUserRequest) (*identityv1.UpdateUserResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, identityv1connect.UserServiceClient.UpdateUser, s.Users.UpdateUser)
}

// ChangeEmail implements UserService.
func (s *usersAtHome) ChangeEmail(ctx context.Context, req *identityv1.ChangeEmailRequest) (*identityv1.ChangeEmailResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, identityv1connect.UserServiceClient.ChangeEmail, s.Users.ChangeEmail)
}

// SuspendUser implements UserService.
func (s *usersAtHome) SuspendUser(ctx context.Context, req *identityv1.SuspendUserRequest) (*identityv1.SuspendUserResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, identityv1connect.UserServiceClient.SuspendUser, s.Users.SuspendUser)
}

// ResumeUser implements UserService.
func (s *usersAtHome) ResumeUser(ctx context.Context, req *identityv1.ResumeUserRequest) (*identityv1.ResumeUserResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, identityv1connect.UserServiceClient.ResumeUser, s.Users.ResumeUser)
}

// EraseUser implements UserService.
func (s *usersAtHome) EraseUser(ctx context.Context, req *identityv1.EraseUserRequest) (*identityv1.EraseUserResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), req, identityv1connect.UserServiceClient.EraseUser, s.Users.EraseUser)
}

// export is a request that may be repeated, as those with a key.
type export struct{ *identityv1.ExportUserRequest }

// GetIdempotencyKey implements home.Write.
func (export) GetIdempotencyKey() string { return "export" }

// ExportUser implements UserService. It is no write, but only the user's home can
// open what the events have sealed.
func (s *usersAtHome) ExportUser(ctx context.Context, req *identityv1.ExportUserRequest) (*identityv1.ExportUserResponse, error) {
	return home.Send(ctx, s.peers, req.GetUser(), export{req},
		func(c identityv1connect.UserServiceClient, ctx context.Context, r export) (*identityv1.ExportUserResponse, error) {
			return c.ExportUser(ctx, r.ExportUserRequest)
		},
		func(ctx context.Context, r export) (*identityv1.ExportUserResponse, error) {
			return s.Users.ExportUser(ctx, r.ExportUserRequest)
		})
}
