// Package faults_test kills what Meridian stands on, and Meridian, and looks
// afterwards for what was lost or done twice.
package faults_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meridian-iam/meridian/e2e/harness"
	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

const model = `model
  schema 1.1
type user
type document
  relations
    define viewer: [user]
`

// organization is one with the model, and a client of its deployment.
type organization struct {
	id     string
	client *meridian.Client
}

func open(t *testing.T, c *meridian.Client, slug string) organization {
	t.Helper()
	return openAt(t, c, slug, "")
}

// openAt makes one that is at home in a region; empty: where the client calls.
func openAt(t *testing.T, c *meridian.Client, slug, home string) organization {
	t.Helper()
	created, err := c.Organizations.CreateOrganization(t.Context(), &identityv1.CreateOrganizationRequest{
		Slug: slug, Name: slug, HomeRegion: home, IdempotencyKey: "create-" + slug,
	})
	if err != nil {
		t.Fatal(err)
	}
	published, err := c.Models.PublishModel(t.Context(), &authzv1.PublishModelRequest{
		Name: "documents", Files: []*authzv1.ModelFile{{Path: "model.fga", Content: model}}, IdempotencyKey: "publish",
	})
	if err != nil {
		t.Fatal(err)
	}
	o := organization{id: created.GetOrganization().GetId(), client: c}
	if _, err := c.Models.AssignModel(t.Context(), &authzv1.AssignModelRequest{
		Organization: o.id, Choice: &authzv1.AssignModelRequest_Model{Model: published.GetModel().GetId()}, IdempotencyKey: "assign-" + slug,
	}); err != nil {
		t.Fatal(err)
	}
	return o
}

// write creates a relationship of a user. The idempotency key is the user's: a
// repeated call is the same write.
func (o organization) write(ctx context.Context, user string) (revision string, err error) {
	answer, err := o.client.Relationships.WriteRelationships(ctx, &authzv1.WriteRelationshipsRequest{
		Organization: o.id, IdempotencyKey: user,
		Updates: []*authzv1.RelationshipUpdate{{
			Operation:    authzv1.Operation_OPERATION_CREATE,
			Relationship: &authzv1.Relationship{Resource: "document:plan", Relation: "viewer", Subject: user},
		}},
	})
	return answer.GetRevision(), err
}

// check asks about a user at a revision; without one, within a staleness.
func (o organization) check(ctx context.Context, user, atLeast string, stale time.Duration) (bool, error) {
	freshness := &commonv1.Freshness{Level: &commonv1.Freshness_AtLeast{AtLeast: atLeast}}
	if atLeast == "" {
		freshness = &commonv1.Freshness{
			Level: &commonv1.Freshness_MinimizeLatency{MinimizeLatency: true}, MaxStaleness: durationpb.New(stale),
		}
	}
	answer, err := o.client.Checks.Check(ctx, &authzv1.CheckRequest{
		Organization: o.id, Subject: user, Permission: "viewer", Resource: "document:plan", Freshness: freshness,
	})
	return answer.GetDecision() == authzv1.Decision_DECISION_ALLOW, err
}

// created counts how often the log says that a user's relationship was made,
// and looks at the sequences on the way.
func (o organization) created(t *testing.T) map[string]int {
	t.Helper()
	stream, err := o.client.Logs.TailLog(t.Context(), &logv1.TailLogRequest{Log: o.id})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	out := map[string]int{}
	for next := uint64(1); stream.Receive(); next++ {
		envelope := stream.Msg().GetEnvelope()
		if envelope.GetSequence() != next {
			t.Fatalf("event %d follows %d", envelope.GetSequence(), next-1)
		}
		if !strings.HasSuffix(envelope.GetType(), ".RelationshipsWritten") {
			continue
		}
		var event eventv1.RelationshipsWritten
		if err := proto.Unmarshal(envelope.GetData(), &event); err != nil {
			t.Fatal(err)
		}
		for _, change := range event.GetChanges() {
			out[change.GetSubject()]++
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// verify replays all logs and compares them with the rows and with NATS.
func verify(t *testing.T, url, token string) {
	t.Helper()
	r := harness.Command{Args: []string{"--url", url, "log", "verify"}, Env: []string{"MERIDIAN_TOKEN=" + token}}.Run(t)
	if r.Code != 0 || !strings.Contains(r.Stdout, " 0 with a difference") {
		t.Errorf("log verify: %+v", r)
	}
}

// typed fails the test when an error has none of the reasons.
func typed(t *testing.T, err error, reasons ...commonv1.Reason) {
	t.Helper()
	for _, reason := range reasons {
		if meridian.Is(err, reason) {
			return
		}
	}
	t.Errorf("the error is %s, want one of %v", describe(err), reasons)
}

func describe(err error) string {
	e, ok := meridian.AsError(err)
	if !ok {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("%v (%s %v)", err, e.Reason, e.Meta)
}

// retryInfo says whether an error tells when to try again.
func retryInfo(err error) bool {
	e, ok := meridian.AsError(err)
	if !ok {
		return false
	}
	for _, detail := range e.Err.Details() {
		if message, err := detail.Value(); err == nil {
			if info, ok := message.(*errdetails.RetryInfo); ok && info.GetRetryDelay().AsDuration() > 0 {
				return true
			}
		}
	}
	return false
}
