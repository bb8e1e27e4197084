package sqltest_test

import (
	"testing"

	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
)

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	for range 4 {
		t.Run("fresh", func(t *testing.T) {
			t.Parallel()
			db := sqltest.New(t)
			var logs int
			if err := db.Pool().QueryRow(t.Context(), "SELECT count(*) FROM log.logs").Scan(&logs); err != nil {
				t.Fatal(err)
			}
			if logs != 0 {
				t.Fatalf("a fresh database holds %d logs", logs)
			}
			const insert = `INSERT INTO log.logs (log_id, home_region, head, head_hash, head_time, created_at)
				VALUES ('platform', 'eu', 0, '', now(), now())`
			if _, err := db.Pool().Exec(t.Context(), insert); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		db := sqltest.New(b)
		if err := db.Pool().Ping(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
