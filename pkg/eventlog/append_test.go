package eventlog_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

func TestAppendRecordsWhoWhyWhenAndWhere(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.FixedZone("away", 3600))
	f := newFixture(t, func(c *eventlog.Config) { c.Clock = func() time.Time { return at } })
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled,
	})
	ctx := trace.ContextWithSpanContext(t.Context(), span)
	log := newLog()
	r, err := f.append(ctx, log, 0, named("a"), named("b"))
	if err != nil || r.Log != log || r.Sequence != 2 {
		t.Fatalf("append: %v, %v", r, err)
	}
	events := f.mustRead(t, log)
	if len(events) != 2 {
		t.Fatalf("%d events", len(events))
	}
	e := events[0].Envelope
	const parent = "00-01020300000000000000000000000000-0405000000000000-01"
	if e.GetTraceparent() != parent || e.GetCause() != "test" || e.GetRegion() != region || e.GetLog() != log {
		t.Errorf("envelope: %v", e)
	}
	if !proto.Equal(e.GetActor(), operator()) || e.GetType() != "meridian.identity.event.v1.OrganizationCreated" {
		t.Errorf("envelope: %v", e)
	}
	if want := at.UTC().Truncate(time.Microsecond); !events[0].Time().Equal(want) {
		t.Errorf("time %v, want %v", events[0].Time(), want)
	}
	if !events[1].Time().Equal(events[0].Time().Add(time.Microsecond)) {
		t.Errorf("second time %v", events[1].Time())
	}
	if events[0].Hash != sha256.Sum256(events[0].Bytes) || !bytes.Equal(events[1].Envelope.GetPreviousHash(), events[0].Hash[:]) {
		t.Error("hash chain is broken")
	}
	m, err := events[1].Message()
	if err != nil || !proto.Equal(m, named("b")) {
		t.Errorf("message %v, %v", m, err)
	}
	head, err := f.Head(t.Context(), f.db.Pool(), log)
	if err != nil || head.Sequence != 2 || head.Hash != events[1].Hash || head.HomeRegion != region || !head.Time.Equal(events[1].Time()) {
		t.Errorf("head %+v, %v", head, err)
	}
}

func TestAppendKeepsTimeIncreasingWhenTheClockGoesBack(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	clock.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	f := newFixture(t, func(c *eventlog.Config) { c.Clock = func() time.Time { return time.UnixMicro(clock.Load()) } })
	log := newLog()
	f.mustAppend(t, log, 0, named("a"))
	clock.Add(-time.Hour.Microseconds())
	f.mustAppend(t, log, 1, named("b"), named("c"))
	f.mustAppend(t, log, 3, named("d"))
	events := f.mustRead(t, log)
	for i := 1; i < len(events); i++ {
		if got := events[i].Time().Sub(events[i-1].Time()); got != time.Microsecond {
			t.Errorf("event %d is %v after its predecessor", i+1, got)
		}
	}
	f.sound(t, log)
}

func TestAppendChecksTheHead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	f.mustAppend(t, log, 0, manyNamed(3)...)
	for _, c := range []struct {
		name     string
		log      string
		expected uint64
		reason   commonv1.Reason
	}{
		{"log exists", log, 0, commonv1.Reason_HEAD_MISMATCH},
		{"behind", log, 2, commonv1.Reason_HEAD_MISMATCH},
		{"ahead", log, 4, commonv1.Reason_HEAD_MISMATCH},
		{"far ahead", log, eventlog.AnyHead - 1, commonv1.Reason_HEAD_MISMATCH},
		{"absent with head", newLog(), 1, commonv1.Reason_HEAD_MISMATCH},
		{"absent with any head", newLog(), eventlog.AnyHead, commonv1.Reason_NOT_FOUND},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := f.append(t.Context(), c.log, c.expected, named("x"))
			wantReason(t, err, c.reason)
		})
	}
	if r := f.mustAppend(t, log, eventlog.AnyHead, named("x")); r.Sequence != 4 {
		t.Errorf("any head: %v", r)
	}
	if f.count(t, "logs") != 1 || f.count(t, "events") != 4 || f.count(t, "outbox") != 2 {
		t.Error("a refused append left something")
	}
	f.sound(t, log)
}

