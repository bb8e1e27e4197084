package authz_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/id"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

// rolledOut waits until no line is under way.
func (f *fixture) rolledOut(t testing.TB) {
	t.Helper()
	f.until(t, `SELECT NOT EXISTS (SELECT 1 FROM authz.rollouts WHERE NOT finished)`)
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
