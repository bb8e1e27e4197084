package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/meridian-iam/meridian/e2e/load/latency"
	"github.com/meridian-iam/meridian/e2e/load/workset"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// visible writes one relationship at a time and asks until the answer is yes,
// then deletes it and asks until it is no.
func visible(ctx context.Context, c *client, o options, r *result) error {
	probes, err := workset.ReadProbes(o.workset)
	if err != nil {
		return err
	}
	if len(probes) == 0 {
		return errors.New("the work set has no probes")
	}
	s, err := readState(o)
	if err != nil {
		return err
	}
	r.Workers = 1
	v := &watch{client: c, o: o, result: r, run: strconv.FormatInt(time.Now().UnixNano(), 36)}
	start := time.Now()
	for _, p := range probes[:min(o.rounds, len(probes))] {
		in, err := s.of(p.Tuple.Object)
		if err != nil {
			return err
		}
		if err := v.probe(ctx, in, p); err != nil {
			return err
		}
	}
	r.Ops = v.grant.Count()
	r.took(time.Since(start))
	r.Latency = quantilesOf(&v.grant)
	write, revoke := quantilesOf(&v.write), quantilesOf(&v.revoke)
	r.Write, r.Revoke = &write, &revoke
	return nil
}

type watch struct {
	client               *client
	o                    options
	result               *result
	run                  string
	writes               int
	grant, write, revoke latency.Histogram
}

func (v *watch) probe(ctx context.Context, in location, p workset.Probe) error {
	// A run that was cut short may have left it. Asking makes sure that what
	// could be stale is in memory.
	if err := v.change(ctx, in, authzv1.Operation_OPERATION_DELETE, p.Tuple); err != nil {
		return err
	}
	if err := v.until(ctx, in, p.Check, false); err != nil {
		return err
	}

	start := time.Now()
	if err := v.change(ctx, in, authzv1.Operation_OPERATION_TOUCH, p.Tuple); err != nil {
		return err
	}
	v.write.Record(time.Since(start))
	if err := v.until(ctx, in, p.Check, true); err != nil {
		return err
	}
	v.grant.Record(time.Since(start))

	start = time.Now()
	if err := v.change(ctx, in, authzv1.Operation_OPERATION_DELETE, p.Tuple); err != nil {
		return err
	}
	if err := v.until(ctx, in, p.Check, false); err != nil {
		return err
	}
	v.revoke.Record(time.Since(start))
	return nil
}

func (v *watch) change(ctx context.Context, in location, operation authzv1.Operation, t workset.Tuple) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	v.writes++
	_, err := v.client.relationships.WriteRelationships(ctx, &authzv1.WriteRelationshipsRequest{
		Organization:   in.Organization,
		Updates:        []*authzv1.RelationshipUpdate{{Operation: operation, Relationship: relationshipOf(t)}},
		IdempotencyKey: fmt.Sprintf("load-visible-%s-%d", v.run, v.writes),
	})
	if err != nil {
		return fmt.Errorf("write relationship: %w", err)
	}
	return nil
}

// until asks until the answer is want. In strong mode the first answer must be:
// any other is wrong.
func (v *watch) until(ctx context.Context, in location, q workset.Check, want bool) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		allowed, err := v.client.allowed(ctx, in, q, v.o.freshness())
		switch {
		case err != nil:
			return err
		case allowed == want:
			return nil
		case v.o.strong:
			v.result.Wrong++
			v.result.LastWrong = fmt.Sprintf("%s %s %s is %v after the write", q.Subject, q.Permission, q.Object, allowed)
		}
	}
}
