package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/relay"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/telemetry"
	"github.com/meridian-iam/meridian/services/authz"
	"github.com/meridian-iam/meridian/services/identity"
	"github.com/meridian-iam/meridian/services/meridian/internal/logrpc"
	"github.com/meridian-iam/meridian/services/sessions"
)

// Node is one wired process.
type Node struct {
	config    Config
	telemetry *telemetry.Telemetry
	db        *sqldb.DB
	// clock is the database's.
	clock    func() time.Time
	bus      *bus.Bus
	log      *eventlog.Store
	follower *project.Follower
	// key is what services vouch for each other with; homes is nil without peers.
	key   *principal.ServiceKey
	blind identity.BlindKey
	homes *home.Logs
	// relays are the region's own, and one that stands by for each other region.
	relays   []*relay.Relay
	identity *identity.Service
	authz    *authz.Service
	sessions *sessions.Service
	server   *serve.Server
	// users says what users and service accounts may do.
	users *delegation
	// tokens verifies access tokens for this API, and issued those for any; revocations is
	// what they know of what ended. Nil without issuers.
	tokens, issued *accesstoken.Verifier
	revocations    *sessions.Revocations
	// folds are what log verify compares rows with.
	folds *logrpc.Logs

	// run goes on while the server needs it; close undoes what Open did, in
	// reverse.
	run   []func(context.Context) error
	close []func()
}

