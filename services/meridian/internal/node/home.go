package node

import (
	"context"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/home"
	"github.com/meridian-iam/meridian/pkg/principal"
)

// openPeers makes what is needed to send writes to the regions where they are at
// home. The events of the logs say where that is; the row of a log does when none
// came yet.
func (n *Node) openPeers(context.Context) (err error) {
	if n.key, err = principal.LoadServiceKey(n.config.Keys.ServiceFile); err != nil {
		return err
	}
	if len(n.config.Peers) == 0 {
		return nil
	}
	n.homes = home.NewLogs(func(ctx context.Context, log string) (string, uint64, error) {
		head, err := n.log.Head(ctx, n.db.Pool(), log)
		return head.HomeRegion, head.Sequence, err
	})
	n.onClose(n.follower.Watch(func(r eventlog.Recorded) {
		n.homes.Learn(r.Envelope.GetLog(), r.Envelope.GetRegion(), r.Envelope.GetSequence())
	}))
	return nil
}

// ways are those of a service to its like in the other regions.
func (n *Node) ways(service string, of func(PeerConfig) string) *home.Router {
	urls := make(map[string]string, len(n.config.Peers))
	for region, p := range n.config.Peers {
		if at := of(p); at != "" {
			urls[region] = at
		}
	}
	return home.NewRouter(home.Options{
		Region: n.config.Region, Service: service, Key: n.key, URLs: urls, Logs: n.homes, Telemetry: n.telemetry,
	})
}
