package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-iam/meridian/e2e/load/latency"
	"github.com/meridian-iam/meridian/e2e/load/workset"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// loader writes all relationships of a work set.
type loader struct {
	client *client
	o      options
	run    string // makes slugs and idempotency keys those of this run
	model  string
	places state
	last   map[string]workset.Tuple // of each place
}

// batch is what one message imports. All its tuples belong to one place.
type batch struct {
	place        string
	organization string // Meridian's id
	tuples       []workset.Tuple
}

// load publishes the model, makes organizations, and imports the relationships.
func load(ctx context.Context, c *client, o options, r *result) error {
	l := &loader{
		client: c, o: o, run: strconv.FormatInt(time.Now().UnixNano(), 36),
		places: make(state), last: make(map[string]workset.Tuple),
	}
	if err := l.publish(ctx); err != nil {
		return err
	}
	start := time.Now()
	if err := l.importAll(ctx, r); err != nil {
		return err
	}
	r.took(time.Since(start))
	r.Organizations = len(l.places)
	if err := l.settle(ctx); err != nil {
		return err
	}
	return l.places.write(o.state)
}

func (l *loader) publish(ctx context.Context) error {
	answer, err := l.client.models.PublishModel(ctx, &authzv1.PublishModelRequest{
		Name:           "cloud",
		Files:          []*authzv1.ModelFile{{Path: "cloud.fga", Content: workset.Model}},
		IdempotencyKey: "load-model-" + l.run,
	})
	if err != nil {
		return fmt.Errorf("publish model: %w", err)
	}
	l.model = answer.GetModel().GetId()
	return nil
}

// importAll reads the tuples and lets the workers import them.
func (l *loader) importAll(ctx context.Context, r *result) error {
	group, ctx := errgroup.WithContext(ctx)
	batches := make(chan batch)
	group.Go(func() error {
		defer close(batches)
		return l.read(ctx, batches)
	})
	type tally struct {
		latency            latency.Histogram
		created, unchanged uint64
	}
	tallies := make([]tally, l.o.workers)
	for n := range tallies {
		y := &tallies[n]
		group.Go(func() error {
			for b := range batches {
				start := time.Now()
				answer, err := l.send(ctx, b.organization, b.tuples)
				if err != nil {
					return err
				}
				y.latency.Record(time.Since(start))
				y.created += answer.GetCreated()
				y.unchanged += answer.GetUnchanged()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var all latency.Histogram
	for n := range tallies {
		all.Merge(&tallies[n].latency)
		r.Created += tallies[n].created
		r.Unchanged += tallies[n].unchanged
	}
	r.Ops = r.Created + r.Unchanged
	r.Latency = quantilesOf(&all)
	return nil
}

// read makes batches of the tuples, each for one place, and makes a place when
// its first tuple comes. Tuples of one organization lie together in the file.
func (l *loader) read(ctx context.Context, batches chan<- batch) error {
	var current batch
	flush := func() error {
		if len(current.tuples) == 0 {
			return nil
		}
		l.last[current.place] = current.tuples[0]
		select {
		case batches <- current:
			current.tuples = nil
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := workset.EachTuple(l.o.workset, func(t workset.Tuple) error {
		place := ""
		if l.o.split {
			place, _, _ = strings.Cut(t.Object.ID, "-")
		}
		if place != current.place || len(current.tuples) == l.o.batch {
			if err := flush(); err != nil {
				return err
			}
		}
		if err := l.open(ctx, place); err != nil {
			return err
		}
		current.place, current.organization = place, l.places[place].Organization
		current.tuples = append(current.tuples, t)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// open makes a place ready: its organization exists and uses the model.
func (l *loader) open(ctx context.Context, place string) error {
	if _, ready := l.places[place]; ready {
		return nil
	}
	organization := l.o.organization
	if organization == "" {
		slug := "load-" + l.run
		if place != "" {
			slug += "-" + place
		}
		answer, err := l.client.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
			Slug: slug, Name: "Load " + place, IdempotencyKey: slug,
		})
		if err != nil {
			return fmt.Errorf("create organization %s: %w", slug, err)
		}
		organization = answer.GetOrganization().GetId()
	}
	_, err := l.client.models.AssignModel(ctx, &authzv1.AssignModelRequest{
		Organization: organization, Choice: &authzv1.AssignModelRequest_Model{Model: l.model}, IdempotencyKey: "load-assign-" + l.run + "-" + place,
	})
	if err != nil {
		return fmt.Errorf("assign model: %w", err)
	}
	l.places[place] = location{Organization: organization}
	return nil
}

// send imports some tuples in one commit.
func (l *loader) send(ctx context.Context, organization string, tuples []workset.Tuple) (*authzv1.ImportRelationshipsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := l.client.relationships.ImportRelationships(ctx)
	if err != nil {
		return nil, fmt.Errorf("open import: %w", err)
	}
	message := &authzv1.ImportRelationshipsRequest{
		Organization:  organization,
		Relationships: make([]*authzv1.Relationship, 0, len(tuples)),
	}
	for _, t := range tuples {
		message.Relationships = append(message.Relationships, relationshipOf(t))
	}
	// A send error says only that the stream ended; the answer says why.
	sent := stream.Send(message)
	answer, err := stream.CloseAndReceive()
	if err = errors.Join(err, sent); err != nil {
		return nil, fmt.Errorf("import relationships: %w", err)
	}
	return answer, nil
}

// settle learns a revision of each place that covers all that was imported: it
// repeats one relationship, which changes nothing.
func (l *loader) settle(ctx context.Context) error {
	for place, p := range l.places {
		answer, err := l.send(ctx, p.Organization, []workset.Tuple{l.last[place]})
		if err != nil {
			return err
		}
		p.Revision = answer.GetRevision()
		l.places[place] = p
	}
	return nil
}
