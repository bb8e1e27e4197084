package eventlog_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func (f fixture) outbox(t testing.TB, limit int) ([]eventlog.Pending, time.Time) {
	t.Helper()
	pending, asOf, err := f.Outbox(t.Context(), region, limit)
	if err != nil {
		t.Fatalf("outbox: %v", err)
	}
	return pending, asOf
}

func TestOutboxHasAppendsOldestFirstWithTheirEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b := newLog(), newLog()
	f.mustAppend(t, a, 0, manyNamed(3)...)
	f.mustAppend(t, b, 0, manyNamed(1)...)
	f.mustAppend(t, a, 3, manyNamed(256)...)
	pending, asOf := f.outbox(t, 10)
	if len(pending) != 3 || asOf.IsZero() || asOf.Location() != time.UTC {
		t.Fatalf("%d entries as of %v", len(pending), asOf)
	}
	for i, want := range []struct {
		log         string
		first, last uint64
	}{{a, 1, 3}, {b, 1, 1}, {a, 4, 259}} {
		p := pending[i]
		if p.Log != want.log || p.First != want.first || p.Last != want.last || !p.RecordedAt.Equal(p.Events[0].Time()) {
			t.Errorf("entry %d: %s %d to %d", i, p.Log, p.First, p.Last)
		}
		for n, e := range p.Events {
			if e.Envelope.GetLog() != p.Log || e.Envelope.GetSequence() != p.First+uint64(n) {
				t.Errorf("entry %d: event %s", i, sequenceOf(e))
			}
		}
		if uint64(len(p.Events)) != p.Last-p.First+1 {
			t.Errorf("entry %d: %d events", i, len(p.Events))
		}
	}
	if other, _, err := f.Outbox(t.Context(), "us", 10); err != nil || len(other) != 0 {
		t.Errorf("another region: %v, %v", other, err)
	}
}

func TestOutboxMakesNoClaimWhenThereIsMore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	for i := range 4 {
		f.mustAppend(t, log, uint64(i), named("x"))
	}
	pending, asOf := f.outbox(t, 3)
	if len(pending) != 3 || !asOf.IsZero() {
		t.Errorf("%d entries as of %v", len(pending), asOf)
	}
	if err := f.mark(t.Context(), region, pending); err != nil {
		t.Fatal(err)
	}
	pending, asOf = f.outbox(t, 3)
	if len(pending) != 1 || pending[0].First != 4 || asOf.IsZero() {
		t.Errorf("%d entries as of %v", len(pending), asOf)
	}
	for _, limit := range []int{0, eventlog.MaxOutbox + 1} {
		_, _, err := f.Outbox(t.Context(), region, limit)
		wantReason(t, err, commonv1.Reason_INVALID_FIELD)
	}
}

