// Package authz is the authorization service: models, relationships, and
// checks that are answered from memory.
package authz

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	"github.com/meridian-iam/meridian/services/authz/internal/assignment"
	"github.com/meridian-iam/meridian/services/authz/internal/authzen"
	"github.com/meridian-iam/meridian/services/authz/internal/budget"
	"github.com/meridian-iam/meridian/services/authz/internal/graphs"
	"github.com/meridian-iam/meridian/services/authz/internal/lanes"
	"github.com/meridian-iam/meridian/services/authz/internal/models"
	"github.com/meridian-iam/meridian/services/authz/internal/pinned"
	"github.com/meridian-iam/meridian/services/authz/internal/rollout"
	"github.com/meridian-iam/meridian/services/authz/internal/rpc"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
	"github.com/meridian-iam/meridian/services/authz/internal/sweep"
)

// Options are what the service needs.
type Options struct {
	Config   Config
	DB       *sqldb.DB
	Log      *eventlog.Store
	Follower *project.Follower
	// Region is where this process runs. It removes the expired relationships of
	// the region's organizations.
	Region string
	// StreamHead is the last sequence of a log in the region's streams.
	StreamHead func(ctx context.Context, log string) (sequence uint64, found bool, err error)
	// Dir holds the snapshots of graphs; it is made when absent.
	Dir string
	// Home knows the ways to the other regions; nil: every write is committed from
	// here.
	Home    *home.Router
	Clock   func() time.Time // nil means time.Now
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Service is the authorization service.
type Service struct {
	follower      *project.Follower
	registry      *models.Registry
	graphs        *graphs.Registry
	sweeper       *sweep.Sweeper
	rollouts      *rollout.Worker
	models        *rpc.Models
	relationships *rpc.Relationships
	roles         *rpc.Roles
	checks        *rpc.Checks
	lookups       *rpc.Lookups
	authzen       *authzen.Service
	home          *home.Router
}

// New wires the service.
func New(o Options) (*Service, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of snapshots: %w", err)
	}
	config := o.Config.withDefaults()
	if err := authzen.CheckPublicURL(config.PublicURL); err != nil {
		return nil, fmt.Errorf("authz.public_url: %w", err)
	}
	registry := models.New(authzcore.NewNames(), func(ctx context.Context, model string) ([]*eventv1.ModelFile, error) {
		row, err := store.FindModel(ctx, o.DB.Pool(), model)
		return row.Files, err
	})
	all := graphs.New(graphs.Options{
		DB: o.DB, Store: o.Log, Follower: o.Follower, StreamHead: o.StreamHead, Models: registry, Dir: o.Dir,
		MaxGraphBytes: config.MaxGraphBytes, MaxBytes: config.MaxBytes, IdleAfter: config.IdleAfter,
		Clock: o.Clock, Log: o.Logger, Metrics: o.Metrics,
	})
	assigner := &assignment.Assigner{Log: o.Log, Models: registry, Graphs: all}
	turns := lanes.New(listLanes())
	relationships := &rpc.Relationships{
		DB: o.DB, Log: o.Log, Models: registry, Graphs: all, Lanes: turns, Follower: o.Follower, Clock: o.Clock,
		WatchRetention: config.WatchRetention,
	}
	s := &Service{
		follower: o.Follower, registry: registry, graphs: all, home: o.Home,
		sweeper: sweep.New(sweep.Options{
			DB: o.DB, Log: o.Log, Region: o.Region, Clock: o.Clock, Logger: o.Logger, Metrics: o.Metrics,
		}),
		rollouts:      rollout.New(o.DB, assigner, o.Logger, o.Metrics),
		models:        &rpc.Models{DB: o.DB, Log: o.Log, Models: registry, Graphs: all, Assigner: assigner, Clock: o.Clock},
		relationships: relationships,
		roles:         &rpc.Roles{Relationships: relationships, Clock: o.Clock},
		checks:        &rpc.Checks{Graphs: all, Clock: o.Clock, Log: o.Logger},
		lookups: &rpc.Lookups{
			Graphs: all, Clock: o.Clock, Lanes: turns,
			Pinned: pinned.New(pinned.Config{
				Life: pinnedLife, MostLife: mostPinnedLife, MaxResults: maxPinned, MaxBytes: maxPinnedBytes, Clock: o.Clock,
			}),
			Sending: budget.New(maxSendingBytes, maxSendingBytes/4), Unread: config.StreamUnread,
		},
	}
	s.authzen = &authzen.Service{Checks: s.checks, Lookups: s.lookups, PublicURL: config.PublicURL}
	return s, nil
}

// Mount adds the service's procedures to a server.
func (s *Service) Mount(mount func(path string, h http.Handler), options ...connect.HandlerOption) {
	mount(authzv1connect.NewModelServiceHandler(rpc.ModelsAtHome(s.models, s.home), options...))
	mount(authzv1connect.NewRelationshipServiceHandler(rpc.RelationshipsAtHome(s.relationships, s.home), options...))
	mount(authzv1connect.NewCheckServiceHandler(s.checks, options...))
	mount(authzv1connect.NewLookupServiceHandler(s.lookups, options...))
	mount(authzv1connect.NewRoleServiceHandler(rpc.RolesAtHome(s.roles, s.home), options...))
}

// MountHTTP adds what is not Connect to a server: AuthZEN.
func (s *Service) MountHTTP(server *serve.Server) { s.authzen.Mount(server) }

// How many lists are kept between their pages, for how long after a page and in
// all, and in how many bytes.
const (
	pinnedLife     = time.Minute
	mostPinnedLife = 5 * time.Minute
	maxPinned      = 4096
	maxPinnedBytes = 256 << 20
)

// maxSendingBytes is what the lists have that are being streamed; one
// organization has a quarter.
const maxSendingBytes = 1 << 30

// listLanes bounds the lists that are computed at once. One organization has
// half of the processors at most.
func listLanes() lanes.Config {
	running := max(2, runtime.GOMAXPROCS(0))
	return lanes.Config{Running: running, RunningEach: running / 2, Present: 128, PresentEach: 16}
}

// Run keeps the service's replicas up to date, removes what expires and moves
// organizations to new models until ctx ends, and then writes the replicas'
// snapshots.
func (s *Service) Run(ctx context.Context) error {
	platform := s.follower.Attach(id.Platform, 0, s.registry.Apply)
	defer platform.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.sweeper.Run(ctx) })
	group.Go(func() error { return s.rollouts.Run(ctx) })
	group.Go(func() error { return s.graphs.Run(ctx) })
	return group.Wait()
}

// Fold rebuilds this service's rows from a log.
func (s *Service) Fold() eventlog.Fold { return store.Fold{} }
