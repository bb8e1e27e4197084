package eventlog_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/revision"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// Any messages serve as request and outcome.
type (
	requestMessage = identityeventv1.OrganizationCreated
	outcomeMessage = identityeventv1.ApiTokenRevoked
)

// create appends the first event of log under a key and leaves a unique outcome.
func (f fixture) create(ctx context.Context, key, log string) (outcome string, replayed bool, err error) {
	out := &outcomeMessage{}
	request := eventlog.Request{
		Scope: "tok_1", Key: key, Procedure: "/p", Message: &requestMessage{Slug: log}, Outcome: out,
	}
	replayed, err = f.Commit(ctx, request, func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.Append(ctx, tx, eventlog.Append{
			Log: log, HomeRegion: region, Actor: operator(), Events: manyNamed(1),
		})
		out.Token = id.New(id.Token)
		return err
	})
	return out.GetToken(), replayed, err
}

// A request with an address in it could be guessed by a hash that everybody can
// compute: what is kept under the key is the configured one's.
func TestCommitRemembersByTheConfiguredFingerprint(t *testing.T) {
	t.Parallel()
	mac := func(request []byte) []byte {
		h := hmac.New(sha256.New, []byte("a key"))
		h.Write(request)
		return h.Sum(nil)
	}
	f := newFixture(t, func(c *eventlog.Config) { c.Fingerprint = mac })
	first, other := newLog(), newLog()
	outcome, _, err := f.create(t.Context(), "key", first)
	if err != nil {
		t.Fatal(err)
	}
	again, replayed, err := f.create(t.Context(), "key", first)
	if err != nil || !replayed || again != outcome {
		t.Errorf("the same request again: %q, replayed %t, %v; want %q", again, replayed, err, outcome)
	}
	_, _, err = f.create(t.Context(), "key", other)
	wantReason(t, err, commonv1.Reason_IDEMPOTENCY_KEY_REUSED)
	message, err := proto.MarshalOptions{Deterministic: true}.Marshal(&requestMessage{Slug: first})
	if err != nil {
		t.Fatal(err)
	}
	want := mac(append([]byte("\x02/p"), message...))
	var kept []byte
	if err := f.db.Pool().QueryRow(t.Context(), "SELECT request_hash FROM log.idempotency").Scan(&kept); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, want) {
		t.Errorf("kept %x, want %x", kept, want)
	}
}

func TestCommitTakesEffectOnceFor64Callers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	var mu sync.Mutex
	outcomes, first := map[string]int{}, 0
	inParallel(t, 64, func(ctx context.Context, _ int) error {
		outcome, replayed, err := f.create(ctx, "key", log)
		mu.Lock()
		defer mu.Unlock()
		outcomes[outcome]++
		if !replayed && err == nil {
			first++
		}
		return err
	})
	if len(outcomes) != 1 || first != 1 {
		t.Fatalf("%d outcomes, %d of them first: %v", len(outcomes), first, outcomes)
	}
	if f.count(t, "events") != 1 || f.count(t, "idempotency") != 1 {
		t.Error("the work was effective more than once")
	}
}

func TestCommitRefusesAnotherRequestUnderTheKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	if _, _, err := f.create(t.Context(), "key", log); err != nil {
		t.Fatal(err)
	}
	_, _, err := f.create(t.Context(), "key", newLog())
	wantReason(t, err, commonv1.Reason_IDEMPOTENCY_KEY_REUSED)
	nothing := func(context.Context, pgx.Tx) error { return nil }
	same := eventlog.Request{Scope: "tok_1", Key: "key", Procedure: "/other", Message: &requestMessage{Slug: log}}
	_, err = f.Commit(t.Context(), same, nothing)
	wantReason(t, err, commonv1.Reason_IDEMPOTENCY_KEY_REUSED)
	same.Scope = "tok_2"
	if replayed, err := f.Commit(t.Context(), same, nothing); replayed || err != nil {
		t.Errorf("another scope: %v, %v", replayed, err)
	}
	if f.count(t, "events") != 1 {
		t.Error("a refused commit wrote")
	}
}

func TestCommitStoresNothingWhenWorkFails(t *testing.T) {
	t.Parallel()
	var nudged atomic.Int32
	f := newFixture(t, func(c *eventlog.Config) { c.Nudge = func(string) { nudged.Add(1) } })
	boom := errors.New("work failed")
	log := newLog()
	request := eventlog.Request{Scope: "s", Key: "key", Message: &requestMessage{}}
	_, err := f.Commit(t.Context(), request, func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.Append(ctx, tx, eventlog.Append{Log: log, HomeRegion: region, Actor: operator(), Events: manyNamed(1)})
		return errors.Join(err, boom)
	})
	if !errors.Is(err, boom) || f.count(t, "idempotency") != 0 || f.count(t, "logs") != 0 || nudged.Load() != 0 {
		t.Fatalf("%v; %d nudges", err, nudged.Load())
	}
	// The key is free, even for another request.
	request.Message = &requestMessage{Slug: "other"}
	replayed, err := f.Commit(t.Context(), request, func(context.Context, pgx.Tx) error { return nil })
	if replayed || err != nil {
		t.Error(replayed, err)
	}
}

