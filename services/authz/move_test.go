package authz_test

import (
	"context"
	"maps"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/relay"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/authz"
)

// rowHomes are the home regions of an organization's rows, by what they are of.
func (f *fixture) rowHomes(t *testing.T, org string) map[string]string {
	t.Helper()
	rows, err := f.db.Pool().Query(t.Context(), `
		SELECT 'model', home_region FROM authz.assignments WHERE organization_id = $1
		UNION ALL SELECT 'role:' || role, home_region FROM authz.roles WHERE organization_id = $1
		UNION ALL SELECT resource || '@' || subject, home_region FROM authz.relationships WHERE organization_id = $1`, org)
	if err != nil {
		t.Fatal(err)
	}
	homes := map[string]string{}
	var of, home string
	_, err = pgx.ForEachRow(rows, []any{&of, &home}, func() error {
		homes[of] = home
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return homes
}

// The graph follows an organization to its new home. Rows written from then on
// are there; those written before stay where they are.
func TestOrganizationMoves(t *testing.T) {
	const newHome = "us-east"
	f := newFixture(t, authz.Config{})
	run(t, "relay of the new home", relay.New(relay.Config{
		DB: f.db, Store: f.log, Bus: f.bus, Region: newHome, Holder: "test",
	}).Run)
	org := f.organization(t)
	f.write(t, org, touch, relationship("document:plan", "owner", "user:anna"))
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.log.Append(ctx, tx, eventlog.Append{
			Log: org, Expected: eventlog.AnyHead, MoveTo: newHome, Actor: actor,
			Events: []proto.Message{&eventv1.OrganizationHomeMoved{Organization: org, From: region, To: newHome}},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	at := f.write(t, org, touch, relationship("document:plan", "banned", "user:bob"))
	for subject, want := range map[string]bool{"user:anna": true, "user:bob": false} {
		allowed, err := f.check(t.Context(), org, subject, "can_read", "document:plan", atLeast(at))
		if err != nil || allowed != want {
			t.Errorf("%s after the move: %v, %v; want %v", subject, allowed, err, want)
		}
	}
	want := map[string]string{"model": region, "document:plan@user:anna": region, "document:plan@user:bob": newHome}
	if homes := f.rowHomes(t, org); !maps.Equal(homes, want) {
		t.Errorf("rows are at home in %v, want %v", homes, want)
	}
	f.assign(t, org, model+"\ntype role\n  relations\n    define assignee: [user]\n")
	f.createRole(t, org, "operator")
	homes := f.rowHomes(t, org)
	if homes["model"] != newHome || homes["role:operator"] != newHome {
		t.Errorf("rows are at home in %v, want the model and the role in %s", homes, newHome)
	}
	f.verify(t, org)
}
