package relay_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/relay"
)

func TestRelayPublishesInOrder(t *testing.T) {
	f := newFixture(t)
	logs := map[string]uint64{}
	for range 5 {
		log := newLog()
		for range 20 {
			f.commit(t, log, 3)
		}
		logs[log] = 60
	}
	c := f.config("a")
	c.Page = 7
	run(t, relay.New(c))
	f.drained(t)
	inOrder(t, f.bus, "LOG_EU", logs)
	for log, n := range logs {
		f.sound(t, f.bus, log, n)
	}
}

func TestNudgeWakesWithoutSweep(t *testing.T) {
	for name, nudge := range map[string]func(*relay.Relay, *bus.Bus){
		"in process":    func(r *relay.Relay, _ *bus.Bus) { r.Nudge(region) },
		"other process": func(_ *relay.Relay, b *bus.Bus) { b.Nudge(region) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			c := f.config("a")
			c.Sweep = time.Hour
			published := make(chan struct{}, 1)
			c.Hooks.AfterMark = func([]eventlog.Pending) { published <- struct{}{} }
			beats, stop := heartbeats(t, f.bus)
			defer stop()
			r := relay.New(c)
			run(t, r)
			<-beats // the first round is over, and the next is in an hour
			f.commit(t, newLog(), 1)
			r.Nudge("elsewhere")
			nudge(r, f.bus)
			select {
			case <-published:
			case <-time.After(patience):
				t.Fatal("the nudge did not wake the relay")
			}
		})
	}
}

func TestFailingLogStopsNoOther(t *testing.T) {
	f := newFixture(t)
	bad, good := newLog(), newLog()
	f.commit(t, bad, 2)
	f.commit(t, bad, 2)
	f.commit(t, good, 2)
	var broken atomic.Bool
	broken.Store(true)
	registry := prometheus.NewRegistry()
	c := f.config("a")
	c.Metrics = registry
	c.Hooks.BeforePublish = func(r eventlog.Recorded) error {
		if broken.Load() && r.Envelope.GetLog() == bad && r.Envelope.GetSequence() == 2 {
			return errors.New("refused by the test")
		}
		return nil
	}
	beats, stop := heartbeats(t, f.bus)
	defer stop()
	run(t, relay.New(c))
	until(t, "only the bad log waits", func() bool { return f.backlog(t) == 2 })
	f.sound(t, f.bus, good, 2)
	until(t, "failures are counted", func() bool {
		n, err := testutil.GatherAndCount(registry, "meridian_relay_failures_total")
		return err == nil && n == 1
	})
	if len(beats) != 0 {
		t.Fatalf("a heartbeat was sent while an event was not published: %+v", <-beats)
	}
	broken.Store(false)
	f.drained(t)
	f.sound(t, f.bus, bad, 4)
	inOrder(t, f.bus, "LOG_EU", map[string]uint64{bad: 4, good: 2})
	select {
	case <-beats:
	case <-time.After(patience):
		t.Fatal("no heartbeat after the outbox was drained")
	}
}

