// Package identity is the identity service: who the customers are, and their people.
package identity

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/mail"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/identity/internal/deletion"
	"github.com/meridian-iam/meridian/services/identity/internal/legacy"
	"github.com/meridian-iam/meridian/services/identity/internal/proof"
	"github.com/meridian-iam/meridian/services/identity/internal/recheck"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
	"github.com/meridian-iam/meridian/services/identity/internal/sweep"
	"github.com/meridian-iam/meridian/services/identity/internal/usage"
)

// Options are what the service needs.
type Options struct {
	Config Config
	DB     *sqldb.DB
	Log    *eventlog.Store
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
	// Mail takes letters; nil: as the configuration says. Whoever gives it runs it.
	Mail *mail.Queue
	// Resolver looks up the records that prove domains; nil: the DNS.
	Resolver Resolver
	Logger   *slog.Logger // nil: nothing is logged
	Metrics  prometheus.Registerer
}

// Resolver looks up TXT records in the DNS. *net.Resolver is one.
type Resolver = proof.Resolver

// Service is the identity service.
type Service struct {
	organizations   *rpc.Organizations
	tokens          *rpc.APITokens
	domains         *rpc.Domains
	deletions       *deletion.Worker
	rechecks        *recheck.Worker
	users           *rpc.Users
	accounts        *rpc.ServiceAccounts
	groups          *rpc.Groups
	memberships     *rpc.Memberships
	invitations     *rpc.Invitations
	credentials     *rpc.Credentials
	authentications *rpc.Authentications
	usage           *usage.Recorder
	migration       *rpc.Migration
	sweeper         *sweep.Sweeper
	mail            *mail.Queue
	// relatedOrigins is a JSON document, or nil.
	relatedOrigins []byte
	home           *home.Router
	fold           store.Fold
}

// New wires the service.
//
// Errors: a configuration that is wrong.
func New(o Options) (*Service, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Resolver == nil {
		dns, err := proof.DNS(o.Config.DNSServer)
		if err != nil {
			return nil, fmt.Errorf("identity.dns_server: %w", err)
		}
		o.Resolver = dns
	}
	factors, err := o.Config.factors()
	if err != nil {
		return nil, err
	}
	post, queue, err := o.post()
	if err != nil {
		return nil, err
	}
	s := &Service{
		mail: queue, home: o.Home, fold: store.Fold{Log: o.Log, Blind: o.BlindKey},
		usage: usage.New(o.DB, o.Clock, o.Logger), sweeper: &sweep.Sweeper{DB: o.DB, Clock: o.Clock, Logger: o.Logger},
	}
	if factors.Passkeys != nil {
		s.relatedOrigins = factors.Passkeys.WellKnown()
	}
	s.serve(o, factors, post)
	s.work(o)
	return s, nil
}

// serve wires what answers calls.
func (s *Service) serve(o Options, factors rpc.Factors, post *rpc.Post) {
	s.organizations = &rpc.Organizations{DB: o.DB, Log: o.Log, Region: o.Region, Regions: o.Regions, Clock: o.Clock}
	s.tokens = &rpc.APITokens{DB: o.DB, Log: o.Log, PlatformRegion: o.Regions[0], Usage: s.usage, Clock: o.Clock}
	s.domains = &rpc.Domains{DB: o.DB, Log: o.Log, Resolver: o.Resolver, Clock: o.Clock}
	s.users = &rpc.Users{DB: o.DB, Log: o.Log, Region: o.Region, Regions: o.Regions, Blind: o.BlindKey, Clock: o.Clock}
	s.memberships = &rpc.Memberships{DB: o.DB, Log: o.Log, Blind: o.BlindKey, Clock: o.Clock}
	s.accounts = &rpc.ServiceAccounts{DB: o.DB, Log: o.Log, Clock: o.Clock, RevokeTokens: rpc.RevokeTokensOfAccount}
	s.groups = &rpc.Groups{DB: o.DB, Log: o.Log, Clock: o.Clock}
	s.invitations = &rpc.Invitations{DB: o.DB, Log: o.Log, Clock: o.Clock, Users: s.users, Memberships: s.memberships, Post: post}
	s.users.Invitations = s.invitations
	s.sweeper.Expire, s.sweeper.Region = s.invitations.Expire, o.Region
	s.credentials = &rpc.Credentials{DB: o.DB, Log: o.Log, Blind: o.BlindKey, Factors: factors, Post: post, Clock: o.Clock}
	s.authentications = &rpc.Authentications{
		DB: o.DB, Log: o.Log, Region: o.Region, Users: s.users, Blind: o.BlindKey, Factors: factors, Post: post,
		Legacy: &legacy.Hook{DB: o.DB, Blind: o.BlindKey, Checker: legacy.New(legacy.Options{Clock: o.Clock, Metrics: o.Metrics})},
		Meter:  rpc.NewMeter(o.Metrics), Clock: o.Clock,
	}
	s.migration = &rpc.Migration{
		DB: o.DB, Log: o.Log, Region: o.Region, Regions: o.Regions, PlatformRegion: o.Regions[0], Blind: o.BlindKey,
		Passwords: factors.Hasher, Clock: o.Clock,
	}
}

