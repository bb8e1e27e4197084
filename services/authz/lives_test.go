package authz_test

import (
	"context"
	"fmt"
	"slices"
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

// rolledOut waits until no line is under way.
func (f *fixture) rolledOut(t testing.TB) {
	t.Helper()
	f.until(t, `SELECT NOT EXISTS (SELECT 1 FROM authz.rollouts WHERE NOT finished)`)
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

// What a follower was answered before it was moved, it was answered by the model
// of that revision.
func TestRevisionsKeepTheirModel(t *testing.T) {
	f := newFixture(t, authz.Config{})
	first, second := f.publishedModel(t, model), f.publishedModel(t, looser)
	f.mustSet(t, first, active, nil)
	org := f.followers(t, 1)[0]
	before, err := f.checks.Check(t.Context(), &authzv1.CheckRequest{
		Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:plan", Freshness: atLeast(token(t, org, 2)),
	})
	if err != nil || before.GetModel() != first || before.GetEvaluatedAt().GetSequence() != 2 {
		t.Fatalf("before: %v, %v; want %s at 2", before, err, first)
	}
	f.mustSet(t, second, active, nil)
	after, err := f.checks.Check(t.Context(), &authzv1.CheckRequest{
		Organization: org, Subject: "user:anna", Permission: "can_read", Resource: "document:plan", Freshness: atLeast(f.awaited(t, org, 3)),
	})
	if err != nil || after.GetModel() != second || after.GetEvaluatedAt().GetSequence() != 3 {
		t.Errorf("after: %v, %v; want %s at 3", after, err, second)
	}
}

// awaited waits until a log has a revision and returns its token.
func (f *fixture) awaited(t testing.TB, org string, sequence uint64) string {
	t.Helper()
	f.until(t, `SELECT head >= $2 FROM log.logs WHERE log_id = $1`, org, int64(sequence))
	return token(t, org, sequence)
}

// A canary of 20 % is a part of the one of 50 %.
func TestLargerShares(t *testing.T) {
	f := newFixture(t, authz.Config{})
	first, second := f.publishedModel(t, model), f.publishedModel(t, looser)
	f.mustSet(t, first, active, nil)
	orgs := f.followers(t, 60)
	held := map[string]bool{}
	for _, points := range []uint32{2000, 5000, 10_000, 0} {
		f.mustSet(t, second, canary, &authzv1.Canary{BasisPoints: points})
		f.rolledOut(t)
		now := map[string]bool{}
		for _, org := range orgs {
			now[org] = f.uses(t, org) == second
			if held[org] && !now[org] && points > 0 {
				t.Errorf("%s was in the smaller share and is not in %d", org, points)
			}
		}
		count := 0
		for _, in := range now {
			if in {
				count++
			}
		}
		if want := len(orgs) * int(points) / 10_000; count < want-15 || count > want+15 || points == 0 && count > 0 {
			t.Errorf("%d basis points hold %d of %d", points, count, len(orgs))
		}
		held = now
	}
}

// A roll-out that is stopped half-way goes on where it was and moves nobody twice.
func TestRolloutGoesOn(t *testing.T) {
	f := newFixture(t, authz.Config{})
	first, second := f.publishedModel(t, model), f.publishedModel(t, looser)
	f.mustSet(t, first, active, nil)
	orgs := f.followers(t, 130)
	// The worker hangs at an organization whose log somebody holds.
	f.until(t, `SELECT count(*) = 130 FROM authz.assignments WHERE line = $1`, line)
	hold, err := f.db.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var held string
	err = hold.QueryRow(t.Context(), `SELECT log_id FROM log.logs WHERE log_id = (
		SELECT organization_id FROM authz.assignments WHERE line = $1 ORDER BY organization_id OFFSET 110 LIMIT 1) FOR UPDATE`, line).Scan(&held)
	if err != nil {
		t.Fatal(err)
	}
	f.mustSet(t, second, active, nil)
	f.until(t, `SELECT count(*) = 110 FROM authz.assignments WHERE model_id = $1`, second)
	f.stopService()
	if err := hold.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	var position string
	if err := f.db.Pool().QueryRow(t.Context(), `SELECT position FROM authz.rollouts WHERE NOT finished`).Scan(&position); err != nil || position == "" || position >= held {
		t.Errorf("position is %q, %v; want one before %s", position, err, held)
	}
	f.startService(t)
	f.rolledOut(t)
	for _, org := range orgs {
		if head := f.head(t, org); head != 3 {
			t.Errorf("%s is at %d, want 3: moved once", org, head)
		}
		if got := f.uses(t, org); got != second {
			t.Errorf("%s uses %s, want %s", org, got, second)
		}
	}
}

// Two workers at once move everybody once.
func TestTwoRolloutWorkers(t *testing.T) {
	f := newFixture(t, authz.Config{})
	first, second := f.publishedModel(t, model), f.publishedModel(t, looser)
	f.mustSet(t, first, active, nil)
	orgs := f.followers(t, 40)
	f.mustSet(t, second, active, nil)
	f.startService(t) // a second process beside the first
	f.rolledOut(t)
	for _, org := range orgs {
		if head := f.head(t, org); head != 3 {
			t.Errorf("%s is at %d, want 3: moved once", org, head)
		}
	}
}

// An organization with relationships that would not be allowed is left where it
// is, and the others are moved. Once it has none, the next request moves it.
func TestRolloutLeavesOrphans(t *testing.T) {
	f := newFixture(t, authz.Config{})
	first, second := f.publishedModel(t, model), f.publishedModel(t, stricter)
	f.mustSet(t, first, active, nil)
	orgs := f.followers(t, 3)
	shared := relationship("document:plan", "reader", "group:staff#member")
	f.write(t, orgs[1], touch, shared)
	f.mustSet(t, second, active, nil)
	f.rolledOut(t)
	for i, want := range []string{second, first, second} {
		if got := f.uses(t, orgs[i]); got != want {
			t.Errorf("organization %d uses %s, want %s", i, got, want)
		}
	}
	var moved, left int
	if err := f.db.Pool().QueryRow(t.Context(), `SELECT moved, left_out FROM authz.rollouts`).Scan(&moved, &left); err != nil || moved != 2 || left != 1 {
		t.Errorf("moved %d, left %d, %v; want 2 and 1", moved, left, err)
	}
	rollout := f.rollout(t)
	if behind := rollout.GetFirstLeft(); !rollout.GetFinished() || rollout.GetMoved() != 2 || rollout.GetLeft() != 1 || len(behind) != 1 ||
		behind[0].GetOrganization() != orgs[1] || behind[0].GetModelNow() != first || behind[0].GetModelWanted() != second ||
		behind[0].GetReason() != "MODEL_ORPHANS" || !strings.HasPrefix(behind[0].GetWhy(), "1 stored relationships would not be allowed") ||
		rollout.GetRevision() != token(t, id.Platform, f.head(t, id.Platform)) {
		t.Errorf("the roll-out is %v", rollout)
	}
	f.write(t, orgs[1], remove, shared)
	f.mustSet(t, second, active, nil)
	f.rolledOut(t)
	if got := f.uses(t, orgs[1]); got != second {
		t.Errorf("after it was cleaned up it uses %s, want %s", got, second)
	}
	if again := f.rollout(t); again.GetMoved() != 1 || again.GetLeft() != 0 || len(again.GetFirstLeft()) != 0 {
		t.Errorf("after it was cleaned up the roll-out is %v", again)
	}
}

func (f *fixture) rollout(t testing.TB) *authzv1.GetRolloutResponse {
	t.Helper()
	answer, err := f.models.GetRollout(t.Context(), &authzv1.GetRolloutRequest{Line: line})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// At most ten of those that were left are named, by id, and not those of the
// roll-out before.
func TestRolloutNamesTheFirstLeft(t *testing.T) {
	f := newFixture(t, authz.Config{})
	first, second, third := f.publishedModel(t, model), f.publishedModel(t, stricter), f.publishedModel(t, looser)
	_, err := f.models.GetRollout(t.Context(), &authzv1.GetRolloutRequest{Line: "no such line"})
	wantReason(t, err, commonv1.Reason_NOT_FOUND)
	f.mustSet(t, first, active, nil)
	if none := f.rollout(t); !none.GetFinished() || none.GetRevision() != "" {
		t.Errorf("a line that nobody follows: %v", none)
	}
	orgs := f.followers(t, 12)
	slices.Sort(orgs)
	for _, org := range orgs {
		f.write(t, org, touch, relationship("document:plan", "reader", "group:staff#member"))
	}
	f.mustSet(t, second, active, nil)
	f.rolledOut(t)
	var named []string
	left := f.rollout(t)
	for _, l := range left.GetFirstLeft() {
		named = append(named, l.GetOrganization())
	}
	if left.GetLeft() != 12 || !slices.Equal(named, orgs[:10]) {
		t.Errorf("left %d, named %v; want 12 and %v", left.GetLeft(), named, orgs[:10])
	}
	f.write(t, orgs[0], remove, relationship("document:plan", "reader", "group:staff#member"))
	f.follow(t, orgs[0])
	if got := f.rollout(t).GetFirstLeft(); len(got) != 10 || got[0].GetOrganization() != orgs[1] {
		t.Errorf("those that are left are %v, want 10 from %s on: the one before has the model now", got, orgs[1])
	}
	f.mustSet(t, third, active, nil)
	f.rolledOut(t)
	if after := f.rollout(t); after.GetLeft() != 0 || len(after.GetFirstLeft()) != 0 {
		t.Errorf("after a roll-out that leaves nobody: %v", after)
	}
}

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

func (f *fixture) assignModel(t testing.TB, org, model string) {
	t.Helper()
	if _, err := f.models.AssignModel(t.Context(), &authzv1.AssignModelRequest{
		Organization: org, Choice: &authzv1.AssignModelRequest_Model{Model: model}, IdempotencyKey: f.key(),
	}); err != nil {
		t.Fatal(err)
	}
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
