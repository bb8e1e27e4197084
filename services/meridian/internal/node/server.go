package node

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/dial"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1/logv1connect"
	"github.com/meridian-iam/meridian/services/audit"
	"github.com/meridian-iam/meridian/services/identity"
	"github.com/meridian-iam/meridian/services/meridian/internal/logrpc"
)

func (n *Node) openServer(context.Context) error {
	n.users = &delegation{}
	options := serve.Options{
		Config: n.config.Server, Verifier: n.verifier(), ServiceKey: n.key, Delegation: n.users, Log: n.telemetry.Log, Telemetry: n.telemetry,
		CertificateHosts: n.config.Sessions.CertificateHosts(),
	}
	if n.tokens != nil {
		options.AccessTokens = n.tokens
		options.Resource = &serve.Resource{
			Identifiers: n.config.audiences(), Issuers: n.config.Issuers, Scopes: []string{principal.AllScopes}, Name: "Meridian",
			Places: slices.AppendSeq(slices.Clone(n.config.Sessions.Issuers), maps.Values(n.config.Sessions.CertificateURLs)),
		}
	}
	n.server = serve.New(options)
	n.connectDelegation(n.users)
	n.server.Ready("database", func(ctx context.Context) error { return n.db.Pool().Ping(ctx) })
	n.server.Ready("bus", n.bus.Ready)
	handling := n.server.HandlerOptions()
	n.folds = &logrpc.Logs{Store: n.log, DB: n.db, Follower: n.follower, Copy: n.bus.Copy}
	if n.identity != nil {
		n.identity.Mount(n.server.Mount, handling...)
		n.identity.MountHTTP(n.server)
		n.folds.Folds = append(n.folds.Folds, n.identity.Fold())
	}
	if n.authz != nil {
		n.authz.Mount(n.server.Mount, handling...)
		n.authz.MountHTTP(n.server)
		n.folds.Folds = append(n.folds.Folds, n.authz.Fold())
	}
	if n.config.hosts(Audit) {
		audit.New(audit.Options{Bus: n.bus, Logger: n.telemetry.Log}).Mount(n.server.Mount, handling...)
	}
	n.server.Mount(logv1connect.NewLogServiceHandler(n.folds, handling...))
	return nil
}

// verifier says whose a bearer token is: from identity's table or by asking
// identity, through a cache that revocations in the log empty.
func (n *Node) verifier() principal.Verifier {
	var upstream principal.Verifier
	if n.identity != nil {
		upstream = n.identity.Verifier()
	} else {
		c := dial.New(dial.Options{
			BaseURLs: n.config.IdentityURLs, Target: Identity, Service: Authz, Key: n.key, Telemetry: n.telemetry,
		})
		upstream = identity.RemoteVerifier{Client: identityv1connect.NewApiTokenServiceClient(c.HTTP, c.BaseURL, c.Options...)}
	}
	cache := principal.NewCache(principal.CacheConfig{Upstream: upstream, Clock: n.clock, Metrics: n.telemetry.Registry})
	n.onClose(n.follower.Watch(func(r eventlog.Recorded) { heed(cache, r) }))
	return cache
}

// heed makes a cache of tokens forget what an event changes.
func heed(cache *principal.Cache, r eventlog.Recorded) {
	kind, ours := strings.CutPrefix(r.Envelope.GetType(), "meridian.identity.event.v1.")
	if !ours || !strings.HasPrefix(kind, "ApiToken") && !strings.HasPrefix(kind, "Organization") && !strings.HasPrefix(kind, "ServiceAccount") {
		return
	}
	event, err := r.Message()
	if err != nil {
		return // what is cached ends by time
	}
	switch e := event.(type) {
	case *eventv1.ApiTokenRevoked:
		cache.Drop(e.GetToken())
	case *eventv1.ServiceAccountDisabled:
		cache.Forget(e.GetServiceAccount())
	case *eventv1.ServiceAccountEnabled:
		cache.Forget(e.GetServiceAccount())
	case *eventv1.ServiceAccountDeleted:
		cache.Forget(e.GetServiceAccount())
	case *eventv1.ApiTokenExpiryChanged:
		cache.Forget(e.GetToken())
	case *eventv1.OrganizationSuspended, *eventv1.OrganizationResumed, *eventv1.OrganizationDeletionScheduled,
		*eventv1.OrganizationDeletionCancelled, *eventv1.OrganizationDeleted:
		cache.Forget(r.Envelope.GetLog()) // the organization's id
	}
}
