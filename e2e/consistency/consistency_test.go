// Package consistency_test looks for answers that are older than what they were
// asked to be: through two processes, with a bus that is delayed and a relay
// that publishes again.
package consistency_test

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

var (
	// More: go test ./e2e/consistency -args -enemies 100000.
	enemies = flag.Int("enemies", 1000, "revocations that are raced against")
	writes  = flag.Int("writes", 10_000, "writes that are read at once")
	people  = flag.Int("people", 1000, "users who are made, found, added and removed")
	behalf  = flag.Int("behalf", 100, "users on whose behalf is called, before and after")
)

const model = `model
  schema 1.1
type user
type folder
  relations
    define viewer: [user]
type document
  relations
    define parent: [folder]
    define view: viewer from parent
type organization
  relations
    define member: [user]
    define can_view_members: [user]
`

// unlimited lifts the limit that one token has on changes.
const unlimited = "  limits:\n    manage: {per_second: 100000, burst: 100000}\n    read: {per_second: 100000, burst: 100000}\n"

// system is two nodes behind which an organization is written and read.
type system struct {
	organization string
	// near is where is written, far another process that only reads.
	near, far *meridian.Client
	bus       *harness.NATS
}

func start(t *testing.T) *system {
	t.Helper()
	d := harness.StartDeployment(t)
	near, far := d.NodeWith(t, "near", "", unlimited), d.NodeWith(t, "far", "", unlimited)
	near.Start(t)
	far.Start(t)
	s := &system{near: near.Client(d.Token), far: far.Client(d.Token), bus: d.NATS}
	created, err := s.near.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{
		Slug: "acme", Name: "acme", IdempotencyKey: "create",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.organization = created.GetOrganization().GetId()
	published, err := s.near.Models.PublishModel(t.Context(), &authzv1.PublishModelRequest{
		Name: "documents", Files: []*authzv1.ModelFile{{Path: "model.fga", Content: model}}, IdempotencyKey: "publish",
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.near.Models.AssignModel(t.Context(), &authzv1.AssignModelRequest{
		Organization: s.organization, Choice: &authzv1.AssignModelRequest_Model{Model: published.GetModel().GetId()}, IdempotencyKey: "assign",
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// write commits changes and returns their revision.
func (s *system) write(ctx context.Context, key string, updates ...*authzv1.RelationshipUpdate) (string, error) {
	answer, err := s.near.Relationships.WriteRelationships(ctx, &authzv1.WriteRelationshipsRequest{
		Organization: s.organization, IdempotencyKey: key, Updates: updates,
	})
	return answer.GetRevision(), err
}

func update(op authzv1.Operation, resource, relation, subject string) *authzv1.RelationshipUpdate {
	return &authzv1.RelationshipUpdate{
		Operation: op, Relationship: &authzv1.Relationship{Resource: resource, Relation: relation, Subject: subject},
	}
}

// check asks the far node.
func (s *system) check(ctx context.Context, subject, permission, resource string, f *commonv1.Freshness) (bool, error) {
	answer, err := s.far.Checks.Check(ctx, &authzv1.CheckRequest{
		Organization: s.organization, Subject: subject, Permission: permission, Resource: resource, Freshness: f,
	})
	return answer.GetDecision() == authzv1.Decision_DECISION_ALLOW, err
}

func atLeast(token string) *commonv1.Freshness {
	return &commonv1.Freshness{Level: &commonv1.Freshness_AtLeast{AtLeast: token}}
}

func fullyConsistent() *commonv1.Freshness {
	return &commonv1.Freshness{Level: &commonv1.Freshness_FullyConsistent{FullyConsistent: true}}
}

// whatever asks for whatever is at hand, however old.
func whatever() *commonv1.Freshness {
	return &commonv1.Freshness{
		Level: &commonv1.Freshness_MinimizeLatency{MinimizeLatency: true}, MaxStaleness: durationpb.New(5 * time.Minute),
	}
}

// disturb stops the bus for a moment, again and again, until the returned
// function is called: what is committed meanwhile arrives late, and the relay,
// which learns of no delivery, publishes it again.
func (s *system) disturb(t *testing.T) (calm func()) {
	t.Helper()
	end := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		defer s.bus.Signal(t, syscall.SIGCONT)
		turn := time.NewTicker(40 * time.Millisecond)
		defer turn.Stop()
		for stopped := false; ; stopped = !stopped {
			select {
			case <-end:
				return
			case <-turn.C:
			}
			if stopped {
				s.bus.Signal(t, syscall.SIGCONT)
			} else {
				s.bus.Signal(t, syscall.SIGSTOP)
			}
		}
	})
	return sync.OnceFunc(func() {
		close(end)
		wait.Wait()
	})
}

// each calls fn for 0 to n-1 from as many workers, until one fails.
func each(t *testing.T, workers, n int, fn func(ctx context.Context, i int) error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := fn(ctx, i); err != nil {
					cancel(fmt.Errorf("round %d: %w", i, err))
				}
			}
		})
	}
	wait.Wait()
	if err := context.Cause(ctx); err != nil {
		t.Fatal(err)
	}
}

