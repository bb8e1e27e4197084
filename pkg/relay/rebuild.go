package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// rebuildPage is how many logs, and how many events of a log, are read at once.
const rebuildPage = 500

// adopt gets to know the stream that this relay publishes to, before it
// publishes. The database says which stream was filled completely, and how far
// it reached; any other is filled again from the events table first, and only
// then noted. A crash at any point leaves the note as it was. A stream of
// another region that this relay takes over for begins with what comes.
func (r *Relay) adopt(stop, work context.Context) error {
	if r.adopted {
		return nil
	}
	end, err := r.end(work)
	if err != nil {
		return err
	}
	fill, found, err := r.c.Store.Fill(work, r.c.Region, end.Stream)
	if err != nil {
		return err
	}
	if !found || shortened(end, fill) {
		if fill, err = r.refill(stop, work, end, found); err != nil {
			return err
		}
	}
	r.fill, r.adopted = fill, true
	return nil
}

// refill fills a stream and notes that it is filled. lost says that it was full
// before.
func (r *Relay) refill(stop, work context.Context, begin bus.Position, lost bool) (eventlog.Fill, error) {
	if lost {
		r.c.Log.WarnContext(stop, "stream was lost and is filled from the events table", slog.String("stream", begin.Stream))
	}
	published := uint64(0)
	if lost || r.home() {
		ctx, cancel := context.WithCancel(work)
		defer cancel()
		defer context.AfterFunc(stop, cancel)()
		var err error
		if published, err = Rebuild(ctx, r.c, func(uint64) { r.lead(work) }); err != nil {
			return eventlog.Fill{}, err
		}
	}
	end, err := r.end(work)
	if err != nil {
		return eventlog.Fill{}, err
	}
	if end.Created != begin.Created || end.Sequence < begin.Sequence || r.back.Load() {
		return eventlog.Fill{}, errReplaced
	}
	fill := eventlog.Fill{Stream: end.Stream, Created: end.Created, Sequence: end.Sequence}
	if err := r.c.Store.RecordFill(work, r.c.Region, fill); err != nil {
		return eventlog.Fill{}, err
	}
	if hook := r.c.Hooks.AfterFill; hook != nil {
		hook(published)
	}
	r.c.Log.InfoContext(stop, "stream holds all events",
		slog.String("stream", end.Stream), slog.Uint64("published_again", published))
	return fill, nil
}

// Rebuild publishes every event that ever went to the region's outbox again from
// the events table, each log in order, for a stream that was lost: those of logs
// that are at home there, and of logs that moved away, up to when they moved. The
// relay does it by itself when its stream was made anew or became shorter; an
// operator does it for a stream that lost a part in its middle. Consumers drop
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
		stays, err := c.Store.Stays(ctx, c.DB.Pool(), c.Region, heads)
		if err != nil {
			return total.Load(), fmt.Errorf("rebuild: %w", err)
		}
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(orDefault(c.Workers, 8))
		for log, own := range stays {
			group.Go(func() error { return republish(ctx, c, log, own, &total) })
		}
		if err := group.Wait(); err != nil {
			return total.Load(), fmt.Errorf("rebuild: %w", err)
		}
		progress(total.Load())
		if len(heads) < rebuildPage {
			return total.Load(), nil
		}
		after = heads[len(heads)-1].Log
	}
}

// republish sends stays of one log, in order.
func republish(ctx context.Context, c Config, log string, stays []eventlog.Stay, total *atomic.Uint64) error {
	for _, stay := range stays {
		for from := stay.First; from <= stay.Last; {
			limit := int(min(rebuildPage, stay.Last-from+1))
			events, err := c.Store.Read(ctx, c.DB.Pool(), log, from, limit)
			if err != nil {
				return err
			}
			if len(events) == 0 {
				return fmt.Errorf("log %s: no event %d, and there is one %d", log, from, stay.Last)
			}
			for _, e := range events {
				if _, err := c.Bus.Publish(ctx, e); err != nil {
					return err
				}
			}
			from += uint64(len(events))
			total.Add(uint64(len(events)))
		}
	}
	return nil
}
