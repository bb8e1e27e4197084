package sqldb_test

import (
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
)

// A machine's clock may be off by any time: its nodes tell the database's.
func TestClockIsTheDatabases(t *testing.T) {
	t.Parallel()
	db := sqltest.New(t)
	for _, skew := range []time.Duration{0, -2 * time.Minute, 3 * time.Hour} {
		clock, err := db.NewClock(t.Context(), func() time.Time { return time.Now().Add(skew) })
		if err != nil {
			t.Fatal(err)
		}
		var before, after time.Time
		scan := func(to *time.Time) {
			if err := db.Pool().QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(to); err != nil {
				t.Fatal(err)
			}
		}
		scan(&before)
		now := clock.Now()
		scan(&after)
		const asking = 100 * time.Millisecond // half of what the first sample may have taken
		if now.Before(before.Add(-asking)) || now.After(after.Add(asking)) {
			t.Errorf("skew %s: the clock says %s, the database %s to %s", skew, now, before, after)
		}
	}
}

func TestBetterSamples(t *testing.T) {
	t.Parallel()
	const old = 10 * time.Millisecond // how far off the old sample may be
	for name, tc := range map[string]struct {
		local, database, within time.Duration
		want                    bool
	}{
		"as sharp":                     {5 * time.Second, 5 * time.Second, old, true},
		"sharper":                      {5 * time.Second, 5*time.Second + 9*time.Millisecond, time.Millisecond, true},
		"blurred by a slow link":       {5 * time.Second, 5*time.Second + 50*time.Millisecond, 60 * time.Millisecond, false},
		"blurred, the old one drifted": {10 * time.Minute, 10 * time.Minute, 60 * time.Millisecond, true},
		"the database's clock was set": {5 * time.Second, time.Hour, 60 * time.Millisecond, true},
	} {
		if got := sqldb.BetterSample(time.Now(), old, tc.local, tc.database, tc.within); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
