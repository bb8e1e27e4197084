package authz_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/revision"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

const (
	canary  = authzv1.ModelState_MODEL_STATE_CANARY
	active  = authzv1.ModelState_MODEL_STATE_ACTIVE
	retired = authzv1.ModelState_MODEL_STATE_RETIRED
	line    = "documents"
)

// looser also lets owners and readers write, stricter lets no group read.
var (
	looser   = model + "    define can_write: owner or reader\n"
	stricter = strings.Replace(model, "[user, user:*, group#member]", "[user]", 1)
)

// publishedModel publishes a model of the line.
func (f *fixture) publishedModel(t testing.TB, source string) string {
	t.Helper()
	answer, err := f.models.PublishModel(t.Context(), &authzv1.PublishModelRequest{
		Name: line, Files: []*authzv1.ModelFile{{Path: "model.fga", Content: source}}, IdempotencyKey: f.key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetModel().GetId()
}

func (f *fixture) set(ctx context.Context, model string, state authzv1.ModelState, audience *authzv1.Canary) error {
	_, err := f.models.SetModelState(ctx, &authzv1.SetModelStateRequest{Model: model, State: state, Canary: audience, IdempotencyKey: f.key()})
	return err
}

func (f *fixture) mustSet(t testing.TB, model string, state authzv1.ModelState, audience *authzv1.Canary) {
	t.Helper()
	if err := f.set(t.Context(), model, state, audience); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) follow(t testing.TB, org string) *authzv1.AssignModelResponse {
	t.Helper()
	answer, err := f.models.AssignModel(t.Context(), &authzv1.AssignModelRequest{
		Organization: org, Choice: &authzv1.AssignModelRequest_Line{Line: line}, IdempotencyKey: f.key(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// opened opens an organization's log and assigns nothing.
func (f *fixture) opened(t testing.TB) string {
	t.Helper()
	org := id.New(id.Organization)
	f.append(t, org, 0, &identityeventv1.OrganizationCreated{Organization: org, Slug: org, Name: org, HomeRegion: region})
	return org
}

// followers opens organizations that follow the line.
func (f *fixture) followers(t testing.TB, n int) []string {
	t.Helper()
	out := make([]string, n)
	for i := range out {
		out[i] = f.opened(t)
		f.follow(t, out[i])
	}
	return out
}

func token(t testing.TB, org string, sequence uint64) string {
	t.Helper()
	text, err := revision.Token(revision.Revision{Log: org, Sequence: sequence})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// uses is the model that an organization's checks are answered by.
func (f *fixture) uses(t testing.TB, org string) string {
	t.Helper()
	answer, err := f.checks.Check(t.Context(), &authzv1.CheckRequest{
		Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:plan", Freshness: fullyConsistent(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetModel()
}

// until waits until a query answers true.
func (f *fixture) until(t testing.TB, query string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		var done bool
		if err := f.db.Pool().QueryRow(ctx, query, args...).Scan(&done); err != nil {
			t.Fatalf("waiting for %s: %v", query, err)
		}
		if done {
			return
		}
		<-look.C
	}
}

// A line goes from draft over canary to active and back; those who follow it are
// moved at revisions of their own logs, and those who stay are not.
func TestLifeOfALine(t *testing.T) {
	f := newFixture(t, authz.Config{})
	first, second := f.publishedModel(t, model), f.publishedModel(t, looser)
	stays := f.opened(t)
	f.mustSet(t, first, active, nil)
	orgs := f.followers(t, 3)
	if _, err := f.models.AssignModel(t.Context(), &authzv1.AssignModelRequest{
		Organization: stays, Choice: &authzv1.AssignModelRequest_Model{Model: first}, IdempotencyKey: f.key(),
	}); err != nil {
		t.Fatal(err)
	}
	want := func(step string, models ...string) {
		t.Helper()
		f.rolledOut(t)
		for i, org := range orgs {
			if got := f.uses(t, org); got != models[i] {
				t.Errorf("%s: organization %d uses %s, want %s", step, i, got, models[i])
			}
		}
		if got := f.uses(t, stays); got != first {
			t.Errorf("%s: who stays uses %s, want %s", step, got, first)
		}
	}
	want("active", first, first, first)
	f.mustSet(t, second, canary, &authzv1.Canary{Organizations: []string{orgs[1]}})
	want("canary", first, second, first)
	answer, err := f.checks.Check(t.Context(), &authzv1.CheckRequest{
		Organization: orgs[1], Subject: "user:anna", Permission: "can_write", Resource: "document:plan", Freshness: atLeast(token(t, orgs[1], 3)),
	})
	if err != nil || answer.GetModel() != second {
		t.Errorf("check at the canary's revision: %v, %v", answer, err)
	}
	late := f.opened(t)
	f.mustSet(t, second, canary, &authzv1.Canary{Organizations: []string{orgs[2], late}})
	want("another canary", first, first, second)
	if got := f.follow(t, late); got.GetModel() != second {
		t.Errorf("who begins to follow in the canary gets %s, want %s", got.GetModel(), second)
	}
	f.mustSet(t, second, active, nil)
	want("the canary is active", second, second, second)
	f.mustSet(t, first, active, nil)
	want("back", first, first, first)
	for _, org := range append(orgs, stays, late, id.Platform) {
		f.verify(t, org)
	}
	listed, err := f.models.ListModels(t.Context(), &authzv1.ListModelsRequest{})
	if err != nil || listed.GetModels()[0].GetState() != retired || listed.GetModels()[1].GetState() != active {
		t.Errorf("states are %v, %v; want retired, active", listed, err)
	}
}

func TestSetModelStateRefuses(t *testing.T) {
	f := newFixture(t, authz.Config{})
	first, second, third := f.publishedModel(t, model), f.publishedModel(t, looser), f.publishedModel(t, stricter)
	pinned := f.opened(t)
	f.mustSet(t, first, active, nil)
	f.followers(t, 1)
	f.mustSet(t, second, canary, &authzv1.Canary{})
	f.assignModel(t, pinned, second)
	before := f.head(t, id.Platform)
	for name, tc := range map[string]struct {
		model string
		state authzv1.ModelState
		aud   *authzv1.Canary
		want  commonv1.Reason
		field string
	}{
		"no model":                  {"mdl_" + strings.Repeat("0", 32), active, nil, commonv1.Reason_NOT_FOUND, ""},
		"malformed model":           {"documents", active, nil, commonv1.Reason_INVALID_FIELD, "model"},
		"to draft":                  {first, authzv1.ModelState_MODEL_STATE_DRAFT, nil, commonv1.Reason_INVALID_FIELD, "state"},
		"to nothing":                {first, 0, nil, commonv1.Reason_INVALID_FIELD, "state"},
		"to an unknown state":       {first, 9, nil, commonv1.Reason_INVALID_FIELD, "state"},
		"canary without whom":       {third, canary, nil, commonv1.Reason_INVALID_FIELD, "canary"},
		"active with whom":          {third, active, &authzv1.Canary{}, commonv1.Reason_INVALID_FIELD, "canary"},
		"more than everybody":       {third, canary, &authzv1.Canary{BasisPoints: 10_001}, commonv1.Reason_INVALID_FIELD, "canary.basis_points"},
		"malformed organization":    {third, canary, &authzv1.Canary{Organizations: []string{"acme"}}, commonv1.Reason_INVALID_FIELD, "canary.organizations[0]"},
		"a second canary":           {third, canary, &authzv1.Canary{}, commonv1.Reason_MODEL_STATE, ""},
		"active to canary":          {first, canary, &authzv1.Canary{}, commonv1.Reason_MODEL_STATE, ""},
		"retiring what is followed": {first, retired, nil, commonv1.Reason_MODEL_IN_USE, ""},
		"retiring what is assigned": {second, retired, nil, commonv1.Reason_MODEL_IN_USE, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := f.set(t.Context(), tc.model, tc.state, tc.aud)
			wantReason(t, err, tc.want)
			if got := metaOf(t, err)["field"]; got != tc.field {
				t.Errorf("field is %q, want %q", got, tc.field)
			}
		})
	}
	if after := f.head(t, id.Platform); after != before {
		t.Errorf("refused steps moved the platform's head from %d to %d", before, after)
	}
	f.verify(t, id.Platform)
}

func TestSetModelStateIsIdempotent(t *testing.T) {
	f := newFixture(t, authz.Config{})
	m := f.publishedModel(t, model)
	request := &authzv1.SetModelStateRequest{Model: m, State: active, IdempotencyKey: "once"}
	first, err := f.models.SetModelState(t.Context(), request)
	if err != nil || first.GetModel().GetState() != active {
		t.Fatalf("first: %v, %v", first, err)
	}
	head := f.head(t, id.Platform)
	again, err := f.models.SetModelState(t.Context(), request)
	if err != nil || !proto.Equal(first, again) {
		t.Errorf("again: %v, %v; want %v", again, err, first)
	}
	f.mustSet(t, m, active, nil) // under another key: it is there already
	if after := f.head(t, id.Platform); after != head {
		t.Errorf("the head went from %d to %d, want no event", head, after)
	}
}

func TestDiffModels(t *testing.T) {
	f := newFixture(t, authz.Config{})
	org := f.organization(t)
	first := f.uses(t, org)
	second := f.publishedModel(t, stricter)
	for i := range 7 {
		f.write(t, org, touch, relationship(fmt.Sprintf("document:%d", i), "reader", "group:staff#member"))
	}
	at := f.write(t, org, touch, relationship("document:plan", "owner", "user:anna"))
	files := []*authzv1.ModelFile{{Path: "next.fga", Content: stricter}}
	for name, req := range map[string]*authzv1.DiffModelsRequest{
		"a published model": {Organization: org, To: second, Freshness: atLeast(at)},
		"files":             {Organization: org, Files: files, Freshness: atLeast(at)},
		"from a model":      {Organization: org, From: first, To: second, Freshness: atLeast(at)},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := f.models.DiffModels(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if c := answer.GetChanges(); len(c) != 1 || c[0].GetType() != "document" || c[0].GetRelation() != "reader" ||
				c[0].GetAfter() != "define reader: [user] or owner" {
				t.Errorf("changes are %v", c)
			}
			if o := answer.GetOrphans(); len(o) != 1 || o[0].GetKind() != "document#reader@group#member" || o[0].GetCount() != 7 ||
				len(o[0].GetExamples()) != 5 || !strings.Contains(o[0].GetWhy(), "allows only user") {
				t.Errorf("orphans are %v", o)
			}
			if answer.GetOrphaned() != 7 || answer.GetRelationships() != 8 || answer.GetEvaluatedAt().GetSequence() < 10 {
				t.Errorf("orphaned %d of %d at %v", answer.GetOrphaned(), answer.GetRelationships(), answer.GetEvaluatedAt())
			}
		})
	}
	plain, err := f.models.DiffModels(t.Context(), &authzv1.DiffModelsRequest{From: second, To: first})
	if err != nil || len(plain.GetChanges()) != 1 || plain.GetEvaluatedAt() != nil || plain.GetOrphans() != nil {
		t.Errorf("without an organization: %v, %v", plain, err)
	}
	for name, tc := range map[string]struct {
		req  *authzv1.DiffModelsRequest
		want commonv1.Reason
	}{
		"no target":           {&authzv1.DiffModelsRequest{Organization: org}, commonv1.Reason_INVALID_FIELD},
		"two targets":         {&authzv1.DiffModelsRequest{Organization: org, To: second, Files: files}, commonv1.Reason_INVALID_FIELD},
		"nothing to begin":    {&authzv1.DiffModelsRequest{To: second}, commonv1.Reason_INVALID_FIELD},
		"absent target":       {&authzv1.DiffModelsRequest{Organization: org, To: "mdl_" + strings.Repeat("0", 32)}, commonv1.Reason_NOT_FOUND},
		"absent beginning":    {&authzv1.DiffModelsRequest{From: "mdl_" + strings.Repeat("0", 32), To: second}, commonv1.Reason_NOT_FOUND},
		"absent organization": {&authzv1.DiffModelsRequest{Organization: id.New(id.Organization), To: second}, commonv1.Reason_NOT_FOUND},
		"no model assigned":   {&authzv1.DiffModelsRequest{Organization: f.opened(t), To: second}, commonv1.Reason_MODEL_NOT_ASSIGNED},
		"files that do not compile": {
			&authzv1.DiffModelsRequest{Organization: org, Files: []*authzv1.ModelFile{{Path: "x.fga", Content: "model"}}},
			commonv1.Reason_MODEL_INVALID,
		},
		"malformed revision": {&authzv1.DiffModelsRequest{Organization: org, To: second, Freshness: atLeast("garbage")}, commonv1.Reason_REVISION_MALFORMED},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.models.DiffModels(t.Context(), tc.req)
			wantReason(t, err, tc.want)
		})
	}
}
