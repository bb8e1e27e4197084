package project_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

func TestAttachGetsTailThenLive(t *testing.T) {
	f := newFixture(t)
	log := newLog()
	for range 15 {
		f.commit(t, log, 100)
	}
	f.relay(t)
	f.drained(t)
	follower := f.follow(t)
	for _, from := range []uint64{0, 1, 700, 1500} {
		r := newReplica(t, from)
		a := follower.Attach(log, from, r.apply)
		defer a.Close()
		r.wait(a, 1500)
	}
	r := newReplica(t, 0)
	a := follower.Attach(log, 0, r.apply)
	for n := range uint64(20) {
		f.commit(t, log, 1)
		r.wait(a, 1501+n)
	}
	a.Close()
	f.commit(t, log, 1)
	if err := a.Wait(t.Context(), 1521); !fault.Is(err, commonv1.Reason_STOPPING) {
		t.Fatalf("a closed attachment says %v", err)
	}
}

func TestAttachBeforeTheLogExists(t *testing.T) {
	f := newFixture(t)
	f.relay(t)
	follower := f.follow(t)
	log := newLog()
	r := newReplica(t, 0)
	a := follower.Attach(log, 0, r.apply)
	if _, known := a.Age(); known {
		t.Error("the age of a log without events is known")
	}
	f.commit(t, log, 2)
	r.wait(a, 2)
}

func TestAttachAfterAnEventThatDoesNotExist(t *testing.T) {
	f := newFixture(t)
	log := newLog()
	f.commit(t, log, 2)
	a := f.follow(t).Attach(log, 3, newReplica(t, 3).apply)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := a.Wait(ctx, 4); !fault.Is(err, commonv1.Reason_EVENT_CORRUPT) {
		t.Fatalf("got %v, want EVENT_CORRUPT", err)
	}
}