func heartbeats(t testing.TB, b *bus.Bus) (<-chan bus.Heartbeat, func()) {
	t.Helper()
	beats := make(chan bus.Heartbeat, 1024)
	stop, err := b.Heartbeats(t.Context(), func(h bus.Heartbeat) {
		select {
		case beats <- h:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return beats, stop
}

func TestHeartbeatClaimHolds(t *testing.T) {
	f := newFixture(t)
	beats, stop := heartbeats(t, f.bus)
	defer stop()
	run(t, relay.New(f.config("a")))
	log := newLog()
	deadline := time.After(patience)
	for n := uint64(1); n <= 10; n++ {
		f.commit(t, log, 1)
		var committed time.Time
		if err := f.db.Pool().QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&committed); err != nil {
			t.Fatal(err)
		}
		for {
			var h bus.Heartbeat
			select {
			case h = <-beats:
			case <-deadline:
				t.Fatal("no heartbeat")
			}
			if h.HomeRegion != region || h.Stream != "LOG_EU" || h.Created == 0 || h.Epoch == 0 {
				t.Fatalf("heartbeat %+v", h)
			}
			if h.Clock.Before(committed) {
				continue
			}
			// Committed before the clock: it must be at or before the position.
			if h.Sequence < n {
				t.Fatalf("the clock is after event %d, the position is %d", n, h.Sequence)
			}
			break
		}
	}
}

func TestTwoRelaysAtOnce(t *testing.T) {
	f := newFixture(t)
	logs := []string{newLog(), newLog(), newLog()}
	second := eventlog.New(eventlog.Config{DB: f.db, Region: region})
	a, b := f.config("a"), f.config("b")
	// A lease of a moment: both lead again and again, and lose it in mid-round.
	a.Lease, b.Lease, b.Store = 30*time.Millisecond, 30*time.Millisecond, second
	run(t, relay.New(a))
	run(t, relay.New(b))
	var writers sync.WaitGroup
	for _, log := range logs {
		writers.Go(func() {
			for range 60 {
				if err := commit(t.Context(), f.db, f.store, log, 2); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	// On a busy machine a moment is too short for a round: a third one brings it to
	// an end.
	run(t, relay.New(f.config("c")))
	f.drained(t)
	want := map[string]uint64{}
	for _, log := range logs {
		want[log] = 120
		f.sound(t, f.bus, log, 120)
	}
	inOrder(t, f.bus, "LOG_EU", want)
}

func TestLeaseIsTakenOver(t *testing.T) {
	f := newFixture(t)
	if held, _, err := f.store.Acquire(t.Context(), region, "dead", 700*time.Millisecond, true); !held || err != nil {
		t.Fatal(held, err)
	}
	start := time.Now()
	log := newLog()
	f.commit(t, log, 1)
	beats, stop := heartbeats(t, f.bus)
	defer stop()
	run(t, relay.New(f.config("b")))
	select {
	case h := <-beats:
		if h.Epoch != 2 {
			t.Fatalf("epoch %d, want 2", h.Epoch)
		}
	case <-time.After(patience):
		t.Fatal("no take-over")
	}
	if took := time.Since(start); took < 600*time.Millisecond {
		t.Fatalf("the lease was taken after %s, while another had it", took)
	}
	f.sound(t, f.bus, log, 1)
}

// A relay of another region publishes for a lost one, into its own stream, and
// lets go when the region is back: its own relay then publishes into its own.
func TestLeaseGoesHome(t *testing.T) {
	f := newFixture(t)
	us := openBus(t, bus.Config{Region: "us", URL: f.bus.ClientURL()})
	beats, stop := heartbeats(t, f.bus)
	defer stop()
	from := func(stream string) {
		t.Helper()
		timeout := time.After(patience)
		for {
			select {
			case h := <-beats:
				if h.HomeRegion == region && h.Stream == stream {
					return
				}
			case <-timeout:
				t.Fatalf("no heartbeat from %s", stream)
			}
		}
	}
	standby := f.config("standby")
	standby.Bus = us
	run(t, relay.New(standby))
	stopHome := run(t, relay.New(f.config("home")))
	from(bus.StreamName(region))
	stopHome()
	from(bus.StreamName("us"))
	log := newLog()
	reaches := func(b *bus.Bus, sequence uint64) {
		until(t, fmt.Sprintf("event %d is in the stream of %s", sequence, b.Region()), func() bool {
			last, _, err := b.Last(t.Context(), log)
			return err == nil && last == sequence
		})
	}
	f.commit(t, log, 2)
	reaches(us, 2)
	run(t, relay.New(f.config("home again")))
	from(bus.StreamName(region))
	f.commit(t, log, 1)
	reaches(f.bus, 3)
}

func TestStoppedRelayGivesItsLeaseBack(t *testing.T) {
	f := newFixture(t)
	c := f.config("a")
	c.Lease = time.Hour
	inRound, goOn := make(chan struct{}), make(chan struct{})
	c.Hooks.BeforeMark = func([]eventlog.Pending) {
		close(inRound)
		<-goOn
	}
	f.commit(t, newLog(), 1)
	stop := run(t, relay.New(c))
	<-inRound
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	close(goOn)
	<-stopped
	if n := f.backlog(t); n != 0 {
		t.Fatalf("the round was not finished: %d wait", n)
	}
	if held, _, err := f.store.Acquire(t.Context(), region, "b", time.Second, true); !held || err != nil {
		t.Fatalf("the lease was not given back: %v", err)
	}
}

func TestLosingTheLeaseInMidRoundDoesNotMark(t *testing.T) {
	f := newFixture(t)
	c := f.config("a")
	c.Lease = 50 * time.Millisecond
	log := newLog()
	f.commit(t, log, 1)
	var once sync.Once
	c.Hooks.BeforeMark = func([]eventlog.Pending) {
		once.Do(func() {
			until(t, "another has the lease", func() bool {
				held, _, err := f.store.Acquire(context.Background(), region, "b", 200*time.Millisecond, true)
				return err == nil && held
			})
			if n := f.backlog(t); n != 1 {
				t.Errorf("%d wait, want 1", n)
			}
		})
	}
	marked := make(chan time.Time, 8)
	c.Hooks.AfterMark = func([]eventlog.Pending) { marked <- time.Now() }
	start := time.Now()
	run(t, relay.New(c))
	f.drained(t)
	if at := <-marked; at.Sub(start) < 200*time.Millisecond {
		t.Fatal("it was marked without the lease")
	}
	f.sound(t, f.bus, log, 1)
}

// A page that takes longer than the lease is published in parts.
func TestLongPageOutlivesTheLease(t *testing.T) {
	f := newFixture(t)
	logs := map[string]uint64{newLog(): 40, newLog(): 40, newLog(): 1, newLog(): 1}
	for log, n := range logs {
		for range n {
			f.commit(t, log, 1)
		}
	}
	c := f.config("a")
	// Each publish takes a tenth of the lease by the clock.
	var passed atomic.Int64
	c.Clock = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	c.Hooks.BeforePublish = func(eventlog.Recorded) error {
		passed.Add(int64(c.Lease / 10))
		return nil
	}
	run(t, relay.New(c))
	f.drained(t)
	inOrder(t, f.bus, "LOG_EU", logs)
}

func BenchmarkRelay(b *testing.B) {
	f := newFixture(b)
	logs := make([]string, 20)
	for i := range logs {
		logs[i] = newLog()
	}
	n := 0
	for ; n < 10_000; n += 100 {
		f.commit(b, logs[n/100%len(logs)], 100)
	}
	b.ResetTimer()
	done := make(chan struct{})
	c := f.config("a")
	var marked atomic.Int64
	c.Hooks.AfterMark = func(p []eventlog.Pending) {
		for _, one := range p {
			if marked.Add(int64(len(one.Events))) == int64(n) {
				close(done)
			}
		}
	}
	run(b, relay.New(c))
	<-done
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
