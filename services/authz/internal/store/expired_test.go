package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	"github.com/meridian-iam/meridian/services/authz/internal/store"
)

// What a sweeper found is removed only when it still has expired: it may have
// been prolonged since, or removed by another.
func TestDeleteExpired(t *testing.T) {
	db := sqltest.New(t)
	until := func(subject string, expires int64) authzcore.Relationship {
		return authzcore.Relationship{
			Resource: "table:orders", Relation: "reader", Subject: subject, Terms: authzcore.Terms{Expires: expires},
		}
	}
	gone, prolonged, forever := until("user:a", 200), until("user:b", 201), until("user:c", 0)
	now := time.Unix(200, 0)
	err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		if _, _, err := store.Touch(ctx, tx, "org", "eu", []authzcore.Relationship{gone, prolonged, forever}); err != nil {
			return err
		}
		for region, want := range map[string][]store.Expired{"eu": {{Organization: "org", Relationship: gone}}, "us": {}} {
			found, err := store.FindExpired(ctx, tx, region, now, nil, 10)
			if err != nil {
				return err
			}
			if diff := cmp.Diff(want, found); diff != "" {
				t.Errorf("found in %s differs (-want +got):\n%s", region, diff)
			}
		}
		for _, want := range [][]authzcore.Relationship{{gone.Key()}, {}} {
			deleted, err := store.DeleteExpired(ctx, tx, "org", []authzcore.Relationship{gone, prolonged, forever}, now)
			if err != nil {
				return err
			}
			if diff := cmp.Diff(want, deleted); diff != "" {
				t.Errorf("deleted differs (-want +got):\n%s", diff)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