// work wires what no call waits for.
func (s *Service) work(o Options) {
	s.deletions = deletion.New(deletion.Options{
		DB: o.DB, Log: o.Log, Region: o.Region, Clock: o.Clock, Logger: o.Logger, Metrics: o.Metrics,
		Removals: []deletion.Removal{
			deletion.Tokens{Clock: o.Clock},
			s.invitations,
			deletion.Domains{},
			deletion.Groups{},
			deletion.ServiceAccounts{},
			deletion.Members{Log: o.Log},
		},
	})
	s.rechecks = recheck.New(recheck.Options{
		DB: o.DB, Log: o.Log, Region: o.Region, Resolver: o.Resolver, Clock: o.Clock, Logger: o.Logger, Metrics: o.Metrics,
	})
}

// Mount adds the service's procedures to a server.
func (s *Service) Mount(mount func(path string, h http.Handler), options ...connect.HandlerOption) {
	mount(identityv1connect.NewOrganizationServiceHandler(rpc.OrganizationsAtHome(s.organizations, s.home), options...))
	mount(identityv1connect.NewApiTokenServiceHandler(rpc.APITokensAtHome(s.tokens, s.home), options...))
	mount(identityv1connect.NewUserServiceHandler(rpc.UsersAtHome(s.users, s.home), options...))
	mount(identityv1connect.NewMembershipServiceHandler(rpc.MembershipsAtHome(s.memberships, s.home), options...))
	mount(identityv1connect.NewServiceAccountServiceHandler(rpc.ServiceAccountsAtHome(s.accounts, s.home), options...))
	mount(identityv1connect.NewGroupServiceHandler(rpc.GroupsAtHome(s.groups, s.home), options...))
	mount(identityv1connect.NewInvitationServiceHandler(rpc.InvitationsAtHome(s.invitations, s.home), options...))
	mount(identityv1connect.NewCredentialServiceHandler(rpc.CredentialsAtHome(s.credentials, s.home), options...))
	mount(identityv1connect.NewAuthenticationServiceHandler(rpc.AuthenticationsAtHome(s.authentications, s.home), options...))
	mount(identityv1connect.NewDomainServiceHandler(rpc.DomainsAtHome(s.domains, s.home), options...))
	mount(identityv1connect.NewMigrationServiceHandler(rpc.MigrationAtHome(s.migration, s.home), options...))
}

// Run does what no call waits for until ctx ends: it deletes the organizations whose
// time has come, looks whether verified domains still are, writes which tokens were
// used, sends letters, and sweeps authentications that are over.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.deletions.Run(ctx) })
	group.Go(func() error { return s.rechecks.Run(ctx) })
	group.Go(func() error { return s.usage.Run(ctx) })
	group.Go(func() error { return s.sweeper.Run(ctx) })
	if s.mail != nil {
		group.Go(func() error { return s.mail.Run(ctx) })
	}
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
