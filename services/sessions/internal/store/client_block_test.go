package store

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// The rows of blocked clients are the fold of their events; one for everybody counts for
// each organization.
func TestBlocks(t *testing.T) {
	t.Parallel()
	db, org, other := sqltest.New(t), id.New(id.Organization), id.New(id.Organization)
	const one, two = "https://app.example/client.json", "https://Z.example/_%"
	at := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	write := func(work func(ctx context.Context, tx pgx.Tx) error) {
		t.Helper()
		if err := db.Write(t.Context(), work); err != nil {
			t.Fatal(err)
		}
	}
	block := func(organization, client string) {
		t.Helper()
		write(func(ctx context.Context, tx pgx.Tx) error {
			return PutBlock(ctx, tx, Block{Organization: organization, Client: client, HomeRegion: region, BlockedAt: at})
		})
	}
	blocked := func(client string, organizations ...string) bool {
		t.Helper()
		is, err := Blocked(t.Context(), db.Pool(), client, organizations...)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	block(org, one)
	if blocked(one) || blocked(one, other) || blocked(two, org) || !blocked(one, org) || !blocked(one, other, org) || blocked(one, "") {
		t.Error("what an organization blocks is blocked for that one only")
	}
	block("", two)
	if !blocked(two) || !blocked(two, other) || blocked(one) {
		t.Error("what the platform blocks is blocked for everybody")
	}
	block(org, two)
	fold := newBlockFold(org)
	for _, client := range []string{one, two} {
		if !fold.apply(&eventv1.ClientBlocked{Client: client, Organization: org}) {
			t.Error("the fold does not know the event")
		}
	}
	compare := func(want bool) {
		t.Helper()
		if difference, err := fold.compare(t.Context(), db.Pool()); err != nil || (difference == "") != want {
			t.Errorf("%q, %v", difference, err)
		}
	}
	compare(true)
	write(func(ctx context.Context, tx pgx.Tx) error { return DeleteBlock(ctx, tx, org, one) })
	compare(false)
	if !fold.apply(&eventv1.ClientUnblocked{Client: one, Organization: org}) || fold.apply(&eventv1.ClientCreated{}) {
		t.Error("the fold knows the events of blocked clients, and no others")
	}
	compare(true)
	rows, err := ListBlocks(t.Context(), db.Pool(), org)
	if err != nil || len(rows) != 1 || rows[0].Client != two || !rows[0].BlockedAt.Equal(at) || rows[0].HomeRegion != region {
		t.Errorf("%v, %v", rows, err)
	}
}
