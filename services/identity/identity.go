// Package identity is the identity service: who the customers are, and their people.
package identity

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/deletion"
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
	Home *home.Router
	// BlindKey is what addresses are found by. Zero: no user has an address.
	BlindKey BlindKey
	Clock    func() time.Time // nil means time.Now
	Logger   *slog.Logger     // nil means slog.Default
	Metrics  prometheus.Registerer
}

// Service is the identity service.
type Service struct {
	organizations *rpc.Organizations
	tokens        *rpc.APITokens
	deletions     *deletion.Worker
	users         *rpc.Users
	accounts      *rpc.ServiceAccounts
	groups        *rpc.Groups
	memberships   *rpc.Memberships
	home          *home.Router
	fold          store.Fold
}

// New wires the service.
func New(o Options) *Service {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Service{
		organizations: &rpc.Organizations{DB: o.DB, Log: o.Log, Region: o.Region, Regions: o.Regions, Clock: o.Clock},
		tokens:        &rpc.APITokens{DB: o.DB, Log: o.Log, PlatformRegion: o.Regions[0], Clock: o.Clock},
		deletions: deletion.New(deletion.Options{
			DB: o.DB, Log: o.Log, Region: o.Region, Clock: o.Clock, Logger: o.Logger, Metrics: o.Metrics,
			Removals: []deletion.Removal{deletion.Tokens{Clock: o.Clock}},
		}),
		users: &rpc.Users{
			DB: o.DB, Log: o.Log, Region: o.Region, Regions: o.Regions, Blind: o.BlindKey, Clock: o.Clock,
		},
		memberships: &rpc.Memberships{DB: o.DB, Log: o.Log, Blind: o.BlindKey, Clock: o.Clock},

		home: o.Home,
		fold: store.Fold{Log: o.Log, Blind: o.BlindKey},

		accounts: &rpc.ServiceAccounts{DB: o.DB, Log: o.Log, Clock: o.Clock},
		groups:   &rpc.Groups{DB: o.DB, Log: o.Log, Clock: o.Clock},
	}
}

// Mount adds the service's procedures to a server.
func (s *Service) Mount(mount func(path string, h http.Handler), options ...connect.HandlerOption) {
	mount(identityv1connect.NewOrganizationServiceHandler(rpc.OrganizationsAtHome(s.organizations, s.home), options...))
	mount(identityv1connect.NewApiTokenServiceHandler(rpc.APITokensAtHome(s.tokens, s.home), options...))
	mount(identityv1connect.NewUserServiceHandler(rpc.UsersAtHome(s.users, s.home), options...))
	mount(identityv1connect.NewMembershipServiceHandler(rpc.MembershipsAtHome(s.memberships, s.home), options...))
	mount(identityv1connect.NewServiceAccountServiceHandler(rpc.ServiceAccountsAtHome(s.accounts, s.home), options...))
	mount(identityv1connect.NewGroupServiceHandler(rpc.GroupsAtHome(s.groups, s.home), options...))
}

// Run does what no call waits for until ctx ends: it deletes the organizations whose
// time has come.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.deletions.Run(ctx) })
	return group.Wait()
}

// Verifier verifies API tokens straight from this service's table.
func (s *Service) Verifier() principal.Verifier { return s.tokens }

// Bootstrap makes the platform's first token, for the operator.
func (s *Service) Bootstrap(ctx context.Context, name string, lifetime time.Duration) (secret.String, error) {
	return s.tokens.Bootstrap(ctx, name, lifetime)
}

// Fold rebuilds this service's rows from a log.
func (s *Service) Fold() eventlog.Fold { return s.fold }
