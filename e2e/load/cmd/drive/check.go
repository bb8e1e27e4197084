package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/meridian-iam/meridian/e2e/load/result"
	"github.com/meridian-iam/meridian/e2e/load/target"
	"github.com/meridian-iam/meridian/e2e/load/workset"
)

// readChecks returns the questions of a run.
func readChecks(o options) ([]workset.Check, error) {
	checks, err := workset.ReadChecks(o.workset)
	if err != nil {
		return nil, err
	}
	if o.hot > 0 {
		checks = checks[:min(o.hot, len(checks))]
	}
	if len(checks) == 0 {
		return nil, errors.New("the work set has no checks")
	}
	return checks, nil
}

// check asks the checks of the work set, from every worker, and compares the
// answers. Each worker starts elsewhere in the file.
func check(ctx context.Context, t target.Target, o options, r *result.Result) error {
	checks, err := readChecks(o)
	if err != nil {
		return err
	}
	return loop(ctx, o, r, func(ctx context.Context, w, n int, y *tally) (int, int, error) {
		q := checks[(w*len(checks)/o.workers+n)%len(checks)]
		allowed, err := t.Check(ctx, q, o.freshness())
		if err == nil && allowed != q.Expected {
			y.lie(wrong(q, allowed))
		}
		return 1, 0, err
	})
}

// batch asks the checks of the work set, o.batch in a call.
func batch(ctx context.Context, t target.Target, o options, r *result.Result) error {
	checks, err := readChecks(o)
	if err != nil {
		return err
	}
	batches := batchesOf(checks, o.batch, t.Place)
	return loop(ctx, o, r, func(ctx context.Context, w, n int, y *tally) (int, int, error) {
		questions := batches[(w*len(batches)/o.workers+n)%len(batches)]
		answers, err := t.Batch(ctx, questions, o.freshness())
		for i, allowed := range answers {
			if allowed != questions[i].Expected {
				y.lie(wrong(questions[i], allowed))
			}
		}
		return len(answers), 0, err
	})
}

// batchesOf groups questions of one place, in their order; only the last batch
// of a place may be short, and where there is another it is left out.
func batchesOf(checks []workset.Check, size int, place func(workset.Object) string) [][]workset.Check {
	var places []string
	of := make(map[string][]workset.Check)
	for _, q := range checks {
		at := place(q.Object)
		if of[at] == nil {
			places = append(places, at)
		}
		of[at] = append(of[at], q)
	}
	var whole, short [][]workset.Check
	for _, at := range places {
		for questions := range slices.Chunk(of[at], size) {
			if len(questions) == size {
				whole = append(whole, questions)
			} else {
				short = append(short, questions)
			}
		}
	}
	if len(whole) > 0 {
		return whole
	}
	return short
}

func wrong(q workset.Check, allowed bool) string {
	return fmt.Sprintf("%s %s %s (%s) is %v", q.Subject, q.Permission, q.Object, q.Kind, allowed)
}
