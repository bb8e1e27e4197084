package authz_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/revision"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1/authzv1connect"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

const (
	touch  = authzv1.Operation_OPERATION_TOUCH
	remove = authzv1.Operation_OPERATION_DELETE
)

func TestReadYourWrites(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	for i := range 100 {
		op := touch
		if i%2 == 1 {
			op = remove
		}
		token := f.write(t, org, op, relationship("document:plan", "reader", "user:anna"))
		allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", atLeast(token))
		if err != nil || allowed != (i%2 == 0) {
			t.Fatalf("after write %d: %v, %v", i, allowed, err)
		}
	}
}

// A paused relay publishes nothing. Calls that must be fresh read the tail from
// the events table; others answer as of before.
func TestFreshnessWithThePausedRelay(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	token := f.write(t, org, touch, relationship("document:plan", "reader", "user:anna"))
	if allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", atLeast(token)); err != nil || !allowed {
		t.Fatal(allowed, err)
	}
	f.stopRelay()
	token = f.write(t, org, remove, relationship("document:plan", "reader", "user:anna"))
	allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", atLeast(token))
	if err != nil || allowed {
		t.Errorf("at_least with the relay paused: %v, %v; want deny", allowed, err)
	}
	token = f.write(t, org, touch, relationship("document:plan", "reader", "user:bert"))
	_ = token
	allowed, err = f.check(t.Context(), org, "user:bert", "can_read", "document:plan", fullyConsistent())
	if err != nil || !allowed {
		t.Errorf("fully_consistent with the relay paused: %v, %v; want allow", allowed, err)
	}
}

// Once the replica is older than the bound of 5 s, even minimize_latency reads the
// log, so an answer is never older than the bound says.
func TestStalenessIsBounded(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	token := f.write(t, org, touch, relationship("document:plan", "reader", "user:anna"))
	if _, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", atLeast(token)); err != nil {
		t.Fatal(err)
	}
	f.stopRelay()
	f.write(t, org, remove, relationship("document:plan", "reader", "user:anna"))
	deadline, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for deadline.Err() == nil {
		answer, err := f.checks.Check(deadline, &authzv1.CheckRequest{
			Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:plan",
		})
		if err != nil {
			t.Fatal(err)
		}
		if age := answer.GetEvaluatedAt().GetAge().AsDuration(); age > 5*time.Second {
			t.Fatalf("an answer is %v old", age)
		}
		if answer.GetDecision() == deny {
			return
		}
	}
	t.Error("the old answer is still given after the bound")
}

func TestRevisionTokensAreChecked(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org, other := f.organization(t), f.organization(t)
	token := func(revisions ...revision.Revision) string {
		t.Helper()
		text, err := revision.Token(revisions...)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, tc := range map[string]struct {
		token string
		want  commonv1.Reason // 0: an answer
	}{
		"malformed":               {"garbage", commonv1.Reason_REVISION_MALFORMED},
		"from the future":         {token(revision.Revision{Log: org, Sequence: 1000}), commonv1.Reason_REVISION_UNKNOWN},
		"of another organization": {token(revision.Revision{Log: other, Sequence: 1}), commonv1.Reason_REVISION_UNKNOWN},
		"of both":                 {token(revision.Revision{Log: other, Sequence: 1}, revision.Revision{Log: org, Sequence: 2}), 0},
		"of the platform":         {token(revision.Revision{Log: id.Platform, Sequence: 1}), 0},
		"of a user":               {token(revision.Revision{Log: id.New(id.User), Sequence: 9}), 0},
		"before the first event":  {token(revision.Revision{Log: org, Sequence: 0}), 0},
		"of the newest event":     {token(revision.Revision{Log: org, Sequence: 2}), 0},
		"one beyond the newest":   {token(revision.Revision{Log: org, Sequence: 3}), commonv1.Reason_REVISION_UNKNOWN},
	} {
		t.Run(name, func(t *testing.T) {
			allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", atLeast(tc.token))
			if tc.want != 0 {
				wantReason(t, err, tc.want)
				return
			}
			if err != nil || allowed {
				t.Errorf("check = %v, %v; want a deny", allowed, err)
			}
		})
	}
}

func TestCheckRefuses(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	bare := id.New(id.Organization)
	f.append(t, bare, 0, &eventv1.ModelPublished{}) // any first event: it has no model
	for name, tc := range map[string]struct {
		org, subject, permission, resource string
		want                               commonv1.Reason
	}{
		"malformed organization": {"acme", "user:anna", "can_read", "document:plan", commonv1.Reason_INVALID_FIELD},
		"absent organization":    {id.New(id.Organization), "user:anna", "can_read", "document:plan", commonv1.Reason_NOT_FOUND},
		"unknown type":           {org, "user:anna", "can_read", "folder:plan", commonv1.Reason_TYPE_UNKNOWN},
		"unknown subject type":   {org, "robot:anna", "can_read", "document:plan", commonv1.Reason_TYPE_UNKNOWN},
		"unknown permission":     {org, "user:anna", "can_fly", "document:plan", commonv1.Reason_RELATION_UNKNOWN},
		"no id":                  {org, "user:anna", "can_read", "document:", commonv1.Reason_INVALID_FIELD},
		"control character":      {org, "user:an\x00na", "can_read", "document:plan", commonv1.Reason_INVALID_FIELD},
		"not NFC":                {org, "user:a\u0308nna", "can_read", "document:plan", commonv1.Reason_INVALID_FIELD},
		"empty subject":          {org, "", "can_read", "document:plan", commonv1.Reason_INVALID_FIELD},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.check(t.Context(), tc.org, tc.subject, tc.permission, tc.resource, nil)
			wantReason(t, err, tc.want)
		})
	}
}

