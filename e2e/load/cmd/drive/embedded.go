package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/meridian-iam/meridian/e2e/load/result"
	"github.com/meridian-iam/meridian/e2e/load/workset"
	"github.com/meridian-iam/meridian/pkg/authzcore"
)

// embedded asks the engine the checks in this process: no transport, one
// goroutine.
func embedded(ctx context.Context, o options, r *result.Result) error {
	checks, err := readChecks(o)
	if err != nil {
		return err
	}
	questions := make([]authzcore.Question, len(checks))
	for i, q := range checks {
		questions[i] = authzcore.Question{Subject: q.Subject.String(), Permission: q.Permission, Resource: q.Object.String()}
	}
	v, err := buildView(o.workset, r)
	if err != nil {
		return err
	}
	allocated := allocations()
	asked := 0
	err = alone(ctx, o, r, func(n int, y *tally) (time.Duration, error) {
		asked++
		q := questions[n%len(questions)]
		warm(q)
		start := time.Now()
		d, err := v.Decide(ctx, q, authzcore.Circumstances{})
		took := time.Since(start)
		if err != nil {
			return took, err
		}
		if want := checks[n%len(checks)].Expected; d.Answer == authzcore.Conditional || (d.Answer == authzcore.Allow) != want {
			y.lie(fmt.Sprintf("%+v is %v", q, d.Answer))
		}
		return took, nil
	})
	each := float64(allocations()-allocated) / float64(max(asked, 1))
	r.Allocations = &each
	return err
}

// embeddedList asks the engine the lists in this process.
func embeddedList(ctx context.Context, o options, r *result.Result) error {
	lists, err := workset.ReadLists(o.workset)
	if err != nil {
		return err
	}
	v, err := buildView(o.workset, r)
	if err != nil {
		return err
	}
	var ids []string
	return alone(ctx, o, r, func(n int, y *tally) (time.Duration, error) {
		l := lists[n%len(lists)]
		start := time.Now()
		found, err := v.ListObjects(ctx, authzcore.ObjectQuery{
			Subject: l.Subject.String(), Permission: l.Permission, Type: l.ObjectType,
		}, authzcore.Circumstances{})
		took := time.Since(start)
		ids = ids[:0]
		for _, f := range found {
			ids = append(ids, strings.TrimPrefix(f.Name, l.ObjectType+":"))
		}
		if err == nil && !right(l, ids) {
			y.lie(wrongList(l, ids))
		}
		y.objects += uint64(len(ids))
		return took, err
	})
}

// alone asks from one goroutine, for the warm-up and the measured time. ask
// says how long the question alone took.
func alone(ctx context.Context, o options, r *result.Result, ask func(n int, y *tally) (time.Duration, error)) error {
	r.Workers = 1
	y := &tally{}
	from := time.Now().Add(time.Duration(o.warmup) * time.Second)
	until := from.Add(time.Duration(o.seconds) * time.Second)
	start := o.who.Now()
	for n, warm := 0, true; ctx.Err() == nil; n++ {
		now := time.Now()
		if warm && !now.Before(from) {
			warm, start = false, o.who.Now()
		}
		if now.After(until) {
			break
		}
		took, err := ask(n, y)
		y.calls++
		switch {
		case err != nil:
			y.fail(err)
		case !warm:
			y.latency.Record(took)
			y.ops++
		}
	}
	cores := o.who.Now().Since(start)
	count(r, y)
	r.Objects = float64(y.objects) / float64(max(y.calls, 1))
	r.Latency = result.QuantilesOf(&y.latency)
	r.Took(until.Sub(from), cores)
	r.CPU = r.Latency.Mean
	return ctx.Err()
}

// buildView loads a work set into a graph and notes what it weighs.
func buildView(dir string, r *result.Result) (*authzcore.View, error) {
	names := authzcore.NewNames()
	model, err := authzcore.Compile(names, []authzcore.File{{Path: "cloud.fga", Content: workset.Model}})
	if err != nil {
		return nil, fmt.Errorf("compile the model: %w", err)
	}
	var changes []authzcore.Change
	err = workset.EachTuple(dir, func(t workset.Tuple) error {
		changes = append(changes, authzcore.Change{Relationship: authzcore.Relationship{
			Resource: t.Object.String(), Relation: t.Relation, Subject: t.Subject.String(),
		}})
		return nil
	})
	if err != nil {
		return nil, err
	}
	before := heap()
	graph := authzcore.NewGraph(names)
	if err := graph.Apply(1, nil, model); err != nil {
		return nil, fmt.Errorf("apply the model: %w", err)
	}
	sequence := uint64(1)
	for part := range slices.Chunk(changes, 5000) {
		sequence++
		if err := graph.Apply(sequence, part, nil); err != nil {
			return nil, fmt.Errorf("apply relationships: %w", err)
		}
	}
	v := graph.View()
	r.Bytes = float64(heap()-before) / float64(max(v.Size().Relationships, 1))
	runtime.KeepAlive(changes)
	return v, nil
}

// warm reads a question's bytes: a caller has just written them.
func warm(q authzcore.Question) int {
	return strings.Count(q.Subject, ":") + strings.Count(q.Permission, ":") + strings.Count(q.Resource, ":")
}

func heap() uint64 {
	runtime.GC() //nolint:revive // what is garbage does not count
	runtime.GC() //nolint:revive // nor what finalizers and pools still held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func allocations() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
