package authz_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/id"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

func TestGetAssignment(t *testing.T) {
	f := newFixture(t, authz.Config{})
	m := f.publishedModel(t, model)
	f.mustSet(t, m, active, nil)
	org, absent := f.opened(t), id.New(id.Organization)
	ask := func(organization string) (*authzv1.GetAssignmentResponse, error) {
		return f.models.GetAssignment(t.Context(), &authzv1.GetAssignmentRequest{Organization: organization})
	}
	_, err := ask(absent)
	wantReason(t, err, commonv1.Reason_NOT_FOUND)
	_, err = ask(org)
	wantReason(t, err, commonv1.Reason_MODEL_NOT_ASSIGNED)
	for wantLine, assign := range map[string]func() string{
		line: func() string { return f.follow(t, org).GetRevision() },
		"":   func() string { f.assignModel(t, org, m); return token(t, org, f.head(t, org)) },
	} {
		at := assign()
		got, err := ask(org)
		if err != nil || got.GetModel() != m || got.GetLine() != wantLine || got.GetRevision() != at {
			t.Errorf("the assignment is %v, %v; want %s of %q at %s", got, err, m, wantLine, at)
		}
	}
}

func (f *fixture) assignModel(t testing.TB, org, model string) {
	t.Helper()
	if _, err := f.models.AssignModel(t.Context(), &authzv1.AssignModelRequest{
		Organization: org, Choice: &authzv1.AssignModelRequest_Model{Model: model}, IdempotencyKey: f.key(),
	}); err != nil {
		t.Fatal(err)
	}
}

func TestAssignModelRefuses(t *testing.T) {
	f := newFixture(t, authz.Config{})
	first, second, strict := f.publishedModel(t, model), f.publishedModel(t, looser), f.publishedModel(t, stricter)
	org := f.opened(t)
	byModel := func(m string) *authzv1.AssignModelRequest {
		return &authzv1.AssignModelRequest{Organization: org, Choice: &authzv1.AssignModelRequest_Model{Model: m}}
	}
	byLine := func(l string) *authzv1.AssignModelRequest {
		return &authzv1.AssignModelRequest{Organization: org, Choice: &authzv1.AssignModelRequest_Line{Line: l}}
	}
	wantReason(t, f.tryAssign(t, byLine(line)), commonv1.Reason_MODEL_STATE) // nothing is active
	f.mustSet(t, first, active, nil)
	f.mustSet(t, second, retired, nil)
	f.follow(t, org)
	f.write(t, org, touch, relationship("document:plan", "reader", "user:*"))
	f.write(t, org, touch, relationship("document:plan", "reader", "group:staff#member"))
	before := f.head(t, org)
	absent := byModel(first)
	absent.Organization = id.New(id.Organization)
	for name, tc := range map[string]struct {
		request *authzv1.AssignModelRequest
		want    commonv1.Reason
		meta    map[string]string
	}{
		"neither model nor line": {&authzv1.AssignModelRequest{Organization: org}, commonv1.Reason_INVALID_FIELD, map[string]string{"field": "choice"}},
		"absent model":           {byModel("mdl_" + strings.Repeat("0", 32)), commonv1.Reason_NOT_FOUND, nil},
		"absent line":            {byLine("documemts"), commonv1.Reason_NOT_FOUND, nil},
		"absent organization":    {absent, commonv1.Reason_NOT_FOUND, nil},
		"retired":                {byModel(second), commonv1.Reason_MODEL_STATE, map[string]string{"state": "retired"}},
		"orphans":                {byModel(strict), commonv1.Reason_MODEL_ORPHANS, map[string]string{"orphaned": "2"}},
		"a line's empty name":    {byLine(""), commonv1.Reason_INVALID_FIELD, map[string]string{"field": "line"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := f.tryAssign(t, tc.request)
			wantReason(t, err, tc.want)
			for key, value := range tc.meta {
				if got := metaOf(t, err)[key]; got != value {
					t.Errorf("metadata %s is %q, want %q", key, got, value)
				}
			}
		})
	}
	if after := f.head(t, org); after != before {
		t.Errorf("refused assignments moved the head from %d to %d", before, after)
	}
	err := f.tryAssign(t, byModel(strict))
	if example := metaOf(t, err)["example"]; !strings.HasPrefix(example, "document:plan#reader@") {
		t.Errorf("example is %q", example)
	}
	allowed := byModel(strict)
	allowed.AllowOrphans = true
	if err := f.tryAssign(t, allowed); err != nil {
		t.Fatalf("with allow_orphans: %v", err)
	}
	if got := f.uses(t, org); got != strict {
		t.Errorf("it uses %s, want %s", got, strict)
	}
	if allowed, err := f.check(t.Context(), org, "user:zoe", "can_read", "document:plan", fullyConsistent()); err != nil || allowed {
		t.Errorf("an orphan gives access: %v, %v", allowed, err)
	}
	f.verify(t, org)
}

func (f *fixture) tryAssign(t testing.TB, req *authzv1.AssignModelRequest) error {
	t.Helper()
	req.IdempotencyKey = f.key()
	_, err := f.models.AssignModel(t.Context(), req)
	return err
}

// Whoever writes while a model is assigned: either the write is refused by the
// new model or the assignment by what was written.
func TestAssignModelBesideWriters(t *testing.T) {
	f := newFixture(t, authz.Config{})
	strict := f.publishedModel(t, stricter)
	org := f.organization(t)
	for i := range 200 {
		f.write(t, org, touch, relationship(fmt.Sprintf("document:%d", i), "reader", "user:anna"))
	}
	done := make(chan error, 1)
	go func() {
		for i := range 30 {
			_, err := f.relationships.WriteRelationships(t.Context(), &authzv1.WriteRelationshipsRequest{
				Organization: org, IdempotencyKey: f.key(),
				Updates: []*authzv1.RelationshipUpdate{update(touch, fmt.Sprintf("document:%d", i), "reader", "group:staff#member")},
			})
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	assigned := f.tryAssign(t, &authzv1.AssignModelRequest{Organization: org, Choice: &authzv1.AssignModelRequest_Model{Model: strict}})
	written := <-done
	switch {
	case assigned == nil:
		wantReason(t, written, commonv1.Reason_RELATIONSHIP_FORBIDDEN)
	default:
		wantReason(t, assigned, commonv1.Reason_MODEL_ORPHANS)
	}
	var grouped int
	if err := f.db.Pool().QueryRow(t.Context(),
		`SELECT count(*) FROM authz.relationships WHERE organization_id = $1 AND subject LIKE 'group:%'`, org).Scan(&grouped); err != nil {
		t.Fatal(err)
	}
	if assigned == nil && grouped > 0 {
		t.Errorf("%d relationships are orphaned without anybody's consent", grouped)
	}
}
