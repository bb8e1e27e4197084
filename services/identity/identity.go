// Package identity is the identity service: who the customers are. So far it
// keeps organizations and API tokens.
package identity

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

// Options are what the service needs.
type Options struct {
	DB  *sqldb.DB
	Log *eventlog.Store
	// Region is where this process runs; Regions are those of the deployment,
	// the platform's home first.
	Region  string
	Regions []string
	// Home knows the ways to the other regions; nil: every write is committed from
	// here.
	Home  *home.Router
	Clock func() time.Time // nil means time.Now
}

// Service is the identity service.
type Service struct {
	organizations *rpc.Organizations
	tokens        *rpc.APITokens
	home          *home.Router
}

// New wires the service.
func New(o Options) *Service {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Service{
		organizations: &rpc.Organizations{DB: o.DB, Log: o.Log, Region: o.Region, Regions: o.Regions, Clock: o.Clock},
		tokens:        &rpc.APITokens{DB: o.DB, Log: o.Log, PlatformRegion: o.Regions[0], Clock: o.Clock},
		home:          o.Home,
	}
}

// Mount adds the service's procedures to a server.
func (s *Service) Mount(mount func(path string, h http.Handler), options ...connect.HandlerOption) {
	mount(identityv1connect.NewOrganizationServiceHandler(rpc.OrganizationsAtHome(s.organizations, s.home), options...))
	mount(identityv1connect.NewApiTokenServiceHandler(rpc.APITokensAtHome(s.tokens, s.home), options...))
}

// Verifier verifies API tokens straight from this service's table.
func (s *Service) Verifier() principal.Verifier { return s.tokens }

// Bootstrap makes the platform's first token, for the operator.
func (s *Service) Bootstrap(ctx context.Context, name string, lifetime time.Duration) (secret.String, error) {
	return s.tokens.Bootstrap(ctx, name, lifetime)
}

// Fold rebuilds this service's rows from a log.
func (s *Service) Fold() eventlog.Fold { return store.Fold{} }
