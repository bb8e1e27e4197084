package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/e2e/load/result"
	"github.com/meridian-iam/meridian/e2e/load/target"
	"github.com/meridian-iam/meridian/e2e/load/workset"
)

// part is what one call loads. All its tuples belong to one place.
type part struct {
	place  string
	tuples []workset.Tuple
}

// loader writes all relationships of a work set.
type loader struct {
	target target.Target
	o      options
	opened map[string]bool
}

// load makes places ready and writes the relationships. The time ends when
// answers see all of it.
func load(ctx context.Context, t target.Target, o options, r *result.Result) error {
	l := &loader{target: t, o: o, opened: make(map[string]bool)}
	from, start := o.who.Now(), time.Now()
	if err := l.all(ctx, r); err != nil {
		return err
	}
	if err := t.Settle(ctx); err != nil {
		return err
	}
	r.Organizations = len(l.opened)
	r.Took(time.Since(start), o.who.Now().Since(from))
	return nil
}

// all reads the tuples and lets the workers load them.
func (l *loader) all(ctx context.Context, r *result.Result) error {
	group, ctx := errgroup.WithContext(ctx)
	parts := make(chan part)
	group.Go(func() error {
		defer close(parts)
		return l.read(ctx, parts)
	})
	tallies := make([]tally, l.o.workers)
	created := make([]uint64, l.o.workers)
	for n := range tallies {
		group.Go(func() error {
			for p := range parts {
				fresh, err := l.send(ctx, p, &tallies[n])
				if err != nil {
					return err
				}
				created[n] += fresh
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for n := range tallies {
		count(r, &tallies[n])
		r.Created += created[n]
	}
	r.Latency = result.QuantilesOf(merged(tallies))
	return nil
}

func (l *loader) send(ctx context.Context, p part, y *tally) (created uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	start := time.Now()
	if created, err = l.target.Load(ctx, p.place, p.tuples); err != nil {
		return 0, fmt.Errorf("load: %w", err)
	}
	y.latency.Record(time.Since(start))
	y.ops += uint64(len(p.tuples))
	return created, nil
}

// read makes parts of the tuples, each of one place, and opens a place when its
// first tuple comes. Tuples of one organization lie together in the file.
func (l *loader) read(ctx context.Context, parts chan<- part) error {
	var current part
	flush := func() error {
		if len(current.tuples) == 0 {
			return nil
		}
		select {
		case parts <- current:
			current.tuples = nil
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := workset.EachTuple(l.o.workset, func(t workset.Tuple) error {
		place := l.target.Place(t.Object)
		if place != current.place || len(current.tuples) == l.o.batch {
			if err := flush(); err != nil {
				return err
			}
		}
		if err := l.open(ctx, place); err != nil {
			return err
		}
		current.place = place
		current.tuples = append(current.tuples, t)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

func (l *loader) open(ctx context.Context, place string) error {
	if l.opened[place] {
		return nil
	}
	l.opened[place] = true
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return l.target.Open(ctx, place)
}