// Clients cannot send what is not UTF-8; what sends it nevertheless is refused
// with a reason, in either encoding.
func TestInvalidUTF8IsRefused(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	binary, err := proto.Marshal(&authzv1.CheckRequest{Organization: org, Subject: "user:a?", Permission: "can_read", Resource: "document:plan"})
	if err != nil {
		t.Fatal(err)
	}
	for kind, body := range map[string][]byte{
		"application/proto": bytes.ReplaceAll(binary, []byte("a?"), []byte("a\xff")),
		"application/json":  []byte(`{"organization":"` + org + `","subject":"user:a` + "\xff" + `","permission":"can_read","resource":"document:plan"}`),
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.address+authzv1connect.CheckServiceCheckProcedure, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", kind)
		request.Header.Set("Authorization", "Bearer test")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusBadRequest || !strings.Contains(string(answer), `"reason":"INVALID_FIELD"`) {
			t.Errorf("%s: %d %s, %v; want 400 and INVALID_FIELD", kind, response.StatusCode, answer, err)
		}
	}
}

func TestOrganizationWithoutModel(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := id.New(id.Organization)
	f.append(t, org, 0, &eventv1.RelationshipsWritten{})
	_, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", nil)
	wantReason(t, err, commonv1.Reason_MODEL_NOT_ASSIGNED)
	_, err = f.relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
		Organization: org, IdempotencyKey: "1",
		Updates: []*authzv1.RelationshipUpdate{{Operation: touch, Relationship: relationship("document:a", "reader", "user:b")}},
	})
	wantReason(t, err, commonv1.Reason_MODEL_NOT_ASSIGNED)
}

// A check that runs while the organization's model changes answers by one model
// or by the other, and by the new one once it has the assignment's token.
func TestModelChange(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	f.write(t, org, touch, relationship("document:plan", "reader", "user:anna"))
	var wait sync.WaitGroup
	stop := make(chan struct{})
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", nil); err != nil {
				t.Errorf("check during the change: %v", err)
				return
			}
		}
	})
	stricter := model[:len(model)-len("reader but not banned\n")] + "owner but not banned\n"
	token := f.assign(t, org, stricter)
	allowed, err := f.check(t.Context(), org, "user:anna", "can_read", "document:plan", atLeast(token))
	close(stop)
	wait.Wait()
	if err != nil || allowed {
		t.Errorf("by the stricter model: %v, %v; want deny", allowed, err)
	}
}

func TestUnknownEventHaltsOneGraphOnly(t *testing.T) {
	f := newFixture(t, authz.Config{})
	poisoned, healthy := f.organization(t), f.organization(t)
	// An event of authz that no graph knows: it could change what is allowed.
	f.append(t, poisoned, 2, &eventv1.ModelPublished{Model: "mdl_x"})
	f.append(t, poisoned, 3, &eventv1.RelationshipsWritten{})
	_, err := f.check(t.Context(), poisoned, "user:anna", "can_read", "document:plan", fullyConsistent())
	wantReason(t, err, commonv1.Reason_EVENT_CORRUPT)
	if _, err := f.check(t.Context(), healthy, "user:anna", "can_read", "document:plan", nil); err != nil {
		t.Errorf("the other organization's check: %v", err)
	}
}
