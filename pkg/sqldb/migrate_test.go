package sqldb_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
)

// TestMigrateByManyAtOnce: each of them has connections and a lock of its own,
// as so many processes would.
func TestMigrateByManyAtOnce(t *testing.T) {
	t.Parallel()
	url := sqltest.EmptyURL(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	var log bytes.Buffer
	for range 8 {
		db := open(t, sqldb.Config{URL: url, MaxConns: 2})
		group.Go(func() {
			var own bytes.Buffer
			if err := sqldb.Migrate(t.Context(), db, slog.New(slog.NewTextHandler(&own, nil))); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			log.Write(own.Bytes())
		})
	}
	group.Wait()
	for _, file := range []string{"0001_log.sql", "0002_projections.sql", "0001_organizations.sql", "0001_authz.sql"} {
		if got := strings.Count(log.String(), file); got != 1 {
			t.Errorf("%s was applied %d times, want once", file, got)
		}
	}
	db := open(t, sqldb.Config{URL: url})
	for _, table := range []string{"log.events", "log.checkpoints", "identity.organizations", "authz.relationships"} {
		if got := number(t, db.Pool(), "SELECT count(*) FROM "+table); got != 0 {
			t.Errorf("%s holds %d rows", table, got)
		}
	}
}

// TestMigrateAgain changes nothing, and holds the lock no longer than it runs.
func TestMigrateAgain(t *testing.T) {
	t.Parallel()
	db := sqltest.New(t)
	var log bytes.Buffer
	if err := sqldb.Migrate(t.Context(), db, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if log.Len() != 0 {
		t.Fatalf("a second run says %s", log.String())
	}
	if got := number(t, db.Pool(), "SELECT count(*) FROM public.migrations_lock WHERE locked"); got != 0 {
		t.Fatal("the lock is still held")
	}
}

// TestNothingOfCockroachReachesPostgreSQL looks at every statement that Migrate
// sends.
func TestNothingOfCockroachReachesPostgreSQL(t *testing.T) {
	t.Parallel()
	tracer := &statements{}
	db := open(t, sqldb.Config{URL: sqltest.EmptyURL(t), Tracer: tracer})
	if db.Flavor() != sqldb.PostgreSQL {
		return
	}
	if err := sqldb.Migrate(t.Context(), db, quiet()); err != nil {
		t.Fatal(err)
	}
	if err := sqldb.ApplyLocalities(t.Context(), db, quiet()); err != nil {
		t.Fatal(err)
	}
	if found := tracer.containing("LOCALITY", "SHOW REGIONS", "SURVIVE", "CRDB_", "TTL_", "TTL =", "COCKROACH"); len(found) > 0 {
		t.Fatalf("PostgreSQL was sent %q", found)
	}
	if found := tracer.containing("CREATE TABLE IF NOT EXISTS LOG.EVENTS"); len(found) != 1 {
		t.Fatal("the tracer does not see the migrations: this test proves nothing")
	}
	if got := number(t, db.Pool(), "SELECT count(*) FROM pg_catalog.pg_tables WHERE tablename = 'migrations_cockroach'"); got != 0 {
		t.Fatal("the overlay was applied to PostgreSQL")
	}
}
