package authz_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

// wave is how many organizations take the same step at once.
const wave = 6

// New organizations are opened, given a model and written to in waves, and the
// transactions of three waves overlap: none of them commits before all of them
// want to. None is asked to run again, though all their rows are neighbours.
func TestNewOrganizationsDoNotConflict(t *testing.T) {
	meeting := &sqltest.Meeting{Mark: "INSERT INTO log.idempotency"}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqltest.URL(t), MaxConns: 5 * wave, Tracer: meeting})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	f := newFixtureOn(t, authz.Config{}, db)
	m := f.publishedModel(t, model)
	f.mustSet(t, m, active, nil)
	f.write(t, f.organization(t), touch, relationship("document:plan", "reader", "user:anna"))

	const waves, steps = 4, 3
	orgs := make([]string, waves*wave)
	for i := range orgs {
		orgs[i] = id.New(id.Organization)
	}
	for round := range waves + steps - 1 {
		var work []func() error
		for i, org := range orgs {
			switch round - i/wave {
			case 0:
				work = append(work, func() error { return f.open(t.Context(), org) })
			case 1:
				work = append(work, func() error { return f.assignFirst(t.Context(), org, i, m) })
			case 2:
				work = append(work, func() error { return f.writeFirst(t.Context(), org) })
			}
		}
		meeting.Expect(len(work))
		if err := atOnce(work); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if runs := meeting.Runs(); runs != len(work) {
			t.Errorf("round %d: %d transactions ran for %d commits", round, runs, len(work))
		}
	}
	for _, org := range orgs {
		f.verify(t, org)
	}
}

func atOnce(work []func() error) error {
	errs := make([]error, len(work))
	var group sync.WaitGroup
	for i, do := range work {
		group.Go(func() { errs[i] = do() })
	}
	group.Wait()
	return errors.Join(errs...)
}

// open opens an organization's log under an idempotency key.
func (f *fixture) open(ctx context.Context, org string) error {
	event := &eventv1.OrganizationCreated{Organization: org, Slug: org, Name: org, HomeRegion: region}
	request := eventlog.Request{Scope: "test", Key: f.key(), Procedure: "/open", Message: event}
	_, err := f.log.Commit(ctx, request, func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.log.Append(ctx, tx, eventlog.Append{
			Log: org, HomeRegion: region, Actor: actor, Events: []proto.Message{event},
		})
		return err
	})
	return err
}

// assignFirst gives every other organization the model, and the others the line.
func (f *fixture) assignFirst(ctx context.Context, org string, n int, model string) error {
	request := &authzv1.AssignModelRequest{
		Organization: org, Choice: &authzv1.AssignModelRequest_Model{Model: model}, IdempotencyKey: f.key(),
	}
	if n%2 == 0 {
		request.Choice = &authzv1.AssignModelRequest_Line{Line: line}
	}
	_, err := f.models.AssignModel(ctx, request)
	return err
}

func (f *fixture) writeFirst(ctx context.Context, org string) error {
	written, err := f.relationships.WriteRelationships(ctx, &authzv1.WriteRelationshipsRequest{
		Organization: org, IdempotencyKey: f.key(), Updates: []*authzv1.RelationshipUpdate{
			update(touch, "group:staff", "member", "user:anna"),
			update(authzv1.Operation_OPERATION_CREATE, "document:plan", "reader", "group:staff#member"),
			update(touch, "document:plan", "owner", "user:otto"),
		},
	})
	if err == nil && len(written.GetEffects()) != 3 {
		err = fmt.Errorf("effects %v", written.GetEffects())
	}
	return err
}

// A first model that is refused leaves nothing, and a second one is not a first.
func TestFirstModel(t *testing.T) {
	f := newFixture(t, authz.Config{})
	gone, kept := f.publishedModel(t, model), f.publishedModel(t, looser)
	f.mustSet(t, gone, retired, nil)
	org := f.opened(t)
	byModel := func(m string) *authzv1.AssignModelRequest {
		return &authzv1.AssignModelRequest{Organization: org, Choice: &authzv1.AssignModelRequest_Model{Model: m}}
	}
	wantReason(t, f.tryAssign(t, byModel(gone)), commonv1.Reason_MODEL_STATE)
	_, err := f.models.GetAssignment(t.Context(), &authzv1.GetAssignmentRequest{Organization: org})
	wantReason(t, err, commonv1.Reason_MODEL_NOT_ASSIGNED)
	for range 2 {
		if err := f.tryAssign(t, byModel(kept)); err != nil {
			t.Fatal(err)
		}
		if head := f.head(t, org); head != 2 {
			t.Errorf("the head is %d, want 2: one assignment", head)
		}
	}
	wantReason(t, f.tryAssign(t, byModel(gone)), commonv1.Reason_MODEL_STATE)
	f.verify(t, org)
}
