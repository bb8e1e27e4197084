package rpc_test

import (
	"testing"

	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/home/hometest"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	"github.com/meridian-iam/meridian/services/authz/internal/rpc"
)

// Whoever adds a write sends it home.
func TestWritesAreSentHome(t *testing.T) {
	t.Parallel()
	for service, serve := range map[string]func(*home.Router) any{
		authzv1connect.RelationshipServiceName: func(ways *home.Router) any { return rpc.RelationshipsAtHome(&rpc.Relationships{}, ways) },
		authzv1connect.RoleServiceName:         func(ways *home.Router) any { return rpc.RolesAtHome(&rpc.Roles{}, ways) },
		authzv1connect.ModelServiceName:        func(ways *home.Router) any { return rpc.ModelsAtHome(&rpc.Models{}, ways) },
	} {
		hometest.Complete(t, service, serve)
	}
}