func TestOutboxIsBoundInBytesAndDrains(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	big := named(strings.Repeat("x", eventlog.MaxEventBytes/2-512))
	for i := range 6 {
		f.mustAppend(t, log, uint64(i*8), big, big, big, big, big, big, big, named("small"))
	}
	var next uint64 = 1
	for rounds := 0; next <= 48; rounds++ {
		pending, asOf := f.outbox(t, 100)
		if rounds == 0 && !asOf.IsZero() || len(pending) == 0 {
			t.Fatalf("round %d: %d entries as of %v", rounds, len(pending), asOf)
		}
		for _, p := range pending {
			if p.First != next {
				t.Fatalf("entry at %d, want %d", p.First, next)
			}
			next = p.Last + 1
		}
		if err := f.mark(t.Context(), region, pending); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMarkPublishedRemovesExactlyTheEntries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, b := newLog(), newLog()
	f.mustAppend(t, a, 0, named("x"))
	f.mustAppend(t, b, 0, named("x"))
	pending, _ := f.outbox(t, 10)
	f.mustAppend(t, a, 1, named("y"))
	if n, oldest, err := f.Backlog(t.Context(), region); err != nil || n != 3 || !oldest.Equal(pending[0].RecordedAt) {
		t.Errorf("backlog %d, %v, %v", n, oldest, err)
	}
	for range 2 {
		if err := f.mark(t.Context(), "us", pending); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.count(t, "outbox"); n != 3 {
		t.Errorf("another region's mark left %d", n)
	}
	for range 2 {
		if err := f.mark(t.Context(), region, pending); err != nil {
			t.Fatal(err)
		}
	}
	left, _ := f.outbox(t, 10)
	if len(left) != 1 || left[0].Log != a || left[0].First != 2 {
		t.Errorf("left %v", left)
	}
	if err := f.mark(t.Context(), region, left); err != nil {
		t.Fatal(err)
	}
	if n, oldest, err := f.Backlog(t.Context(), region); err != nil || n != 0 || !oldest.IsZero() {
		t.Errorf("empty backlog: %d, %v, %v", n, oldest, err)
	}
}

// One log that cannot be read does not hold up the others.
func TestOutboxGoesOnBesideACorruptLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bad, good := newLog(), newLog()
	f.mustAppend(t, bad, 0, named("fine"))
	f.mustAppend(t, bad, 1, manyNamed(3)...)
	f.mustAppend(t, good, 0, named("x"))
	f.mustAppend(t, bad, 4, named("after"))
	for _, change := range []string{
		"UPDATE log.events SET hash = '\\x00' WHERE log_id = $1 AND sequence = 3",
		"DELETE FROM log.events WHERE log_id = $1 AND sequence = 3",
		"DELETE FROM log.events WHERE log_id = $1 AND sequence IN (2, 4)",
	} {
		f.exec(t, change, bad)
		pending, asOf, err := f.Outbox(t.Context(), region, 10)
		if got := wantReason(t, err, commonv1.Reason_EVENT_CORRUPT); got.Meta["log"] != bad {
			t.Errorf("meta %v", got.Meta)
		}
		if len(pending) != 2 || pending[0].Log != bad || pending[0].Last != 1 || pending[1].Log != good || !asOf.IsZero() {
			t.Errorf("%d entries as of %v", len(pending), asOf)
		}
	}
}

// The claim of asOf: whatever was acknowledged before the database's clock
// showed asOf was returned, now or earlier. Writers note the database's clock
// after each acknowledgement; the reader drains the outbox meanwhile.
func TestAsOfCoversEveryAcknowledgedCommit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const writers, each = 6, 25
	logs := [writers]string{}
	acknowledged := [writers][each]time.Time{} // by log and sequence-1
	var running atomic.Int32
	running.Store(writers)
	for i := range logs {
		logs[i] = newLog()
	}
	type round struct {
		asOf time.Time
		upTo map[string]uint64
	}
	var rounds []round
	inParallel(t, writers+1, func(ctx context.Context, worker int) error {
		if worker < writers {
			defer running.Add(-1)
			return f.acknowledge(ctx, logs[worker], acknowledged[worker][:])
		}
		upTo := map[string]uint64{}
		for last := false; ; {
			pending, asOf, err := f.Outbox(ctx, region, 50)
			if err != nil {
				return err
			}
			seen := map[string]uint64{}
			for _, p := range pending {
				upTo[p.Log] = p.Last
			}
			maps.Copy(seen, upTo)
			rounds = append(rounds, round{asOf, seen})
			if err := f.mark(ctx, region, pending); err != nil || last {
				return err
			}
			last = running.Load() == 0
		}
	})
	claims := 0
	for _, r := range rounds {
		if r.asOf.IsZero() {
			continue
		}
		for i, log := range logs {
			for n, at := range acknowledged[i] {
				if at.Before(r.asOf) {
					claims++
					if r.upTo[log] < uint64(n+1) {
						t.Fatalf("%s %d was acknowledged at %v and is not covered as of %v", log, n+1, at, r.asOf)
					}
				}
			}
		}
	}
	if claims < writers*each {
		t.Errorf("only %d claims in %d rounds", claims, len(rounds))
	}
}

func (f fixture) acknowledge(ctx context.Context, log string, times []time.Time) error {
	for n := range times {
		if _, err := f.append(ctx, log, uint64(n), named("x")); err != nil {
			return err
		}
		if err := f.db.Pool().QueryRow(ctx, "SELECT clock_timestamp()").Scan(&times[n]); err != nil {
			return err
		}
	}
	return nil
}

// A transaction that was open at asOf is not covered, and appears later.
func TestAsOfDoesNotCoverOpenTransactions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.Append(ctx, tx, eventlog.Append{Log: log, HomeRegion: region, Actor: operator(), Events: manyNamed(1)})
		if pending, asOf := f.outbox(t, 10); len(pending) != 0 || asOf.IsZero() {
			t.Errorf("open: %d entries as of %v", len(pending), asOf)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if pending, _ := f.outbox(t, 10); len(pending) != 1 {
		t.Errorf("committed: %d entries", len(pending))
	}
}

func TestOutboxesNamesRegionsWithEntries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want := func(regions ...string) {
		t.Helper()
		if got, err := f.Outboxes(t.Context()); err != nil || !slices.Equal(got, regions) {
			t.Errorf("outboxes of %v, %v; want %v", got, err, regions)
		}
	}
	want()
	for _, home := range []string{"us", region, "ap", region} {
		err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			_, err := f.Append(ctx, tx, eventlog.Append{Log: newLog(), HomeRegion: home, Actor: operator(), Events: manyNamed(2)})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want("ap", region, "us")
}
