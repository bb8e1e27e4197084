package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// rebuildPage is how many logs, and how many events of a log, are read at once.
const rebuildPage = 500

// adopt gets to know the stream that this relay publishes to, before it
// publishes. A stream that was replaced while the relay led, or that is empty,
// was lost: it is filled again from the events table first. A stream of another
// region that this relay takes over for may be empty.
func (r *Relay) adopt(stop, work context.Context) error {
	if r.created != 0 && !r.replaced {
		return nil
	}
	end, err := r.end(work)
	if err != nil {
		return err
	}
	if empty := end.Sequence == 0 && r.c.Region == r.c.Bus.Region(); empty || r.replaced {
		if err := r.refill(stop, work, end.Stream); err != nil {
			return err
		}
	}
	r.created, r.replaced = end.Created, false
	return nil
}

func (r *Relay) refill(stop, work context.Context, stream string) error {
	ctx, cancel := context.WithCancel(work)
	defer cancel()
	defer context.AfterFunc(stop, cancel)()
	published, err := Rebuild(ctx, r.c, func(uint64) { r.lead(work) })
	if err != nil {
		return err
	}
	if published > 0 {
		r.c.Log.WarnContext(stop, "empty stream was filled from the events table",
			slog.String("stream", stream), slog.Uint64("events", published))
	}
	return nil
}

// Rebuild publishes every event of the region's logs again from the events
// table, each log in order, for a stream that was lost. The relay does it by
// itself when it finds its stream empty or made anew; an operator does it for a
// stream that lost a part, or when a rebuild was interrupted. Consumers drop
// what they have. progress is called now and then with the number of events.
//
// Errors: BUS_UNAVAILABLE, DATABASE_UNAVAILABLE, EVENT_CORRUPT; it may be
// repeated.
func Rebuild(ctx context.Context, c Config, progress func(events uint64)) (events uint64, err error) {
	if c.DB == nil {
		return 0, errors.New("rebuild: the database is required")
	}
	var total atomic.Uint64
	for after := ""; ; {
		heads, err := c.Store.Heads(ctx, c.DB.Pool(), after, rebuildPage)
		if err != nil {
			return total.Load(), fmt.Errorf("rebuild: %w", err)
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(orDefault(c.Workers, 8))
		for _, h := range heads {
			after = h.Log
			if h.HomeRegion != c.Region {
				continue
			}
			group.Go(func() error { return republish(ctx, c, h, &total) })
		}
		if err := group.Wait(); err != nil {
			return total.Load(), fmt.Errorf("rebuild: %w", err)
		}
		progress(total.Load())
		if len(heads) < rebuildPage {
			return total.Load(), nil
		}
	}
}

// republish sends one log up to its head.
func republish(ctx context.Context, c Config, head eventlog.Head, total *atomic.Uint64) error {
	for from := uint64(1); from <= head.Sequence; {
		events, err := c.Store.Read(ctx, c.DB.Pool(), head.Log, from, rebuildPage)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return fmt.Errorf("log %s: no event %d, and the head is %d", head.Log, from, head.Sequence)
		}
		for _, e := range events {
			if _, err := c.Bus.Publish(ctx, e); err != nil {
				return err
			}
		}
		from += uint64(len(events))
		total.Add(uint64(len(events)))
	}
	return nil
}