// raw publishes an event under any message id, so that JetStream takes it.
func raw(t *testing.T, f *fixture, e eventlog.Recorded, id string) {
	t.Helper()
	m := nats.NewMsg("log.eu." + e.Envelope.GetLog() + ".identity.OrganizationCreated")
	m.Data = e.Bytes
	m.Header.Set(jetstream.MsgIDHeader, id)
	js, err := jetstream.New(f.bus.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func TestGapIsFilledFromTheTable(t *testing.T) {
	f := newFixture(t)
	log := newLog()
	registry := prometheus.NewRegistry()
	follower := f.follow(t, func(c *project.Config) { c.Metrics, c.LateAfter = registry, time.Hour })
	r := newReplica(t, 0)
	a := follower.Attach(log, 0, r.apply)
	beat(t, f, follower)
	f.commit(t, log, 3)
	events := f.events(t, log)
	if _, err := f.bus.Publish(t.Context(), events[0]); err != nil {
		t.Fatal(err)
	}
	r.wait(a, 1)
	if _, err := f.bus.Publish(t.Context(), events[2]); err != nil {
		t.Fatal(err)
	}
	r.wait(a, 3)
	if n := value(t, registry, "meridian_projection_backfill_total"); n != 1 {
		t.Fatalf("%v backfills, want 1", n)
	}
}

// beat waits until the follower follows: it sees a live event.
func beat(t *testing.T, f *fixture, follower *project.Follower) {
	t.Helper()
	log := newLog()
	seen := make(chan struct{}, 1024)
	stop := follower.Watch(func(e eventlog.Recorded) {
		if e.Envelope.GetLog() == log {
			seen <- struct{}{}
		}
	})
	defer stop()
	f.commit(t, log, 1)
	n := 0
	until(t, "the follower follows", func() bool {
		n++
		raw(t, f, f.events(t, log)[0], fmt.Sprintf("%s:%0*d", log, n%18+1, 1))
		return len(seen) > 0
	})
}

func TestDuplicatesAreDropped(t *testing.T) {
	f := newFixture(t)
	log := newLog()
	follower := f.follow(t)
	r := newReplica(t, 0)
	a := follower.Attach(log, 0, r.apply)
	beat(t, f, follower)
	f.commit(t, log, 5)
	events := f.events(t, log)
	for round := 1; round < 4; round++ {
		for i, e := range events {
			raw(t, f, e, fmt.Sprintf("%s:%0*d", log, round, i+1))
		}
	}
	f.commit(t, log, 1)
	if _, err := f.bus.Publish(t.Context(), f.events(t, log)[5]); err != nil {
		t.Fatal(err)
	}
	r.wait(a, 6)
	end, err := f.bus.End(t.Context(), "LOG_EU")
	if err != nil || end.Sequence < 16 {
		t.Fatalf("the stream has no duplicates: %+v, %v", end, err)
	}
}

func TestPoisonHaltsOneAndOthersGoOn(t *testing.T) {
	for name, apply := range map[string]func() error{
		"error": func() error { return errors.New("cannot") },
		"fault": func() error {
			return fault.New(fault.Internal, commonv1.Reason_EVENT_CORRUPT, "unknown type")
		},
		"panic": func() error { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			log, other := newLog(), newLog()
			f.relay(t)
			registry := prometheus.NewRegistry()
			follower := f.follow(t, func(c *project.Config) { c.Metrics = registry })
			good, elsewhere := newReplica(t, 0), newReplica(t, 0)
			bad := follower.Attach(log, 0, func(_ context.Context, batch []eventlog.Recorded) error {
				for _, e := range batch {
					if e.Envelope.GetSequence() == 3 {
						return apply()
					}
				}
				return nil
			})
			same, another := follower.Attach(log, 0, good.apply), follower.Attach(other, 0, elsewhere.apply)
			for range 5 {
				f.commit(t, log, 1)
				f.commit(t, other, 1)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := bad.Wait(ctx, 5); !fault.Is(err, commonv1.Reason_EVENT_CORRUPT) {
				t.Fatalf("got %v, want EVENT_CORRUPT", err)
			}
			if bad.Err() == nil || bad.Sequence() >= 3 {
				t.Fatalf("halted at %d with %v", bad.Sequence(), bad.Err())
			}
			good.wait(same, 5)
			elsewhere.wait(another, 5)
			if same.Err() != nil {
				t.Fatal(same.Err())
			}
			if n := value(t, registry, "meridian_projection_halted"); n != 1 {
				t.Fatalf("halted gauge is %v", n)
			}
			bad.Close()
			if n := value(t, registry, "meridian_projection_halted"); n != 0 {
				t.Fatalf("halted gauge is %v after Close", n)
			}
		})
	}
}

func value(t testing.TB, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			m := family.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestBrokenChainHalts(t *testing.T) {
	for name, change := range map[string]func(*logv1.Envelope){
		"another predecessor": func(e *logv1.Envelope) { e.PreviousHash = bytes.Repeat([]byte{7}, 32) },
		"not an event":        func(e *logv1.Envelope) { e.Actor = nil },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			log := newLog()
			follower := f.follow(t, func(c *project.Config) { c.LateAfter = time.Hour })
			r := newReplica(t, 0)
			a := follower.Attach(log, 0, r.apply)
			beat(t, f, follower)
			f.commit(t, log, 1)
			r.wait(publishAll(t, f, log, a), 1)
			forged := proto.CloneOf(f.events(t, log)[0].Envelope)
			forged.Sequence = 2
			change(forged)
			b, err := proto.Marshal(forged)
			if err != nil {
				t.Fatal(err)
			}
			raw(t, f, eventlog.Recorded{Envelope: forged, Bytes: b}, log+":2")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := a.Wait(ctx, 2); !fault.Is(err, commonv1.Reason_EVENT_CORRUPT) {
				t.Fatalf("got %v, want EVENT_CORRUPT", err)
			}
			if a.Sequence() != 1 || r.reached() != 1 {
				t.Fatalf("applied %d, %d", a.Sequence(), r.reached())
			}
		})
	}
}

func publishAll(t *testing.T, f *fixture, log string, a *project.Attachment) *project.Attachment {
	t.Helper()
	for _, e := range f.events(t, log) {
		if _, err := f.bus.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func TestWaitAsksTheTableWhileTheRelayIsAway(t *testing.T) {
	f := newFixture(t)
	log := newLog()
	f.commit(t, log, 1)
	follower := f.follow(t)
	r := newReplica(t, 0)
	a := follower.Attach(log, 0, r.apply)
	r.wait(a, 1)
	f.commit(t, log, 3)
	start := time.Now()
	r.wait(a, 4)
	if took := time.Since(start); took > 5*time.Second {
		t.Fatalf("took %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if err := a.Wait(ctx, 5); !fault.Is(err, commonv1.Reason_REVISION_NOT_VISIBLE) {
		t.Fatalf("got %v, want REVISION_NOT_VISIBLE", err)
	}
}

func TestManyWaiters(t *testing.T) {
	f := newFixture(t)
	log := newLog()
	f.relay(t)
	follower := f.follow(t)
	r := newReplica(t, 0)
	a := follower.Attach(log, 0, r.apply)
	var waiting sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	failed := make(chan error, 10_000)
	for i := range 10_000 {
		waiting.Go(func() {
			if err := a.Wait(ctx, uint64(i%100)+1); err != nil {
				failed <- err
			}
		})
	}
	for range 10 {
		f.commit(t, log, 10)
	}
	waiting.Wait()
	if len(failed) > 0 {
		t.Fatalf("%d failed: %v", len(failed), <-failed)
	}
}

func TestSlowReplicaBlocksNoOther(t *testing.T) {
	f := newFixture(t)
	log := newLog()
	f.relay(t)
	registry := prometheus.NewRegistry()
	follower := f.follow(t, func(c *project.Config) { c.Queue, c.Metrics = 4, registry })
	slow, fast := newReplica(t, 0), newReplica(t, 0)
	blocked, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s := follower.Attach(log, 0, func(ctx context.Context, batch []eventlog.Recorded) error {
		once.Do(func() {
			close(blocked)
			<-goOn
		})
		return slow.apply(ctx, batch)
	})
	a := follower.Attach(log, 0, fast.apply)
	f.commit(t, log, 1)
	<-blocked
	for n := range uint64(60) {
		f.commit(t, log, 1)
		fast.wait(a, n+2)
	}
	if age, known := s.Age(); known && age < 0 {
		t.Fatal(age)
	}
	close(goOn)
	slow.wait(s, 61)
	if n := value(t, registry, "meridian_projection_overflow_total"); n < 1 {
		t.Fatal("no overflow was counted: the queue was never full")
	}
}

func TestFollowerWithoutDatabase(t *testing.T) {
	f := newFixture(t)
	log := newLog()
	f.commit(t, log, 30)
	f.relay(t)
	f.drained(t)
	gone, err := sqldb.Open(t.Context(), sqldb.Config{URL: f.url})
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	follower := f.follow(t, func(c *project.Config) {
		c.DB, c.Store = gone, eventlog.New(eventlog.Config{DB: gone, Region: region})
	})
	for _, from := range []uint64{0, 12} {
		r := newReplica(t, from)
		a := follower.Attach(log, from, r.apply)
		r.wait(a, 30)
		until(t, "the age is known from the stream alone", func() bool {
			age, known := a.Age()
			return known && age < 5*time.Second
		})
	}
}

func TestWatchSeesLiveEvents(t *testing.T) {
	f := newFixture(t)
	follower := f.follow(t)
	beat(t, f, follower) // it fails when Watch does not see
}
