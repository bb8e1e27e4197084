package sqldb_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/migrations"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
)

// TestEveryRegionalTableHasALocality: a table with a home region that nobody has
// declared would live in the primary region.
func TestEveryRegionalTableHasALocality(t *testing.T) {
	t.Parallel()
	const regional = `SELECT table_schema || '.' || table_name FROM information_schema.columns
		WHERE column_name = 'home_region' AND table_schema = ANY($1)`
	rows, err := sqltest.New(t).Pool().Query(t.Context(), regional, migrations.Schemas())
	if err != nil {
		t.Fatal(err)
	}
	have, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	declared := sqldb.RowTables()
	slices.Sort(have)
	slices.Sort(declared)
	if diff := cmp.Diff(declared, have); diff != "" {
		t.Fatalf("rowTables and the migrations differ:\n%s", diff)
	}
}
