package eventlog_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// move moves a log to another home region.
func (f fixture) move(ctx context.Context, log, to string) error {
	_, err := f.Commit(ctx, eventlog.Request{}, func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.Append(ctx, tx, eventlog.Append{
			Log: log, Expected: eventlog.AnyHead, MoveTo: to, Actor: operator(),
			Events: []proto.Message{&identityeventv1.OrganizationHomeMoved{Organization: log, To: to}},
		})
		return err
	})
	return err
}

func (f fixture) mustMove(t testing.TB, log, to string) {
	t.Helper()
	if err := f.move(t.Context(), log, to); err != nil {
		t.Fatal(err)
	}
}

// outboxes says in which region's outbox each event of a log waits.
func (f fixture) outboxes(t testing.TB, log string) map[uint64]string {
	t.Helper()
	rows, err := f.db.Pool().Query(t.Context(),
		`SELECT home_region, first_sequence, last_sequence FROM log.outbox WHERE log_id = $1`, log)
	if err != nil {
		t.Fatal(err)
	}
	waiting := map[uint64]string{}
	var home string
	var first, last int64
	_, err = pgx.ForEachRow(rows, []any{&home, &first, &last}, func() error {
		for sequence := uint64(first); sequence <= uint64(last); sequence++ {
			if other, twice := waiting[sequence]; twice {
				t.Errorf("event %d waits in %s and in %s", sequence, other, home)
			}
			waiting[sequence] = home
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return waiting
}

// The event that moves a log is the old home's to publish; all that follow, from
// writers that know nothing of the move, are the new one's.
func TestMoveAmongWriters(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	f.mustAppend(t, log, 0, named("first"))
	const writers, each = 8, 6
	moves := []string{"us", "ap", region}
	inParallel(t, writers+1, func(ctx context.Context, worker int) error {
		if worker == writers {
			for _, to := range moves {
				if err := f.move(ctx, log, to); err != nil {
					return err
				}
			}
			return nil
		}
		for range each {
			if _, err := f.append(ctx, log, eventlog.AnyHead, manyNamed(2)...); err != nil {
				return err
			}
		}
		return nil
	})
	events, waiting := f.mustRead(t, log), f.outboxes(t, log)
	if want := 1 + 2*writers*each + len(moves); len(events) != want || len(waiting) != want {
		t.Fatalf("%d events, %d of them in outboxes, want %d", len(events), len(waiting), want)
	}
	home, left := region, slices.Clone(moves)
	for _, e := range events {
		sequence := e.Envelope.GetSequence()
		if waiting[sequence] != home {
			t.Errorf("event %d waits in the outbox of %s, want %s", sequence, waiting[sequence], home)
		}
		if e.Envelope.GetType() == "meridian.identity.event.v1.OrganizationHomeMoved" {
			home, left = left[0], left[1:]
		}
		if e.Envelope.GetRegion() != home {
			t.Errorf("the envelope of event %d names %s, want %s", sequence, e.Envelope.GetRegion(), home)
		}
	}
	if f.count(t, "moves") != len(moves) {
		t.Errorf("%d moves are noted, want %d", f.count(t, "moves"), len(moves))
	}
	f.sound(t, log)
}

func TestMoveNudgesTheRelayThatPublishesIt(t *testing.T) {
	t.Parallel()
	nudged := make(chan string, 8)
	f := newFixture(t, func(c *eventlog.Config) { c.Nudge = func(region string) { nudged <- region } })
	log := newLog()
	f.mustAppend(t, log, 0, named("first"))
	for _, step := range []struct{ to, nudged string }{{"us", region}, {"ap", "us"}} {
		f.mustMove(t, log, step.to)
		if got := <-nudged; got != step.nudged {
			t.Errorf("the move to %s nudged %s, want %s", step.to, got, step.nudged)
		}
	}
	if len(nudged) > 0 {
		t.Errorf("it also nudged %s", <-nudged)
	}
}

func TestMoveToWhereItIsMovesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	f.mustAppend(t, log, 0, named("first"))
	f.mustMove(t, log, region)
	if n := f.count(t, "moves"); n != 0 {
		t.Errorf("%d moves are noted", n)
	}
	f.sound(t, log)
	wantReason(t, f.move(t.Context(), newLog(), "us"), commonv1.Reason_NOT_FOUND)
}

func TestStays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	traveller, settled, left := newLog(), newLog(), newLog()
	f.mustAppend(t, settled, 0, manyNamed(2)...)
	f.mustAppend(t, left, 0, named("first"))
	f.mustMove(t, left, "us")
	f.mustAppend(t, traveller, 0, manyNamed(3)...)
	f.mustMove(t, traveller, "us") // 4
	f.mustAppend(t, traveller, eventlog.AnyHead, manyNamed(2)...)
	f.mustMove(t, traveller, "ap") // 7
	f.mustMove(t, traveller, region)
	f.mustAppend(t, traveller, eventlog.AnyHead, named("home again"))
	heads, err := f.Heads(t.Context(), f.db.Pool(), "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for home, want := range map[string]map[string][]eventlog.Stay{
		region: {settled: {{1, 2}}, left: {{1, 2}}, traveller: {{1, 4}, {9, 9}}},
		"us":   {traveller: {{5, 7}}},
		"ap":   {traveller: {{8, 8}}},
		"mars": {},
	} {
		got, err := f.Stays(t.Context(), f.db.Pool(), home, heads)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", home, diff)
		}
	}
	// A head that was read before the last moves.
	for i := range heads {
		if heads[i].Log == traveller {
			heads[i].Sequence, heads[i].HomeRegion = 5, "us"
		}
	}
	got, err := f.Stays(t.Context(), f.db.Pool(), "us", heads)
	if diff := cmp.Diff(map[string][]eventlog.Stay{traveller: {{5, 5}}}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// The event that moves a log waits in the old home's outbox while the new home's
// relay has published what follows; what that relay lost is a difference.
func TestVerifyKnowsWhichOutboxAnEventIsIn(t *testing.T) {
	t.Parallel()
	v := newVerified(t)
	v.prepare(t)
	v.verifier.Folds = nil
	v.mustMove(t, v.log, "us")
	v.mustAppend(t, v.log, 11, named("after"))
	if r := v.verify(t); r.Difference != nil || r.Pending != 2 {
		t.Errorf("nothing is published: %+v, want 2 pending", r)
	}
	pending, _, err := v.Outbox(t.Context(), "us", 10)
	if err != nil || len(pending) != 1 {
		t.Fatalf("%v, %v", pending, err)
	}
	if err := v.mark(t.Context(), "us", pending); err != nil {
		t.Fatal(err)
	}
	if d := v.verify(t).Difference; d.GetCopy() != "stream" || d.GetSequence() != 12 {
		t.Errorf("marked and not published: %v, want a difference at 12", d)
	}
	v.copy.publish(pending[0].Events[0])
	if r := v.verify(t); r.Difference != nil || r.Pending != 1 {
		t.Errorf("the new home's is published: %+v, want 1 pending", r)
	}
	if err := v.relay(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := v.verify(t); r.Difference != nil || r.Pending != 0 {
		t.Errorf("all is published: %+v", r)
	}
}

func TestVerifyComparesMoves(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"forgotten":    `DELETE FROM log.moves WHERE sequence = 3`,
		"elsewhere":    `UPDATE log.moves SET sequence = 2 WHERE sequence = 3`,
		"another home": `UPDATE log.moves SET home_region = 'ap' WHERE sequence = 3`,
		"invented": `INSERT INTO log.moves (log_id, sequence, home_region, to_region, moved_at)
			SELECT log_id, 2, 'eu', 'us', moved_at FROM log.moves WHERE sequence = 3`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			log := newLog()
			f.mustAppend(t, log, 0, manyNamed(2)...)
			f.mustMove(t, log, "us") // 3
			f.mustMove(t, log, region)
			f.sound(t, log)
			f.exec(t, sql)
			v := &eventlog.Verifier{Store: f.Store}
			result, err := v.Verify(t.Context(), log, nil)
			if d := result.Difference; err != nil || d.GetCopy() != "head" || d.GetSequence() != 4 {
				t.Errorf("%+v, %v; want a difference of the head at 4", result, err)
			}
		})
	}
}