// Open wires a node. Nothing is served before Run.
func Open(ctx context.Context, c Config) (_ *Node, err error) {
	if c, err = c.resolve(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	n := &Node{config: c}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	for _, step := range []func(context.Context) error{
		n.openTelemetry, n.openDatabase, n.openBus, n.openLog, n.openPeers, n.openTokens, n.openServices, n.openServer, n.openSessions,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (n *Node) openTelemetry(context.Context) error {
	if n.config.Telemetry.Region == "" {
		n.config.Telemetry.Region = n.config.Region
	}
	t, stop, err := telemetry.New(n.config.Telemetry)
	if err != nil {
		return err
	}
	n.telemetry = t
	n.onClose(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = stop(ctx) // what cannot be sent in a second is lost
	})
	return nil
}

func (n *Node) openDatabase(ctx context.Context) error {
	db, err := sqldb.Open(ctx, sqldb.Config{URL: n.config.Database.URL, MaxConns: n.config.Database.MaxConnections})
	if err != nil {
		return err
	}
	n.db = db
	n.onClose(db.Close)
	if db.Flavor() == sqldb.PostgreSQL {
		// CockroachDB removes expired rows by itself.
		n.onRun(n.sweep)
	}
	own := func() time.Time { return time.Now().Add(n.config.ClockSkew) }
	clock, err := db.NewClock(ctx, own)
	if err != nil {
		return err
	}
	n.onRun(func(ctx context.Context) error { return clock.Run(ctx, n.telemetry.Log) })
	n.clock = clock.Now
	return nil
}

func (n *Node) openBus(ctx context.Context) error {
	b, err := bus.Open(ctx, bus.Config{
		URL: n.config.Bus.URL, CredentialsFile: n.config.Bus.CredentialsFile, Replicas: n.config.Bus.Replicas,
		StoreDir: filepath.Join(n.config.DataDir, "jetstream"), Region: n.config.Region, Mirrors: n.config.others(),
	}, n.telemetry.Log)
	if err != nil {
		return err
	}
	n.bus = b
	n.onClose(b.Close)
	return nil
}

// yieldAfter is how long a region's bus may fail before another region relays for
// it: longer than the election of a leader takes.
const yieldAfter = 10 * time.Second

func (n *Node) openLog(ctx context.Context) error {
	if err := n.blindKey(ctx); err != nil {
		return err
	}
	key, err := eventlog.LoadRegionalKey(n.config.Keys.RegionalFile)
	if err != nil {
		return err
	}
	n.log = eventlog.New(eventlog.Config{
		DB: n.db, Region: n.config.Region, Vault: eventlog.NewVault(key), Nudge: n.nudge, Clock: n.clock,
		Fingerprint: n.fingerprint(),
	})
	n.follower = project.NewFollower(project.Config{
		Bus: n.bus, Store: n.log, DB: n.db, Clock: n.clock, Log: n.telemetry.Log, Metrics: n.telemetry.Registry,
	})
	n.onRun(n.follower.Run)
	if !n.config.hosts(Relay) {
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name of this host: %w", err)
	}
	holder := fmt.Sprintf("%s/%d/%s", host, os.Getpid(), uuid.NewString())
	yield := time.Duration(0)
	if len(n.config.others()) > 0 {
		yield = yieldAfter
	}
	for _, region := range append([]string{n.config.Region}, n.config.others()...) {
		r := relay.New(relay.Config{
			DB: n.db, Store: n.log, Bus: n.bus, Region: region, Holder: holder, Yield: yield,
			Clock: n.clock, Metrics: n.telemetry.Registry, Log: n.telemetry.Log,
		})
		n.relays = append(n.relays, r)
		n.onRun(r.Run)
	}
	n.onRun(n.lookForStrays)
	return nil
}

// straysEvery is how often the outboxes of regions that this node does not know
// are looked for.
const straysEvery = 5 * time.Second

// lookForStrays says when events wait for a region that is not in the
// configuration: until a relay knows it, only the events table has them.
func (n *Node) lookForStrays(ctx context.Context) error {
	ticker := time.NewTicker(straysEvery)
	defer ticker.Stop()
	for said := ""; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		outboxes, err := n.log.Outboxes(ctx)
		if err != nil {
			continue // the relay says so
		}
		strays := slices.DeleteFunc(outboxes, func(region string) bool { return slices.Contains(n.config.Regions, region) })
		if now := strings.Join(strays, ", "); now != said {
			said = now
			if now != "" {
				n.telemetry.Log.WarnContext(ctx, "events wait for regions that this node does not know: name them in `regions`; until then only the events table has them",
					slog.String("regions", now))
			}
		}
	}
}

// nudge wakes the relay of a region after a commit: the region's own directly
// when it is in this process, and else whoever relays for it, over the bus.
func (n *Node) nudge(region string) {
	if len(n.relays) > 0 && region == n.config.Region {
		n.relays[0].Nudge(region)
	}
	n.bus.Nudge(region)
}

func (n *Node) openServices(ctx context.Context) (err error) {
	if n.config.hosts(Identity) {
		n.identity, err = identity.New(identity.Options{
			Config: n.config.Identity, DB: n.db, Log: n.log, Region: n.config.Region, Regions: n.config.Regions, BlindKey: n.blind, Clock: n.clock,
			Home:   n.ways(Identity, func(p PeerConfig) string { return p.Identity }),
			Logger: n.telemetry.Log, Metrics: n.telemetry.Registry,
		})
		if err != nil {
			return err
		}
		n.onRun(n.identity.Run)
	}
	if n.config.hosts(Authz) {
		n.authz, err = authz.New(authz.Options{
			Config: n.config.Authz, DB: n.db, Log: n.log, Follower: n.follower, Region: n.config.Region, StreamHead: n.bus.Last, Clock: n.clock,
			Dir:    filepath.Join(n.config.DataDir, "graphs"),
			Home:   n.ways(Authz, func(p PeerConfig) string { return p.Authz }),
			Logger: n.telemetry.Log, Metrics: n.telemetry.Registry,
		})
		if err != nil {
			return err
		}
		n.onRun(n.authz.Run)
	}
	return nil
}

func (n *Node) onRun(run func(context.Context) error) { n.run = append(n.run, run) }

func (n *Node) onClose(f func()) { n.close = append(n.close, f) }

// Close lets go of everything. It must be called after Run has returned, or
// instead of it.
func (n *Node) Close() {
	for _, v := range slices.Backward(n.close) {
		v()
	}
	n.close = nil
}

// Migrate brings the schemas of a configuration's database up to date. It needs
// nothing but the database.
func Migrate(ctx context.Context, c Config) error {
	url, err := c.databaseURL()
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	db, err := sqldb.Open(ctx, sqldb.Config{URL: url, MaxConns: 2})
	if err != nil {
		return err
	}
	defer db.Close()
	return sqldb.Migrate(ctx, db, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

// Migrate brings the schemas of the node's database up to date.
func (n *Node) Migrate(ctx context.Context) error {
	return sqldb.Migrate(ctx, n.db, n.telemetry.Log)
}

// Bootstrap makes the platform's first token.
func (n *Node) Bootstrap(ctx context.Context, name string, lifetime time.Duration) (secret.String, error) {
	if n.identity == nil {
		return secret.String{}, errors.New("this node does not host identity")
	}
	return n.identity.Bootstrap(ctx, name, lifetime)
}

// Verifier says whose token it is.
func (n *Node) Verifier() principal.Verifier { return n.identity.Verifier() }

// Extend adds what the node itself does not serve, before Listen.
func (n *Node) Extend(mount func(*serve.Server)) { mount(n.server) }

// Listen opens the node's port and returns its address.
func (n *Node) Listen(ctx context.Context) (net.Addr, error) { return n.server.Listen(ctx) }

// Run serves until ctx ends: then it refuses new calls, finishes what it
// accepted, publishes what was committed, writes snapshots and returns.
func (n *Node) Run(ctx context.Context) error {
	// What the server needs goes on until the server has finished.
	below, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, below := errgroup.WithContext(below)
	for _, run := range n.run {
		group.Go(func() error { return ended(below, run(below)) })
	}
	group.Go(func() error {
		defer stop()
		// A part that fails ends the server too.
		serving, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(below, cancel)()
		return n.server.Run(serving)
	})
	return group.Wait()
}

// The outcomes of mutations are kept for 24 h, so a look each minute keeps up.
const (
	sweepEvery = time.Minute
	sweepPage  = 1000
)

// sweep removes the outcomes of mutations that have expired.
func (n *Node) sweep(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		for deleted := int64(sweepPage); deleted == sweepPage; {
			var err error
			if deleted, err = n.log.Sweep(ctx, sweepPage); err != nil {
				n.telemetry.Log.WarnContext(ctx, "expired outcomes not removed", slog.Any("error", err))
			}
		}
	}
}

// ended tells a part that stopped because it was told to from one that failed.
func ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // it was told to stop
	case err == nil:
		return errors.New("a part of the node ended by itself")
	default:
		return err
	}
}