func TestCommitNudgesEachRegionOnceAfterTheCommit(t *testing.T) {
	t.Parallel()
	var f fixture
	nudged := map[string]int{}
	f = newFixture(t, func(c *eventlog.Config) {
		c.Nudge = func(region string) {
			nudged[region]++
			if entries, _, err := f.Backlog(t.Context(), region); err != nil || entries == 0 {
				t.Errorf("nudge before the commit: %d, %v", entries, err)
			}
		}
	})
	logs := []string{newLog(), newLog(), newLog()}
	work := func(ctx context.Context, tx pgx.Tx) error {
		for i, log := range logs {
			a := eventlog.Append{Log: log, HomeRegion: []string{"eu", "us"}[i%2], Actor: operator(), Events: manyNamed(1)}
			if _, err := f.Append(ctx, tx, a); err != nil {
				return err
			}
		}
		return nil
	}
	request := eventlog.Request{Scope: "s", Key: "key", Message: &requestMessage{}}
	for range 2 {
		if _, err := f.Commit(t.Context(), request, work); err != nil {
			t.Fatal(err)
		}
	}
	if len(nudged) != 2 || nudged["eu"] != 1 || nudged["us"] != 1 {
		t.Errorf("nudged %v", nudged)
	}
}

func TestCommitWithoutKeyRunsEachTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 2 {
		if _, replayed, err := f.create(t.Context(), "", newLog()); replayed || err != nil {
			t.Errorf("run %d: %v, %v", i, replayed, err)
		}
	}
	if f.count(t, "idempotency") != 0 || f.count(t, "logs") != 2 {
		t.Error("unexpected rows")
	}
}

func TestCommitForgetsAfter24Hours(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	clock.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	f := newFixture(t, func(c *eventlog.Config) { c.Clock = func() time.Time { return time.UnixMicro(clock.Load()) } })
	log := newLog()
	first, _, err := f.create(t.Context(), "key", log)
	if err != nil {
		t.Fatal(err)
	}
	clock.Add((eventlog.OutcomeLife - time.Microsecond).Microseconds())
	if again, replayed, err := f.create(t.Context(), "key", log); !replayed || again != first || err != nil {
		t.Fatalf("within 24 h: %v, %v", replayed, err)
	}
	clock.Add(1)
	// 16 callers find the expired row at once: one of them replaces it.
	fresh := newLog()
	outcomes := sync.Map{}
	inParallel(t, 16, func(ctx context.Context, _ int) error {
		outcome, _, err := f.create(ctx, "key", fresh)
		outcomes.Store(outcome, true)
		return err
	})
	n := 0
	outcomes.Range(func(key, _ any) bool { n++; return key != first })
	if n != 1 || f.count(t, "logs") != 2 {
		t.Errorf("after 24 h: %d outcomes, %d logs", n, f.count(t, "logs"))
	}
}

func TestSweepDeletesExpiredOutcomesOnly(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	clock.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
	f := newFixture(t, func(c *eventlog.Config) { c.Clock = func() time.Time { return time.UnixMicro(clock.Load()) } })
	for i := range 5 {
		if _, _, err := f.create(t.Context(), fmt.Sprint("key ", i), newLog()); err != nil {
			t.Fatal(err)
		}
		clock.Add(time.Hour.Microseconds())
	}
	clock.Add((eventlog.OutcomeLife - 2*time.Hour).Microseconds()) // keys 0 to 3 are over
	for _, want := range []int64{3, 1, 0} {
		if got, err := f.Sweep(t.Context(), 3); err != nil || got != want {
			t.Errorf("swept %d, %v, want %d", got, err, want)
		}
	}
	if _, replayed, err := f.create(t.Context(), "key 4", newLog()); replayed || err == nil {
		t.Error("the live key is gone")
	}
	if _, err := f.Sweep(t.Context(), 0); err == nil {
		t.Error("limit 0 was accepted")
	}
}

func TestCommitRefusesBadRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for field, r := range map[string]eventlog.Request{
		"scope":           {Key: "key"},
		"idempotency_key": {Scope: "s", Key: string(make([]byte, 257))},
		"request":         {Scope: "s", Key: "key", Message: &requestMessage{Slug: "\xff"}},
	} {
		_, err := f.Commit(t.Context(), r, func(context.Context, pgx.Tx) error { return nil })
		if got := wantReason(t, err, commonv1.Reason_INVALID_FIELD); got.Meta["field"] != field {
			t.Errorf("field %q, want %q", got.Meta["field"], field)
		}
	}
}

// A response can carry the revision of the commit that is still under way.
func TestRevisionInsideCommitIsTheOneCommitted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	log := newLog()
	var r revision.Revision
	_, err := f.Commit(t.Context(), eventlog.Request{}, func(ctx context.Context, tx pgx.Tx) (err error) {
		r, err = f.Append(ctx, tx, eventlog.Append{Log: log, HomeRegion: region, Actor: operator(), Events: manyNamed(3)})
		return err
	})
	head, errHead := f.Head(t.Context(), f.db.Pool(), log)
	if err != nil || errHead != nil || r.Sequence != head.Sequence {
		t.Errorf("%v %v: %v, %v", err, errHead, r, head)
	}
}
