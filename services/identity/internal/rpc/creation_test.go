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

// meeting is a database whose commits can be made to overlap: none commits before
// all of them want to.
func meeting(t *testing.T, connections int32) (*fixture, *sqltest.Meeting) {
	t.Helper()
	m := &sqltest.Meeting{Mark: "INSERT INTO log.idempotency"}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqltest.URL(t), MaxConns: connections, Tracer: m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return newFixtureOn(t, db), m
}

// Users are created, and others made members, by transactions that all overlap.
// None is asked to run again.
func TestNewPeopleDoNotConflict(t *testing.T) {
	const each = 8
	f, meeting := meeting(t, 2*each+2)
	ctx := admin(t)
	for round := range 3 {
		var owners, people [each]string
		for i := range owners {
			owners[i] = f.organization(t, ctx, fmt.Sprintf("owner-%d-%d", round, i))
			people[i] = f.user(t, ctx, fmt.Sprintf("user-%d-%d@example.com", round, i), fmt.Sprint("User ", i))
		}
		meeting.Expect(2 * each)
		var group sync.WaitGroup
		for i, owner := range owners {
			group.Go(func() {
				f.user(t, ctx, fmt.Sprintf("new-%d-%d@example.com", round, i), fmt.Sprint("User ", i))
			})
			group.Go(func() { f.member(t, ctx, owner, people[i], administrator) })
		}
		group.Wait()
		if runs := meeting.Runs(); runs != 2*each {
			t.Errorf("round %d: %d transactions ran for %d commits", round, runs, 2*each)
		}
		meeting.Expect(0)
		for i, owner := range owners {
			f.verify(t, owner)
			f.verify(t, people[i])
		}
	}
}

// Organizations are created, and tokens of others, by transactions that all
// overlap. None is asked to run again.
func TestCreationsDoNotConflict(t *testing.T) {
	const each = 8
	f, meeting := meeting(t, 2*each+2)
	ctx := admin(t)
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
