package sqltest_test

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
)

func TestMeeting(t *testing.T) {
	t.Parallel()
	meeting := &sqltest.Meeting{Mark: "INSERT INTO notes"}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: sqltest.URL(t), MaxConns: 4, Tracer: meeting})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if _, err := db.Pool().Exec(t.Context(), "CREATE TABLE notes (n INT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		read bool
		runs int
	}{
		"they do not conflict":             {false, 2},
		"each reads what the other writes": {true, 3},
	} {
		meeting.Expect(2)
		var group sync.WaitGroup
		for n := range 2 {
			group.Go(func() {
				err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, "INSERT INTO notes VALUES ($1)", n); err != nil || !tc.read {
						return err
					}
					var count int
					return tx.QueryRow(ctx, "SELECT count(*) FROM notes").Scan(&count)
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if runs := meeting.Runs(); runs != tc.runs {
			t.Errorf("%s: they ran %d times, want %d", name, runs, tc.runs)
		}
	}
}
