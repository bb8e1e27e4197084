package rpc

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/id"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
)

type migrationAtHome struct {
	*Migration

	peers *home.Peers[identityv1connect.MigrationServiceClient]
}

// MigrationAtHome serves MigrationService with writes executed at home: users are made
// in the home region that the call names, and sources in the platform's.
func MigrationAtHome(s *Migration, ways *home.Router) identityv1connect.MigrationServiceHandler {
	return &migrationAtHome{s, home.Clients(ways, identityv1connect.NewMigrationServiceClient)}
}

// ImportUsers implements MigrationService.
func (s *migrationAtHome) ImportUsers(ctx context.Context, req *identityv1.ImportUsersRequest) (*identityv1.ImportUsersResponse, error) {
	return home.SendTo(ctx, s.peers, req.GetHomeRegion(), req, identityv1connect.MigrationServiceClient.ImportUsers, s.Migration.ImportUsers)
}

// PutSource implements MigrationService.
func (s *migrationAtHome) PutSource(ctx context.Context, req *identityv1.PutSourceRequest) (*identityv1.PutSourceResponse, error) {
	return home.Send(ctx, s.peers, id.Platform, req, identityv1connect.MigrationServiceClient.PutSource, s.Migration.PutSource)
}
