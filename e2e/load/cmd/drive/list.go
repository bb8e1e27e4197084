package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/meridian-iam/meridian/e2e/load/result"
	"github.com/meridian-iam/meridian/e2e/load/target"
	"github.com/meridian-iam/meridian/e2e/load/workset"
)

// list asks for all objects of a subject, and compares the whole answers.
func list(ctx context.Context, t target.Target, o options, r *result.Result) error {
	lists, err := workset.ReadLists(o.workset)
	if err != nil {
		return err
	}
	if len(lists) == 0 {
		return errors.New("the work set has no lists")
	}
	return loop(ctx, o, r, func(ctx context.Context, w, n int, y *tally) (int, int, error) {
		l := lists[(w*len(lists)/o.workers+n)%len(lists)]
		ids, err := t.List(ctx, l, o.freshness())
		if err == nil && !right(l, ids) {
			y.lie(wrongList(l, ids))
		}
		return 1, len(ids), err
	})
}

func right(l workset.List, ids []string) bool {
	return len(ids) == l.Count && workset.Digest(ids) == l.Digest
}

func wrongList(l workset.List, ids []string) string {
	return fmt.Sprintf("%s %s of type %s: listed %d of %d objects, or others", l.Subject, l.Permission, l.ObjectType, len(ids), l.Count)
}
