package node

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/activity"
	"github.com/meridian-iam/meridian/pkg/dial"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/services/sessions"
)

// openSessions wires the service sessions, which asks identity through the server.
func (n *Node) openSessions(context.Context) (err error) {
	if !n.config.hosts(Sessions) {
		return nil
	}
	wrap, err := eventlog.LoadRegionalKey(n.config.Keys.RegionalFile)
	if err != nil {
		return err
	}
	o := dial.Options{BaseURLs: n.config.IdentityURLs, Target: Identity + "-sessions", Service: Sessions, Key: n.key, Telemetry: n.telemetry}
	if n.config.hosts(Identity) {
		o.BaseURLs, o.HTTPClient = nil, n.server.Client()
	}
	recorder := activity.New(activity.Options{
		Config: n.config.Activity, Bus: n.bus, Region: n.config.Region, Service: Sessions,
		Clock: n.clock, Logger: n.telemetry.Log, Metrics: n.telemetry.Registry,
	})
	n.onRun(recorder.Run)
	options := sessions.Options{
		Config: n.config.Sessions, DB: n.db, Log: n.log, Region: n.config.Region, Regions: n.config.Regions, Clock: n.clock,
		Home:     n.ways(Sessions, func(p PeerConfig) string { return p.Sessions }),
		Identity: dial.New(o), Wrap: wrap, Delegation: n.users, Revocations: n.revocations, Certificates: n.config.Server.TLS.ClientCertificates,
		Activity: recorder.Record, Logger: n.telemetry.Log, Metrics: n.telemetry.Registry,
	}
	if !n.blind.IsZero() {
		options.MAC = n.blind.Index
	}
	if n.issued != nil {
		options.Tokens = n.issued
	}
	if n.sessions, err = sessions.New(options); err != nil {
		return err
	}
	n.onRun(n.sessions.Run)
	n.onClose(n.follower.Watch(n.sessions.Hear))
	n.sessions.Mount(n.server.Mount, n.server.HandlerOptions()...)
	n.sessions.MountHTTP(n.server)
	if len(n.config.Sessions.Issuers) > 0 {
		n.server.Ready("signing keys", n.sessions.Ready)
	}
	n.folds.Folds = append(n.folds.Folds, n.sessions.Fold())
	return nil
}
