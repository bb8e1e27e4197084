package sweep_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	"github.com/meridian-iam/meridian/services/identity/internal/sweep"
)

func TestSweep(t *testing.T) {
	db, now := sqltest.New(t), time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	const rows = 2500
	for _, statement := range []string{
		`INSERT INTO identity.authentications (authentication_id, secret_hash, state, home_region, expires_at)
		 SELECT 'a' || n, '', '', 'eu', $1::TIMESTAMPTZ + n * '1 second'::INTERVAL FROM generate_series(1, 2500) n`,
		`INSERT INTO identity.ceremonies (ceremony_id, user_id, kind, state, attempts, home_region, expires_at)
		 SELECT 'c' || n, '', 2, '', 1, 'eu', $1::TIMESTAMPTZ + n * '1 second'::INTERVAL FROM generate_series(1, 2500) n`,
		`INSERT INTO identity.throttles (bucket, failures, blocked_until, updated_at, home_region)
		 SELECT decode(lpad(to_hex(n), 8, '0'), 'hex'), 1, 'epoch', $1::TIMESTAMPTZ + n * '1 second'::INTERVAL - '1 day'::INTERVAL, 'eu'
		 FROM generate_series(1, 2500) n`,
	} {
		if _, err := db.Pool().Exec(t.Context(), statement, now); err != nil {
			t.Fatal(err)
		}
	}
	at := now
	s := &sweep.Sweeper{DB: db, Clock: func() time.Time { return at }, Logger: slog.New(slog.DiscardHandler)}
	for _, tc := range []struct {
		at   time.Duration
		want int64
	}{{0, 0}, {1200 * time.Second, 3 * 1200}, {time.Hour, 3 * (rows - 1200)}, {2 * time.Hour, 0}} {
		at = now.Add(tc.at)
		if n, err := s.Sweep(t.Context()); err != nil || n != tc.want {
			t.Errorf("after %v: %d rows, %v; want %d", tc.at, n, err, tc.want)
		}
	}
}