func TestAppendTwiceInOneTransaction(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log, other := newLog(), id.New(id.User)
	appendTo := func(ctx context.Context, tx pgx.Tx, log string, expected, want uint64) error {
		r, err := f.Append(ctx, tx, eventlog.Append{
			Log: log, Expected: expected, HomeRegion: region, Actor: operator(), Events: manyNamed(2),
		})
		if err == nil && r.Sequence != want {
			return fmt.Errorf("sequence %d, want %d", r.Sequence, want)
		}
		return err
	}
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		return errors.Join(
			appendTo(ctx, tx, log, 0, 2), appendTo(ctx, tx, other, 0, 2),
			appendTo(ctx, tx, log, 2, 4), appendTo(ctx, tx, log, eventlog.AnyHead, 6),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := f.sound(t, log); r.Head != 6 {
		t.Errorf("head %d", r.Head)
	}
	f.sound(t, other)
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	good := func() eventlog.Append {
		return eventlog.Append{Log: newLog(), HomeRegion: region, Actor: operator(), Events: manyNamed(1)}
	}
	huge := func(n int) proto.Message { return named(strings.Repeat("x", n/2)) }
	for _, c := range []struct {
		name   string
		change func(a *eventlog.Append)
		field  string
		reason commonv1.Reason
	}{
		{"log", func(a *eventlog.Append) { a.Log = "org_x" }, "log", commonv1.Reason_INVALID_FIELD},
		{"no region", func(a *eventlog.Append) { a.HomeRegion = "" }, "home_region", commonv1.Reason_INVALID_FIELD},
		{"region", func(a *eventlog.Append) { a.HomeRegion = "a.b" }, "home_region", commonv1.Reason_INVALID_FIELD},
		{"no actor", func(a *eventlog.Append) { a.Actor = nil }, "actor.kind", commonv1.Reason_INVALID_FIELD},
		{"actor kind", func(a *eventlog.Append) { a.Actor.Kind = 0 }, "actor.kind", commonv1.Reason_INVALID_FIELD},
		{"actor id", func(a *eventlog.Append) { a.Actor.Id = "" }, "actor.id", commonv1.Reason_INVALID_FIELD},
		{"cause", func(a *eventlog.Append) { a.Cause = strings.Repeat("x", 257) }, "cause", commonv1.Reason_INVALID_FIELD},
		{"no events", func(a *eventlog.Append) { a.Events = nil }, "events", commonv1.Reason_INVALID_FIELD},
		{"nil event", func(a *eventlog.Append) { a.Events[0] = nil }, "events[0]", commonv1.Reason_INVALID_FIELD},
		{"nil pointer", func(a *eventlog.Append) {
			a.Events[0] = (*identityeventv1.ApiTokenRevoked)(nil)
		}, "events[0]", commonv1.Reason_INVALID_FIELD},
		{"not UTF-8", func(a *eventlog.Append) { a.Events[0] = named("\xff") }, "events[0]", commonv1.Reason_INVALID_FIELD},
		{"257 events", func(a *eventlog.Append) { a.Events = manyNamed(257) }, "events", commonv1.Reason_BATCH_TOO_LARGE},
		{"event too large", func(a *eventlog.Append) {
			a.Events = append(a.Events, huge(eventlog.MaxEventBytes))
		}, "events[1]", commonv1.Reason_INVALID_FIELD},
		{"envelope too large", func(a *eventlog.Append) {
			a.Events = append(a.Events, huge(eventlog.MaxEventBytes-100))
		}, "events[1]", commonv1.Reason_INVALID_FIELD},
		{"move to no region", func(a *eventlog.Append) { a.Expected, a.MoveTo = eventlog.AnyHead, "a.b" }, "move_to", commonv1.Reason_INVALID_FIELD},
		{"move of a new log", func(a *eventlog.Append) { a.MoveTo = "us" }, "move_to", commonv1.Reason_INVALID_FIELD},
		{"move by two events", func(a *eventlog.Append) {
			a.Expected, a.MoveTo, a.Events = eventlog.AnyHead, "us", manyNamed(2)
		}, "move_to", commonv1.Reason_INVALID_FIELD},
		{"append too large", func(a *eventlog.Append) {
			for range 9 {
				a.Events = append(a.Events, huge(eventlog.MaxEventBytes-1024))
			}
		}, "bytes", commonv1.Reason_BATCH_TOO_LARGE},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := good()
			c.change(&a)
			err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
				_, err := f.Append(ctx, tx, a)
				return err
			})
			if got := wantReason(t, err, c.reason); got.Meta["field"] != c.field {
				t.Errorf("field %q, want %q", got.Meta["field"], c.field)
			}
		})
	}
	if f.count(t, "logs")+f.count(t, "events")+f.count(t, "outbox") != 0 {
		t.Error("a refused append left something")
	}
}

