package rpc_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

func TestImportsOfTheSameUsers(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	m := f.migration(t)
	acme := f.organization(t, ctx, "acme")
	var users []*identityv1.ImportedUser
	for i := range 12 { // each address twice, under two ids
		users = append(users, person(fmt.Sprint(i), fmt.Sprintf("user-%d@example.com", i/2), acme))
	}
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		count = map[identityv1.ImportOutcome]int{}
		who   = map[string]map[string]bool{} // user by address
	)
	for range 4 {
		group.Go(func() {
			answer, err := m.ImportUsers(ctx, &identityv1.ImportUsersRequest{Source: "console", Users: users, IdempotencyKey: key()})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for i, r := range answer.GetResults() {
				count[r.GetOutcome()]++
				email := users[i].GetEmail()
				if who[email] == nil {
					who[email] = map[string]bool{}
				}
				who[email][r.GetUser()] = true
			}
		})
	}
	group.Wait()
	if count[created] != 6 || count[linked] != 6 || count[unchanged] != 36 {
		t.Errorf("%v; want each address made once, linked once, and unchanged after", count)
	}
	for email, found := range who {
		if len(found) != 1 {
			t.Errorf("%s is of %v", email, found)
		}
	}
	if logs := f.verifyAll(t); logs != 8 {
		t.Errorf("%d logs, want the platform, the organization and six users", logs)
	}
}

// Somebody who is at home in another region can only be linked there.
func TestImportOfSomebodyAtHomeElsewhere(t *testing.T) {
	f, ctx := newFixture(t), admin(t)
	abroad := f.abroad(t)
	bring(t, ctx, f.migration(t), person("1", "ada@example.com"))
	there := abroad.migration(t)
	got := bring(t, ctx, there, person("2", "ada@example.com"), person("3", "bob@example.com"))
	if !slices.Equal(becameOf(got), []identityv1.ImportOutcome{declined, created}) || got[0].GetReason() != "KEY_ELSEWHERE" ||
		!strings.Contains(got[0].GetDetail(), "eu-west") {
		t.Errorf("%v", got)
	}
	bob, err := store.FindUser(ctx, f.db.Pool(), got[1].GetUser())
	if err != nil || bob.HomeRegion != "us-east" {
		t.Errorf("%v, %v", bob.HomeRegion, err)
	}
}

// Users are imported by transactions that all overlap. None is asked to run again.
func TestImportsDoNotConflict(t *testing.T) {
	const each = 8
	meeting := &sqltest.Meeting{Mark: "INSERT INTO identity.links"}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqltest.URL(t), MaxConns: each + 2, Tracer: meeting})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	f, ctx := newFixtureOn(t, db), admin(t)
	m := f.migration(t)
	bring(t, ctx, m, person("first", "first@example.com"))
	for round := range 3 {
		var organizations [each]string
		for i := range organizations {
			organizations[i] = f.organization(t, ctx, fmt.Sprintf("org-%d-%d", round, i))
		}
		meeting.Expect(each)
		var group sync.WaitGroup
		for i, organization := range organizations {
			group.Go(func() {
				u := person(fmt.Sprint(round, ".", i), fmt.Sprintf("user-%d-%d@example.com", round, i), organization)
				u.PasswordHash = foreignHash
				if got := bring(t, ctx, m, u); got[0].GetOutcome() != created {
					t.Errorf("%v", got)
				}
			})
		}
		group.Wait()
		if runs := meeting.Runs(); runs != each {
			t.Errorf("round %d: %d transactions ran for %d commits", round, runs, each)
		}
		meeting.Expect(0)
	}
	f.verifyAll(t)
}

func TestFoldFindsLinksThatDiffer(t *testing.T) {
	for name, change := range map[string]string{
		"gone":         `DELETE FROM identity.links`,
		"another id":   `UPDATE identity.links SET external_id = '2'`,
		"forgotten":    `UPDATE identity.links SET external_id = ''`,
		"migrated":     `UPDATE identity.links SET migrated_at = now()`,
		"another link": `UPDATE identity.links SET external = external || '\x00'`,
		"other source": `UPDATE identity.links SET source = 'shop'`,
	} {
		t.Run(name, func(t *testing.T) {
			f, ctx := newFixture(t), admin(t)
			ada := bring(t, ctx, f.migration(t), person("1", "ada@example.com"))[0].GetUser()
			f.verify(t, ada)
			if _, err := f.db.Pool().Exec(ctx, change); err != nil {
				t.Fatal(err)
			}
			if f.difference(t, ada) == nil {
				t.Error("the fold finds no difference")
			}
		})
	}
}
