package project_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// seen is a projection that has a row for each event: a repeat breaks its key.
type seen struct {
	poison atomic.Pointer[string]
	hook   func()
}

func (s *seen) Name() string { return "seen" }

func (s *seen) Apply(ctx context.Context, tx pgx.Tx, e eventlog.Recorded) error {
	if p := s.poison.Load(); p != nil && *p == e.Envelope.GetLog() && e.Envelope.GetSequence() == 3 {
		return errors.New("cannot")
	}
	if s.hook != nil {
		s.hook()
	}
	_, err := tx.Exec(ctx, "INSERT INTO seen (log_id, sequence) VALUES ($1, $2)", e.Envelope.GetLog(), int64(e.Envelope.GetSequence()))
	return err
}

func (s *seen) Reset(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "DELETE FROM seen")
	return err
}

func createSeen(t testing.TB, db *sqldb.DB) {
	t.Helper()
	_, err := db.Pool().Exec(t.Context(), "CREATE TABLE seen (log_id TEXT, sequence BIGINT, PRIMARY KEY (log_id, sequence))")
	if err != nil {
		t.Fatal(err)
	}
}

// rowsOf counts the rows of a log and fails the test when they are not 1..n.
func (f *fixture) rowsOf(t testing.TB, log string) uint64 {
	t.Helper()
	var count, last int64
	err := f.db.Pool().QueryRow(context.Background(),
		"SELECT count(*), COALESCE(max(sequence), 0) FROM seen WHERE log_id = $1", log).Scan(&count, &last)
	if err != nil {
		t.Fatal(err)
	}
	if count != last {
		t.Fatalf("%s: %d rows up to sequence %d", log, count, last)
	}
	return uint64(count)
}

func (f *fixture) rows(t testing.TB, rows project.Rows, change ...func(*project.Config)) (stop func()) {
	t.Helper()
	c := f.config()
	for _, one := range change {
		one(&c)
	}
	return background(t, func(ctx context.Context) error { return project.RunRows(ctx, c, rows) })
}

func TestRowsFollowAndGoOn(t *testing.T) {
	f := newFixture(t)
	createSeen(t, f.db)
	f.relay(t)
	logs := []string{newLog(), newLog()}
	registry := prometheus.NewRegistry()
	for n := range uint64(3) {
		stop := f.rows(t, &seen{}, func(c *project.Config) { c.Metrics = registry })
		for _, log := range logs {
			f.commit(t, log, 20)
			until(t, "the rows are there", func() bool { return f.rowsOf(t, log) == 20*(n+1) })
		}
		// Rows are there a moment before their writer hears that they are.
		until(t, "they are counted", func() bool {
			return value(t, registry, "meridian_projection_applied_total") >= float64(40*(n+1))
		})
		stop()
	}
	if n := value(t, registry, "meridian_projection_applied_total"); n != 120 {
		t.Fatalf("%v events applied, want 120", n)
	}
}

func TestTwoWritersOfOneProjection(t *testing.T) {
	f := newFixture(t)
	createSeen(t, f.db)
	f.relay(t)
	f.rows(t, &seen{})
	f.rows(t, &seen{})
	log := newLog()
	for range 30 {
		f.commit(t, log, 3)
	}
	until(t, "the rows are there", func() bool { return f.rowsOf(t, log) == 90 })
	noHalts(t, f)
}

func noHalts(t *testing.T, f *fixture) {
	t.Helper()
	halts, err := project.Halts(t.Context(), f.db.Pool(), "seen", "")
	if err != nil || len(halts) != 0 {
		t.Fatalf("halts %+v, %v", halts, err)
	}
}

func TestRowsFillGaps(t *testing.T) {
	f := newFixture(t)
	createSeen(t, f.db)
	f.rows(t, &seen{})
	log := newLog()
	f.commit(t, log, 7)
	events := f.events(t, log)
	for _, i := range []int{0, 3, 1, 6} {
		if _, err := f.bus.Publish(t.Context(), events[i]); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the rows are there", func() bool { return f.rowsOf(t, log) == 7 })
}

func TestPoisonHaltsOneLogOfRows(t *testing.T) {
	f := newFixture(t)
	createSeen(t, f.db)
	f.relay(t)
	bad, good := newLog(), newLog()
	rows := &seen{}
	rows.poison.Store(&bad)
	registry := prometheus.NewRegistry()
	f.rows(t, rows, func(c *project.Config) { c.Metrics = registry })
	for range 5 {
		f.commit(t, bad, 1)
		f.commit(t, good, 1)
	}
	until(t, "the good log is applied", func() bool { return f.rowsOf(t, good) == 5 })
	until(t, "the bad log is halted", func() bool {
		halts, err := project.Halts(t.Context(), f.db.Pool(), "seen", "")
		return err == nil && len(halts) == 1 && halts[0].Log == bad && halts[0].Sequence == 3 && halts[0].Reason == "cannot"
	})
	if n := f.rowsOf(t, bad); n > 2 {
		t.Fatalf("%d rows of the bad log", n)
	}
	if n := value(t, registry, "meridian_projection_halted"); n != 1 {
		t.Fatalf("halted gauge is %v", n)
	}
	if err := project.Resume(t.Context(), f.config(), rows, bad); err == nil {
		t.Fatal("the poison was applied")
	}
	rows.poison.Store(nil)
	if err := project.Resume(t.Context(), f.config(), rows, bad); err != nil {
		t.Fatal(err)
	}
	if n := f.rowsOf(t, bad); n != 5 {
		t.Fatalf("%d rows after Resume", n)
	}
	noHalts(t, f)
	f.commit(t, bad, 1)
	until(t, "the log goes on", func() bool { return f.rowsOf(t, bad) == 6 })
}

func TestRebuildRows(t *testing.T) {
	f := newFixture(t)
	createSeen(t, f.db)
	f.relay(t)
	f.rows(t, &seen{})
	logs := []string{newLog(), newLog(), newLog()}
	for _, log := range logs {
		f.commit(t, log, 40)
	}
	for _, log := range logs {
		until(t, "the rows are there", func() bool { return f.rowsOf(t, log) == 40 })
	}
	if _, err := f.db.Pool().Exec(t.Context(), "DELETE FROM seen WHERE log_id = $1", logs[1]); err != nil {
		t.Fatal(err)
	}
	// Readers see all rows or the old ones, never half.
	half := make(chan int64, 1)
	watched := &seen{hook: func() {
		var n int64
		if err := f.db.Pool().QueryRow(context.Background(), "SELECT count(*) FROM seen").Scan(&n); err == nil && n < 80 {
			select {
			case half <- n:
			default:
			}
		}
	}}
	n, err := project.Rebuild(t.Context(), f.config(), watched, nil)
	if err != nil || n != 120 {
		t.Fatalf("rebuilt %d, %v", n, err)
	}
	if len(half) > 0 {
		t.Fatalf("a reader saw %d rows", <-half)
	}
	for _, log := range logs {
		f.commit(t, log, 1)
		until(t, "the projection goes on", func() bool { return f.rowsOf(t, log) == 41 })
	}
	noHalts(t, f)
}
