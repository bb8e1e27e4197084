package target

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-iam/meridian/e2e/load/workset"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// A question waits for what was loaded as long as the server lets it, and is
// asked again.
const (
	waitBound = time.Minute
	maxWaits  = 20
)

// Open implements [Target]: the organization exists and uses the model.
func (m *Meridian) Open(ctx context.Context, place string) error {
	if m.model == "" {
		if err := m.publish(ctx); err != nil {
			return err
		}
	}
	organization := m.o.Organization
	if organization == "" {
		slug := "load-" + m.run
		if place != "" {
			slug += "-" + place
		}
		answer, err := m.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
			Slug: slug, Name: "Load " + place, IdempotencyKey: slug,
		})
		if err != nil {
			return fmt.Errorf("create organization %s: %w", slug, err)
		}
		organization = answer.GetOrganization().GetId()
	}
	_, err := m.models.AssignModel(ctx, &authzv1.AssignModelRequest{
		Organization: organization, Choice: &authzv1.AssignModelRequest_Model{Model: m.model},
		IdempotencyKey: "load-assign-" + m.run + "-" + place,
	})
	if err != nil {
		return fmt.Errorf("assign model: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.places[place] = location{Organization: organization}
	return nil
}

func (m *Meridian) publish(ctx context.Context) error {
	answer, err := m.models.PublishModel(ctx, &authzv1.PublishModelRequest{
		Name:           "cloud",
		Files:          []*authzv1.ModelFile{{Path: "cloud.fga", Content: workset.Model}},
		IdempotencyKey: "load-model-" + m.run,
	})
	if err != nil {
		return fmt.Errorf("publish model: %w", err)
	}
	m.model = answer.GetModel().GetId()
	return nil
}

// Load implements [Target].
func (m *Meridian) Load(ctx context.Context, place string, tuples []workset.Tuple) (uint64, error) {
	m.mu.Lock()
	in := m.places[place]
	in.sample = tuples[0]
	m.places[place] = in
	m.mu.Unlock()
	answer, err := m.send(ctx, in.Organization, tuples)
	return answer.GetCreated(), err
}

// send imports some tuples in one commit.
func (m *Meridian) send(ctx context.Context, organization string, tuples []workset.Tuple) (*authzv1.ImportRelationshipsResponse, error) {
	stream, err := m.imports.ImportRelationships(ctx)
	if err != nil {
		return nil, fmt.Errorf("open import: %w", err)
	}
	message := &authzv1.ImportRelationshipsRequest{
		Organization:  organization,
		Relationships: make([]*authzv1.Relationship, len(tuples)),
	}
	for i, t := range tuples {
		message.Relationships[i] = relationshipOf(t)
	}
	// A send error says only that the stream ended; the answer says why.
	sent := stream.Send(message)
	answer, err := stream.CloseAndReceive()
	if err = errors.Join(err, sent); err != nil {
		return nil, fmt.Errorf("import relationships: %w", err)
	}
	return answer, nil
}

// Settle implements [Target]. It learns a revision of each place that covers
// all that was imported: it repeats one relationship, which changes nothing.
func (m *Meridian) Settle(ctx context.Context) error {
	for place, in := range m.places {
		answer, err := m.send(ctx, in.Organization, []workset.Tuple{in.sample})
		if err != nil {
			return err
		}
		in.Revision = answer.GetRevision()
		m.places[place] = in
		if err := m.wait(ctx, in); err != nil {
			return err
		}
	}
	return writeState(m.o.State, m.places)
}

// Restore implements [Target].
func (m *Meridian) Restore(context.Context) error {
	if m.o.Organization != "" {
		m.places = map[string]location{"": {Organization: m.o.Organization}}
	} else if err := readState(m.o.State, &m.places); err != nil {
		return err
	}
	_, all := m.places[""]
	m.split = !all
	return nil
}

// wait returns when answers see all that was loaded: the first question about an
// organization builds its graph. The answer itself does not matter.
func (m *Meridian) wait(ctx context.Context, in location) error {
	question := &authzv1.CheckRequest{
		Organization: in.Organization, Subject: "user:nobody", Permission: in.sample.Relation, Resource: in.sample.Object.String(),
		Freshness: freshnessOf(Freshness{Token: in.Revision}),
	}
	for range maxWaits {
		bounded, cancel := context.WithTimeout(ctx, waitBound)
		_, err := m.checks.Check(bounded, question)
		cancel()
		switch {
		case err == nil:
			return nil
		case connect.CodeOf(err) != connect.CodeDeadlineExceeded || ctx.Err() != nil:
			return fmt.Errorf("wait for what was loaded: %w", err)
		}
	}
	return fmt.Errorf("what was loaded is not seen after %v", maxWaits*waitBound)
}