func TestAppendTakes256EventsAndTheLargestEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	f.mustAppend(t, log, 0, manyNamed(256)...)
	f.mustAppend(t, log, 256, named(strings.Repeat("x", eventlog.MaxEventBytes/2-512)))
	if events := f.mustRead(t, log); len(events) != 257 || len(events[256].Bytes) < eventlog.MaxEventBytes-1024 {
		t.Fatalf("%d events", len(events))
	}
	f.sound(t, log)
}

func TestAppendLeavesNothingWhenTheTransactionFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	boom := errors.New("crash")
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.Append(ctx, tx, eventlog.Append{
			Log: newLog(), HomeRegion: region, Actor: operator(), Events: manyNamed(3),
		})
		return errors.Join(err, boom)
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if f.count(t, "logs")+f.count(t, "events")+f.count(t, "outbox") != 0 {
		t.Error("something is left")
	}
}

// Eight writers append to one log, each at the head that it knows. Each head has
// exactly one winner, and what was acknowledged is there.
func TestAppendWithEightWritersOnOneLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	f.mustAppend(t, log, 0, named("first"))
	const writers, rounds = 8, 15
	var mu sync.Mutex
	won := map[uint64]string{1: "first"}
	inParallel(t, writers, func(ctx context.Context, writer int) error {
		for round := 0; round < rounds; {
			head, err := f.Head(ctx, f.db.Pool(), log)
			if err != nil {
				return err
			}
			name := fmt.Sprintf("writer %d round %d", writer, round)
			r, err := f.append(ctx, log, head.Sequence, named(name))
			if fault.Is(err, commonv1.Reason_HEAD_MISMATCH) {
				continue
			}
			if err != nil {
				return err
			}
			mu.Lock()
			other, taken := won[r.Sequence]
			won[r.Sequence] = name
			mu.Unlock()
			if taken || r.Sequence != head.Sequence+1 {
				return fmt.Errorf("sequence %d was given to %q and to %q", r.Sequence, other, name)
			}
			round++
		}
		return nil
	})
	events := f.mustRead(t, log)
	if len(events) != writers*rounds+1 || len(won) != len(events) {
		t.Fatalf("%d events, %d acknowledged", len(events), len(won))
	}
	for _, r := range events {
		m, err := r.Message()
		if err != nil || m.(*identityeventv1.OrganizationCreated).GetName() != won[r.Envelope.GetSequence()] {
			t.Errorf("event %d is %v, %v", r.Envelope.GetSequence(), m, err)
		}
	}
	f.sound(t, log)
}

func TestAppendWithEightWritersAtAnyHead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	f.mustAppend(t, log, 0, named("first"))
	inParallel(t, 8, func(ctx context.Context, _ int) error {
		for range 10 {
			if _, err := f.append(ctx, log, eventlog.AnyHead, manyNamed(3)...); err != nil {
				return err
			}
		}
		return nil
	})
	if r := f.sound(t, log); r.Head != 241 {
		t.Errorf("head %d", r.Head)
	}
}

func TestAppendWithEightWritersOnManyLogs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	logs := make([]string, 16)
	for i := range logs {
		logs[i] = newLog()
	}
	inParallel(t, 8, func(ctx context.Context, writer int) error {
		for i, log := range logs {
			if i%8 != writer {
				continue
			}
			for n := range 10 {
				if _, err := f.append(ctx, log, uint64(n), named("x")); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, log := range logs {
		if r := f.sound(t, log); r.Head != 10 {
			t.Errorf("%s: head %d", log, r.Head)
		}
	}
}

func TestOneCreatorWins(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	var created atomic.Int32
	inParallel(t, 8, func(ctx context.Context, _ int) error {
		_, err := f.append(ctx, log, 0, named("x"))
		if err == nil {
			created.Add(1)
		} else if !fault.Is(err, commonv1.Reason_HEAD_MISMATCH) {
			return err
		}
		return nil
	})
	if created.Load() != 1 {
		t.Errorf("%d creators", created.Load())
	}
	f.sound(t, log)
}

// inParallel runs n workers at once and fails the test with their errors.
func inParallel(t testing.TB, n int, work func(ctx context.Context, worker int) error) {
	t.Helper()
	errs := make([]error, n)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			<-start
			errs[i] = work(t.Context(), i)
		})
	}
	close(start)
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestEnvelopeOfAServiceCarriesVia(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := id.Platform
	actor := &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_API_TOKEN, Id: "tok_1", Via: "authz"}
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.Append(ctx, tx, eventlog.Append{Log: log, HomeRegion: region, Actor: actor, Events: manyNamed(1)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.mustRead(t, log)[0].Envelope.GetActor(); !proto.Equal(got, actor) {
		t.Errorf("actor %v", got)
	}
}
