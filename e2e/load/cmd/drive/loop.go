package main

import (
	"context"
	"sync"
	"time"

	"github.com/meridian-iam/meridian/e2e/load/latency"
	"github.com/meridian-iam/meridian/e2e/load/result"
	"github.com/meridian-iam/meridian/e2e/load/usage"
)

const (
	// callTimeout ends a call that hangs.
	callTimeout = 30 * time.Second
	// maxErrors ends a worker whose calls fail: the run is lost already.
	maxErrors = 100
)

// tally is what one worker counts.
type tally struct {
	latency              latency.Histogram
	calls, ops, objects  uint64 // in the measured time
	wrong, errors        uint64 // at any time
	lastWrong, lastError string
}

func (y *tally) fail(err error) {
	y.errors++
	y.lastError = err.Error()
}

func (y *tally) lie(what string) {
	y.wrong++
	y.lastWrong = what
}

// step is one call of a worker: n counts its calls. It returns how many
// questions were answered and how many objects were listed. An error is a call
// that failed; a wrong answer it tells the tally.
type step func(ctx context.Context, worker, n int, y *tally) (ops, objects int, err error)

// loop runs a closed loop: each worker makes its next call when it has the
// answer to the one before; first for the warm-up, then for the measured time.
func loop(ctx context.Context, o options, r *result.Result, call step) error {
	from := time.Now().Add(time.Duration(o.warmup) * time.Second)
	until := from.Add(time.Duration(o.seconds) * time.Second)
	tallies := make([]tally, o.workers)
	var workers sync.WaitGroup
	for w := range tallies {
		workers.Go(func() {
			for n := 0; ctx.Err() == nil && tallies[w].errors < maxErrors && time.Now().Before(until); n++ {
				one(ctx, w, n, &tallies[w], call, from, until)
			}
		})
	}
	working, done := context.WithCancel(ctx)
	go func() {
		workers.Wait()
		done()
	}()
	cores := o.during(working, from, until)
	<-working.Done()
	if err := ctx.Err(); err != nil {
		return err
	}
	var calls, objects uint64
	for n := range tallies {
		count(r, &tallies[n])
		calls, objects = calls+tallies[n].calls, objects+tallies[n].objects
	}
	if calls > 0 {
		r.Objects = float64(objects) / float64(calls)
	}
	r.Latency = result.QuantilesOf(merged(tallies))
	r.Took(until.Sub(from), cores)
	return nil
}

// one makes one call. Wrong answers count always; the time counts when the
// answer came between from and until, so that slow calls are not lost.
func one(ctx context.Context, worker, n int, y *tally, call step, from, until time.Time) {
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	start := time.Now()
	ops, objects, err := call(bounded, worker, n, y)
	end := time.Now()
	switch {
	case ctx.Err() != nil:
	case err != nil:
		y.fail(err)
	case !end.Before(from) && end.Before(until):
		y.latency.Record(end.Sub(start))
		y.calls++
		y.ops += uint64(ops)
		y.objects += uint64(objects)
	}
}

// during waits until the end and returns what was used from and until then.
func (o options) during(ctx context.Context, from, until time.Time) usage.Cores {
	wait(ctx, from)
	start := o.who.Now()
	wait(ctx, until)
	return o.who.Now().Since(start)
}

func wait(ctx context.Context, until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// count adds what a worker counted.
func count(r *result.Result, y *tally) {
	r.Ops += y.ops
	r.Wrong += y.wrong
	r.Errors += y.errors
	if y.lastWrong != "" {
		r.LastWrong = y.lastWrong
	}
	if y.lastError != "" {
		r.LastError = y.lastError
	}
}

func merged(tallies []tally) *latency.Histogram {
	var all latency.Histogram
	for n := range tallies {
		all.Merge(&tallies[n].latency)
	}
	return &all
}
