package authz_test

import (
	"fmt"
	"strings"
	"testing"

	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

// BenchmarkAssignModel prints what a change of model costs an organization with
// a million relationships: when the new model allows all that the old one does,
// when it does not and every relationship is looked at, and a diff.
func BenchmarkAssignModel(b *testing.B) {
	const message, messages = 10_000, 100
	f := newFixture(b, authz.Config{})
	org := f.organization(b)
	imports := make([]*authzv1.ImportRelationshipsRequest, messages)
	for m := range imports {
		imports[m] = &authzv1.ImportRelationshipsRequest{Organization: org}
		for i := range message {
			n := m*message + i
			imports[m].Relationships = append(imports[m].Relationships, relationship(fmt.Sprintf("document:d%d", n/8), "reader", fmt.Sprintf("user:u%d", n%5000)))
		}
	}
	answer, err := f.importAll(b, imports...)
	if err != nil {
		b.Fatal(err)
	}
	f.answersAt(b, org, answer.GetRevision())
	first, second := f.publishedModel(b, model), f.publishedModel(b, looser)
	third := f.publishedModel(b, strings.Replace(model, "define banned: [user]", "define banned: [group#member]", 1))
	for name, models := range map[string][2]string{"keeps": {first, second}, "looks": {first, third}} {
		b.Run(name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				i++
				f.assignModel(b, org, models[i%2])
			}
		})
	}
	b.Run("diff", func(b *testing.B) {
		for b.Loop() {
			if _, err := f.models.DiffModels(b.Context(), &authzv1.DiffModelsRequest{Organization: org, To: third}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// answersAt loads an organization's graph up to a revision.
func (f *fixture) answersAt(t testing.TB, org, token string) {
	t.Helper()
	for {
		_, err := f.check(t.Context(), org, "user:nobody", "can_read", "document:none", atLeast(token))
		if err == nil {
			return
		}
		// A large log takes longer to load than a call may wait.
		wantReason(t, err, commonv1.Reason_DEADLINE)
	}
}

// BenchmarkRollout prints how many organizations a second a worker moves.
func BenchmarkRollout(b *testing.B) {
	f := newFixture(b, authz.Config{})
	first, second := f.publishedModel(b, model), f.publishedModel(b, looser)
	f.mustSet(b, first, active, nil)
	const n = 200
	f.followers(b, n)
	models := [2]string{first, second}
	i := 0
	for b.Loop() {
		i++
		f.mustSet(b, models[i%2], active, nil)
		f.rolledOut(b)
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "organizations/s")
}
