package relay

import (
	"context"
	"log/slog"
	"time"
)

// lease is what this relay knows of its lease.
type lease struct {
	// until is when it is over for certain: counted from before it was asked for.
	until time.Time
	// renew is when to ask again.
	renew time.Time
	epoch uint64
	held  bool
}

// lead takes or extends the lease when it is time to, and says whether this
// relay has it.
func (r *Relay) lead(ctx context.Context) bool {
	now := r.c.Clock()
	if now.Before(r.lease.renew) {
		return r.holds()
	}
	r.lease.renew = now.Add(r.c.Lease / 3)
	bounded, cancel := context.WithTimeout(ctx, r.c.Lease/2)
	defer cancel()
	held, epoch, err := r.c.Store.Acquire(bounded, r.c.Region, r.c.Holder, r.c.Lease, r.home())
	switch {
	case err != nil:
		r.c.Log.WarnContext(ctx, "relay lease not renewed", slog.String("error", err.Error()))
	case held:
		if !r.lease.held || epoch != r.lease.epoch {
			r.c.Log.InfoContext(ctx, "relay leads", slog.Uint64("epoch", epoch))
			r.adopted = false
		}
		r.lease.held, r.lease.epoch, r.lease.until = true, epoch, now.Add(r.c.Lease)
	default:
		r.lost(ctx)
		// Another relay looks after the stream meanwhile.
		r.lease.held, r.adopted = false, false
	}
	return r.holds()
}

// home says that this relay is one of the region itself, not one of another
// region that stands by for it.
func (r *Relay) home() bool { return r.c.Region == r.c.Bus.Region() }

// lost says that another has the lease, or waits for it at home: then it is
// given back at once.
func (r *Relay) lost(ctx context.Context) {
	switch {
	case !r.lease.held:
	case r.home():
		r.c.Log.WarnContext(ctx, "relay lost its lease", slog.Uint64("epoch", r.lease.epoch))
	default:
		r.c.Log.InfoContext(ctx, "relay gives the lease back to the home region", slog.Uint64("epoch", r.lease.epoch))
		r.release(ctx)
	}
}

func (r *Relay) holds() bool {
	held := r.lease.held && r.c.Clock().Before(r.lease.until)
	r.metrics.leading(held)
	return held
}

// remaining is how long the lease is certainly held.
func (r *Relay) remaining() time.Duration { return r.lease.until.Sub(r.c.Clock()) }

func (r *Relay) release(ctx context.Context) {
	if !r.lease.held {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := r.c.Store.Release(ctx, r.c.Region, r.c.Holder); err != nil {
		r.c.Log.WarnContext(ctx, "relay lease not released", slog.String("error", err.Error()))
	}
	r.lease.held = false
	r.metrics.leading(false)
}