const (
	touch  = authzv1.Operation_OPERATION_TOUCH
	remove = authzv1.Operation_OPERATION_DELETE
)

// The new enemy of the Zanzibar paper, section 2.2: Bob is taken off a folder,
// and then something is put into a document in it that he must not see. Whoever
// reads the document with the revision that was stored beside it must never be
// told that Bob may, by whichever process and however late the bus is. Without
// the revision he sometimes is: that control shows that the test can see it.
func TestNewEnemy(t *testing.T) {
	s := start(t)
	calm := s.disturb(t)
	defer calm()
	var protected, leaked atomic.Int64
	each(t, 8, *enemies, func(ctx context.Context, i int) error {
		folder, document := fmt.Sprintf("folder:%d", i), fmt.Sprintf("document:%d", i)
		granted, err := s.write(ctx, fmt.Sprintf("grant-%d", i),
			update(touch, folder, "viewer", "user:bob"), update(touch, document, "parent", folder))
		if err != nil {
			return err
		}
		if ok, err := s.check(ctx, "user:bob", "view", document, atLeast(granted)); err != nil || !ok {
			return fmt.Errorf("bob before: %v, %w", ok, err)
		}
		if _, err := s.write(ctx, fmt.Sprintf("revoke-%d", i), update(remove, folder, "viewer", "user:bob")); err != nil {
			return err
		}
		// The new content: its write is later than the revocation.
		stored, err := s.write(ctx, fmt.Sprintf("content-%d", i), update(touch, document+"-new", "parent", folder))
		if err != nil {
			return err
		}
		if ok, err := s.check(ctx, "user:bob", "view", document, whatever()); err != nil {
			return fmt.Errorf("without the revision: %w", err)
		} else if ok {
			leaked.Add(1)
		}
		level := atLeast(stored)
		if i%4 == 0 {
			level = fullyConsistent()
		}
		for _, name := range []string{document, document + "-new"} {
			ok, err := s.check(ctx, "user:bob", "view", name, level)
			if err != nil {
				return err
			}
			if ok {
				return fmt.Errorf("bob sees %s at revision %s", name, stored)
			}
			protected.Add(1)
		}
		return nil
	})
	t.Logf("%d answers at a revision, none too old; without it %d of %d were", protected.Load(), leaked.Load(), *enemies)
	if leaked.Load() == 0 {
		t.Error("the control saw no old answer: this test would not see one either")
	}
}

// What was written is there for whoever has the revision, in another process,
// every time; without it, not every time.
func TestReadYourWrites(t *testing.T) {
	s := start(t)
	calm := s.disturb(t)
	defer calm()
	var missed atomic.Int64
	each(t, 8, *writes, func(ctx context.Context, i int) error {
		folder, user := fmt.Sprintf("folder:%d", i%97), fmt.Sprintf("user:%d", i)
		written, err := s.write(ctx, fmt.Sprintf("write-%d", i), update(touch, folder, "viewer", user))
		if err != nil {
			return err
		}
		if ok, err := s.check(ctx, user, "viewer", folder, whatever()); err != nil {
			return err
		} else if !ok {
			missed.Add(1)
		}
		if ok, err := s.check(ctx, user, "viewer", folder, atLeast(written)); err != nil || !ok {
			return fmt.Errorf("%s at its revision: %v, %w", user, ok, err)
		}
		return nil
	})
	t.Logf("%d writes read at their revision; without it %d were not there yet", *writes, missed.Load())
	if missed.Load() == 0 {
		t.Error("the control missed no write: this test would not see one missing either")
	}
}
