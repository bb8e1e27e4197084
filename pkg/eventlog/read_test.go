package eventlog_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func TestReadPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	f.mustAppend(t, log, 0, manyNamed(10)...)
	for _, c := range []struct {
		from        uint64
		limit       int
		first, want int
	}{{0, 3, 1, 3}, {1, 10, 1, 10}, {4, 3, 4, 3}, {9, 5, 9, 2}, {11, 5, 0, 0}, {1 << 63, 5, 0, 0}, {eventlog.AnyHead, 5, 0, 0}} {
		events, err := f.Read(t.Context(), f.db.Pool(), log, c.from, c.limit)
		if err != nil || len(events) != c.want {
			t.Fatalf("from %d limit %d: %d events, %v", c.from, c.limit, len(events), err)
		}
		if c.want > 0 && events[0].Envelope.GetSequence() != uint64(c.first) {
			t.Errorf("from %d: starts at %d", c.from, events[0].Envelope.GetSequence())
		}
	}
	for _, limit := range []int{0, -1, eventlog.MaxRead + 1} {
		_, err := f.Read(t.Context(), f.db.Pool(), log, 1, limit)
		wantReason(t, err, commonv1.Reason_INVALID_FIELD)
	}
	_, err := f.Read(t.Context(), f.db.Pool(), "org_x", 1, 1)
	wantReason(t, err, commonv1.Reason_INVALID_FIELD)
	if events, err := f.Read(t.Context(), f.db.Pool(), newLog(), 1, 1); err != nil || len(events) != 0 {
		t.Errorf("absent log: %v, %v", events, err)
	}
}

func TestReadIsBoundInBytes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	big := named(strings.Repeat("x", eventlog.MaxEventBytes/2-512))
	const appends, each = 5, 8
	for i := range appends {
		f.mustAppend(t, log, uint64(i*each), big, big, big, big, big, big, big, named("small"))
	}
	read, from := 0, uint64(1)
	for pages := 0; ; pages++ {
		events, err := f.Read(t.Context(), f.db.Pool(), log, from, eventlog.MaxRead)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			if pages < 2 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		size := 0
		for _, e := range events {
			size += len(e.Bytes)
		}
		if size >= eventlog.MaxReadBytes+eventlog.MaxEventBytes {
			t.Errorf("%d bytes", size)
		}
		read, from = read+len(events), from+uint64(len(events))
	}
	if read != appends*each {
		t.Errorf("%d events", read)
	}
}

func TestReadNamesTheCorruptEvent(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"envelope":     "UPDATE log.events SET envelope = '\\x00' WHERE sequence = 3",
		"hash":         "UPDATE log.events SET hash = '\\x00' WHERE sequence = 3",
		"missing":      "DELETE FROM log.events WHERE sequence = 3",
		"other's":      "UPDATE log.events SET (envelope, hash) = (SELECT envelope, hash FROM log.events WHERE sequence = 4) WHERE sequence = 3",
		"much too big": "UPDATE log.events SET envelope = decode(repeat('00', 20000000), 'hex') WHERE sequence = 3",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			log := newLog()
			f.mustAppend(t, log, 0, manyNamed(5)...)
			f.exec(t, change)
			events, err := f.Read(t.Context(), f.db.Pool(), log, 1, 10)
			got := wantReason(t, err, commonv1.Reason_EVENT_CORRUPT)
			if got.Meta["log"] != log || got.Meta["sequence"] != "3" || len(events) != 2 {
				t.Errorf("%v, %d events", got.Meta, len(events))
			}
		})
	}
}

func TestHeadsPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want := map[string]uint64{}
	for i := range 7 {
		log := newLog()
		want[log] = uint64(i + 1)
		f.mustAppend(t, log, 0, manyNamed(i+1)...)
	}
	after, pages := "", 0
	for {
		heads, err := f.Heads(t.Context(), f.db.Pool(), after, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range heads {
			if h.Log <= after || want[h.Log] != h.Sequence {
				t.Errorf("head %+v after %s", h, after)
			}
			after = h.Log
			delete(want, h.Log)
		}
		if pages++; len(heads) < 3 {
			break
		}
	}
	if len(want) != 0 || pages != 3 {
		t.Errorf("%d logs are missing after %d pages", len(want), pages)
	}
	_, err := f.Head(t.Context(), f.db.Pool(), newLog())
	wantReason(t, err, commonv1.Reason_NOT_FOUND)
	for _, limit := range []int{0, eventlog.MaxHeads + 1} {
		_, err := f.Heads(t.Context(), f.db.Pool(), "", limit)
		wantReason(t, err, commonv1.Reason_INVALID_FIELD)
	}
}

func TestHeadsOf(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, second, absent := newLog(), newLog(), newLog()
	f.mustAppend(t, first, 0, manyNamed(2)...)
	f.mustAppend(t, second, 0, named("a"))
	f.mustAppend(t, newLog(), 0, named("a"))
	heads, err := f.HeadsOf(t.Context(), f.db.Pool(), second, "", absent, first, second)
	if err != nil || len(heads) != 2 || !slices.IsSortedFunc(heads, func(a, b eventlog.Head) int { return strings.Compare(a.Log, b.Log) }) {
		t.Fatalf("heads %+v, %v", heads, err)
	}
	for _, got := range heads {
		want, err := f.Head(t.Context(), f.db.Pool(), got.Log)
		if err != nil || got != want {
			t.Errorf("head %+v, want %+v, %v", got, want, err)
		}
	}
}

func TestReadsInATransactionAreASnapshot(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	f.mustAppend(t, log, 0, named("a"))
	err := f.db.Read(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		before, err := f.Head(ctx, tx, log)
		if err != nil {
			return err
		}
		f.mustAppend(t, log, before.Sequence, named("b"))
		events, err := f.Read(ctx, tx, log, 1, 10)
		if err == nil && uint64(len(events)) != before.Sequence {
			t.Errorf("%d events in the snapshot of head %d", len(events), before.Sequence)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadsSayWhenTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	f.mustAppend(t, log, 0, named("a"))
	pool := f.db.Pool()
	f.db.Close()
	for name, call := range map[string]func(q sqldb.Querier) error{
		"head":   func(q sqldb.Querier) error { _, err := f.Head(t.Context(), q, log); return err },
		"heads":  func(q sqldb.Querier) error { _, err := f.Heads(t.Context(), q, "", 1); return err },
		"some":   func(q sqldb.Querier) error { _, err := f.HeadsOf(t.Context(), q, log); return err },
		"read":   func(q sqldb.Querier) error { _, err := f.Read(t.Context(), q, log, 1, 1); return err },
		"outbox": func(sqldb.Querier) error { _, _, err := f.Outbox(t.Context(), region, 1); return err },
		"mark": func(sqldb.Querier) error {
			_, err := f.MarkPublished(t.Context(), region, eventlog.Publisher{}, []eventlog.Pending{{Log: log, First: 1}})
			return err
		},
		"fill":     func(sqldb.Querier) error { _, _, err := f.Fill(t.Context(), region, "LOG"); return err },
		"filled":   func(sqldb.Querier) error { return f.RecordFill(t.Context(), region, eventlog.Fill{Stream: "LOG"}) },
		"outboxes": func(sqldb.Querier) error { _, err := f.Outboxes(t.Context()); return err },
		"backlog":  func(sqldb.Querier) error { _, _, err := f.Backlog(t.Context(), region); return err },
		"acquire":  func(sqldb.Querier) error { _, _, err := f.Acquire(t.Context(), region, "a", 1e9, true); return err },
		"sweep":    func(sqldb.Querier) error { _, err := f.Sweep(t.Context(), 1); return err },
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, call(pool), commonv1.Reason_DATABASE_UNAVAILABLE) })
	}
}

func sequenceOf(r eventlog.Recorded) string { return strconv.FormatUint(r.Envelope.GetSequence(), 10) }
