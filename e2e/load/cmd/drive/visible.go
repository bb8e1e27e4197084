package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meridian-iam/meridian/e2e/load/latency"
	"github.com/meridian-iam/meridian/e2e/load/result"
	"github.com/meridian-iam/meridian/e2e/load/target"
	"github.com/meridian-iam/meridian/e2e/load/workset"
)

// visible writes one relationship at a time and asks until the answer is yes,
// then deletes it and asks until it is no. In the modes strong and token the
// first answer must be: any other is wrong.
func visible(ctx context.Context, t target.Target, o options, r *result.Result) error {
	probes, err := workset.ReadProbes(o.workset)
	if err != nil {
		return err
	}
	if len(probes) == 0 {
		return errors.New("the work set has no probes")
	}
	r.Workers = 1
	v := &watch{target: t, o: o, result: r}
	from := o.who.Now()
	start := time.Now()
	for _, p := range probes[:min(o.rounds, len(probes))] {
		if err := v.probe(ctx, p); err != nil {
			return err
		}
	}
	r.Ops = v.grant.Count()
	r.Took(time.Since(start), o.who.Now().Since(from))
	r.Latency = result.QuantilesOf(&v.grant)
	write, revoke := result.QuantilesOf(&v.write), result.QuantilesOf(&v.revoke)
	r.Write, r.Revoke = &write, &revoke
	return nil
}

type watch struct {
	target               target.Target
	o                    options
	result               *result.Result
	grant, write, revoke latency.Histogram
}

func (v *watch) probe(ctx context.Context, p workset.Probe) error {
	// A run that was cut short may have left it. Asking makes sure that what
	// could be stale is in memory.
	token, err := v.change(ctx, p.Tuple, false)
	if err != nil {
		return err
	}
	if err := v.until(ctx, p.Check, false, token); err != nil {
		return err
	}

	start := time.Now()
	if token, err = v.change(ctx, p.Tuple, true); err != nil {
		return err
	}
	v.write.Record(time.Since(start))
	if err := v.until(ctx, p.Check, true, token); err != nil {
		return err
	}
	v.grant.Record(time.Since(start))

	start = time.Now()
	if token, err = v.change(ctx, p.Tuple, false); err != nil {
		return err
	}
	if err := v.until(ctx, p.Check, false, token); err != nil {
		return err
	}
	v.revoke.Record(time.Since(start))
	return nil
}

func (v *watch) change(ctx context.Context, t workset.Tuple, present bool) (token string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return v.target.Change(ctx, t, present)
}

// until asks until the answer is want.
func (v *watch) until(ctx context.Context, q workset.Check, want bool, token string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	f := v.o.freshness()
	if v.o.read == readToken {
		// Where there are no tokens, the strongest that there is instead.
		f = target.Freshness{Strong: true, Token: token}
	}
	for {
		allowed, err := v.target.Check(ctx, q, f)
		switch {
		case err != nil:
			return err
		case allowed == want:
			return nil
		case v.o.read != readFast:
			v.result.Wrong++
			v.result.LastWrong = fmt.Sprintf("%s %s %s is %v after the write", q.Subject, q.Permission, q.Object, allowed)
			return nil
		}
	}
}
