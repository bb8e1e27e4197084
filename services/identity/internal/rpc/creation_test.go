package rpc_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
)

// Organizations are created, and tokens of others, by transactions that all
// overlap: none commits before all of them want to. None is asked to run again.
func TestCreationsDoNotConflict(t *testing.T) {
	const each = 8
	meeting := &sqltest.Meeting{Mark: "INSERT INTO log.idempotency"}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqltest.URL(t), MaxConns: 2*each + 2, Tracer: meeting})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	f, ctx := newFixtureOn(t, db), admin(t)
	for round := range 3 {
		var owners [each]string
		for i := range owners {
			owners[i] = f.organization(t, ctx, fmt.Sprintf("owner-%d-%d", round, i))
		}
		meeting.Expect(2 * each)
		var group sync.WaitGroup
		for i, owner := range owners {
			key := fmt.Sprintf("%d-%d", round, i)
			group.Go(func() {
				_, err := f.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{
					Slug: "new-" + key, Name: "New", IdempotencyKey: "new " + key,
				})
				if err != nil {
					t.Error(err)
				}
			})
			group.Go(func() {
				_, err := f.tokens.CreateApiToken(ctx, &identityv1.CreateApiTokenRequest{
					Organization: owner, Name: "token", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: "token " + key,
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if runs := meeting.Runs(); runs != 2*each {
			t.Errorf("round %d: %d transactions ran for %d commits", round, runs, 2*each)
		}
		meeting.Expect(0)
		for _, owner := range owners {
			f.verify(t, owner)
		}
	}
}
