package relay

import (
	"context"
	"log/slog"
	"time"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// yield is what a relay knows of its bus, while it fails.
type yield struct {
	// since is when the bus began to fail; zero while it works.
	since time.Time
	// pause is for how long the lease was left to others the last time.
	pause time.Duration
	// over says that it is left to them now.
	over bool
}

// A lease is left to others for several of its lives, and for longer each time:
// when it is asked for again, nobody publishes for a while.
const (
	firstYield   = 4 // leases
	longestYield = 5 * time.Minute
)

// yielding gives the lease away when the bus has failed for too long: its stream
// may take no writes though the region is well, as on a full disk. A relay of
// another region publishes into its own stream meanwhile.
func (r *Relay) yielding(ctx context.Context, err error) {
	now := r.c.Clock()
	switch {
	case err == nil:
		r.yield = yield{}
		return
	case r.c.Yield <= 0 || !fault.Is(err, commonv1.Reason_BUS_UNAVAILABLE):
		return
	case r.yield.since.IsZero():
		r.yield.since = now
	}
	if !r.lease.held || now.Sub(r.yield.since) < r.c.Yield {
		return
	}
	r.yield.pause = min(max(2*r.yield.pause, firstYield*r.c.Lease), longestYield)
	r.yield.over = true
	r.release(ctx)
	r.adopted, r.lease.renew = false, now.Add(r.yield.pause)
	r.c.Log.WarnContext(ctx, "relay leaves its lease to others: its bus takes no writes",
		slog.Duration("pause", r.yield.pause), slog.String("error", err.Error()))
}

// resume asks for a lease that was left to others: the bus is back.
func (r *Relay) resume() {
	if r.yield.over {
		r.yield, r.lease.renew = yield{}, time.Time{}
	}
}
