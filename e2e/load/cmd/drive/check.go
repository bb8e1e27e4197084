package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/meridian-iam/meridian/e2e/load/latency"
	"github.com/meridian-iam/meridian/e2e/load/workset"
)

// tally is what one worker counts.
type tally struct {
	latency              latency.Histogram
	wrong, errors        uint64
	lastWrong, lastError string
}

// check asks the checks of the work set, from every worker, and compares the
// answers.
func check(ctx context.Context, c *client, o options, r *result) error {
	checks, err := workset.ReadChecks(o.workset)
	if err != nil {
		return err
	}
	if o.hot > 0 {
		checks = checks[:min(o.hot, len(checks))]
	}
	if len(checks) == 0 {
		return errors.New("the work set has no checks")
	}
	s, err := readState(o)
	if err != nil {
		return err
	}
	if err := s.ready(ctx, c, checks); err != nil {
		return err
	}

	from := time.Now().Add(time.Duration(o.warmup) * time.Second)
	until := from.Add(time.Duration(o.seconds) * time.Second)
	tallies := make([]tally, o.workers)
	var workers sync.WaitGroup
	for n := range tallies {
		workers.Go(func() {
			// Each worker starts elsewhere in the file.
			a := asking{client: c, o: o, state: s, checks: checks, next: n * len(checks) / o.workers}
			for ctx.Err() == nil && time.Now().Before(until) {
				a.one(ctx, &tallies[n], from, until)
			}
		})
	}
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	r.add(tallies)
	r.took(until.Sub(from))
	return nil
}

// ready waits until each place that a check is about has all that was loaded.
func (s state) ready(ctx context.Context, c *client, checks []workset.Check) error {
	seen := make(map[string]bool)
	for _, q := range checks {
		in, err := s.of(q.Object)
		if err != nil {
			return err
		}
		if seen[in.Organization] || in.Revision == "" {
			continue
		}
		seen[in.Organization] = true
		if _, err := c.allowed(ctx, in, q, atLeast(in.Revision)); err != nil {
			return fmt.Errorf("wait for what was loaded: %w", err)
		}
	}
	return nil
}

// asking is one worker's way through the checks.
type asking struct {
	client *client
	o      options
	state  state
	checks []workset.Check
	next   int
}

// one asks the next check. Wrong answers count always; the time counts when the
// answer came between from and until, so that slow calls are not lost.
func (a *asking) one(ctx context.Context, y *tally, from, until time.Time) {
	q := a.checks[a.next%len(a.checks)]
	a.next++
	in, err := a.state.of(q.Object)
	if err != nil {
		y.fail(err)
		return
	}
	start := time.Now()
	allowed, err := a.client.allowed(ctx, in, q, a.o.freshness())
	end := time.Now()
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		y.fail(err)
		return
	case allowed != q.Expected:
		y.wrong++
		y.lastWrong = fmt.Sprintf("%s %s %s (%s) is %v", q.Subject, q.Permission, q.Object, q.Kind, allowed)
	}
	if !end.Before(from) && end.Before(until) {
		y.latency.Record(end.Sub(start))
	}
}

func (y *tally) fail(err error) {
	y.errors++
	y.lastError = err.Error()
}

// add sums up what the workers counted.
func (r *result) add(tallies []tally) {
	var all latency.Histogram
	for n := range tallies {
		y := &tallies[n]
		all.Merge(&y.latency)
		r.Wrong += y.wrong
		r.Errors += y.errors
		if y.lastWrong != "" {
			r.LastWrong = y.lastWrong
		}
		if y.lastError != "" {
			r.LastError = y.lastError
		}
	}
	r.Ops = all.Count()
	r.Latency = quantilesOf(&all)
}
