package relay_test

import (
	"context"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/relay"
)

// external is a server that can be stopped and started again at the same place.
type external struct {
	*bus.Server
	options bus.ServerOptions
}

func serve(t testing.TB) *external {
	t.Helper()
	e := &external{options: bus.ServerOptions{StoreDir: t.TempDir(), Name: "test", Embedded: bus.Embedded{User: "u", Password: "p"}}}
	e.start(t)
	u, err := url.Parse(e.URL())
	if err != nil {
		t.Fatal(err)
	}
	if e.options.Embedded.Port, err = strconv.Atoi(u.Port()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Stop() })
	return e
}

func (e *external) start(t testing.TB) {
	t.Helper()
	server, err := bus.Serve(e.options, quiet())
	if err != nil {
		t.Fatal(err)
	}
	e.Server = server
}

func TestBusRestart(t *testing.T) {
	f := newFixture(t)
	server := serve(t)
	f.bus = openBus(t, bus.Config{Region: region, URL: server.URL()})
	run(t, relay.New(f.config("a")))
	log := newLog()
	for range 3 {
		f.commit(t, log, 5)
		server.Stop()
		f.commit(t, log, 5)
		server.start(t)
		f.commit(t, log, 5)
	}
	f.drained(t)
	f.sound(t, f.bus, log, 45)
	inOrder(t, f.bus, "LOG_EU", map[string]uint64{log: 45})
}

func TestLostStreamIsPublishedAgain(t *testing.T) {
	for name, running := range map[string]bool{"while the relay runs": true, "while it is stopped": false} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			server := serve(t)
			f.bus = openBus(t, bus.Config{Region: region, URL: server.URL()})
			logs := []string{newLog(), newLog(), "platform"}
			for _, log := range logs {
				f.commit(t, log, 40)
			}
			stop := run(t, relay.New(f.config("a")))
			f.drained(t)
			if !running {
				stop()
			}
			server.Stop()
			if err := os.RemoveAll(server.options.StoreDir); err != nil {
				t.Fatal(err)
			}
			server.start(t)
			if !running {
				f.bus = openBus(t, bus.Config{Region: region, URL: server.URL()})
				f.commit(t, logs[0], 1)
				run(t, relay.New(f.config("b")))
			} else {
				f.commit(t, logs[0], 1)
			}
			want := uint64(121)
			until(t, "everything is published again", func() bool {
				end, err := f.bus.End(t.Context(), "LOG_EU")
				return err == nil && end.Sequence >= want
			})
			f.drained(t)
			f.sound(t, f.bus, logs[0], 41)
			f.sound(t, f.bus, logs[1], 40)
			f.sound(t, f.bus, logs[2], 40)
		})
	}
}

// lose stops the server, throws its disk away and starts it again.
func (e *external) lose(t testing.TB) {
	t.Helper()
	e.Stop()
	if err := os.RemoveAll(e.options.StoreDir); err != nil {
		t.Fatal(err)
	}
	e.start(t)
}

// A relay that dies after the stream was lost, at the first event that it sends
// to the new one, leaves work to the next: that one sees a stream with events.
func TestRelayDiesBetweenLossAndRefill(t *testing.T) {
	f := newFixture(t)
	server := serve(t)
	f.bus = openBus(t, bus.Config{Region: region, URL: server.URL()})
	log, other := newLog(), newLog()
	f.commit(t, log, 40)
	f.commit(t, other, 40)
	c := f.config("a")
	var lost atomic.Bool
	died := make(chan struct{})
	c.Hooks.BeforePublish = func(eventlog.Recorded) error {
		if lost.CompareAndSwap(true, false) {
			server.lose(t)
			close(died)
		}
		return nil
	}
	stop := run(t, relay.New(c))
	f.drained(t)
	lost.Store(true)
	f.commit(t, log, 1)
	<-died
	stop()
	refilled := make(chan uint64, 8)
	f.bus = openBus(t, bus.Config{Region: region, URL: server.URL()})
	publishAll(t, f, log) // what the dead one may have sent
	next := f.config("b")
	next.Hooks.AfterFill = func(events uint64) { refilled <- events }
	run(t, relay.New(next))
	if n := <-refilled; n != 81 {
		t.Errorf("%d events were published again, want 81", n)
	}
	f.drained(t)
	f.sound(t, f.bus, log, 41)
	f.sound(t, f.bus, other, 40)
}

func publishAll(t testing.TB, f *fixture, log string) {
	t.Helper()
	events, err := f.store.Read(t.Context(), f.db.Pool(), log, 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if _, err := f.bus.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// What was sent to a stream that was replaced before the mark is not marked.
func TestReplacedStreamIsNotMarked(t *testing.T) {
	f := newFixture(t)
	server := serve(t)
	f.bus = openBus(t, bus.Config{Region: region, URL: server.URL()})
	log := newLog()
	f.commit(t, log, 5)
	c := f.config("a")
	var lose atomic.Bool
	var refills atomic.Int32
	c.Hooks.AfterFill = func(uint64) { refills.Add(1) }
	c.Hooks.BeforeMark = func([]eventlog.Pending) {
		if lose.CompareAndSwap(true, false) {
			server.lose(t)
		}
	}
	c.Hooks.AfterMark = func([]eventlog.Pending) {
		if end, err := f.bus.End(context.Background(), "LOG_EU"); err != nil || end.Sequence < 5 {
			t.Errorf("it was marked, and the stream ends at %d, %v", end.Sequence, err)
		}
	}
	run(t, relay.New(c))
	f.drained(t)
	lose.Store(true)
	f.commit(t, log, 1)
	f.drained(t)
	f.sound(t, f.bus, log, 6)
	if n := refills.Load(); n != 2 {
		t.Errorf("%d refills, want 2", n)
	}
}

func TestStreamIsFilledOnlyWhenItMustBe(t *testing.T) {
	f := newFixture(t)
	log := newLog()
	f.commit(t, log, 5)
	filled := make(chan uint64, 8)
	for i, step := range []struct {
		name   string
		change func(fill *eventlog.Fill)
		want   bool
	}{
		{"first start", nil, true},
		{"the same stream", func(*eventlog.Fill) {}, false},
		{"another stream", func(fill *eventlog.Fill) { fill.Created-- }, true},
		{"its end is lost", func(fill *eventlog.Fill) { fill.Sequence++ }, true},
	} {
		if step.change != nil {
			fill, found, err := f.store.Fill(t.Context(), region, "LOG_EU")
			if err != nil || !found {
				t.Fatal(found, err)
			}
			step.change(&fill)
			if err := f.store.RecordFill(t.Context(), region, fill); err != nil {
				t.Fatal(err)
			}
		}
		c := f.config(strconv.Itoa(i))
		c.Hooks.AfterFill = func(events uint64) { filled <- events }
		f.commit(t, log, 1)
		stop := run(t, relay.New(c))
		f.drained(t)
		stop()
		if got := len(filled) == 1; got != step.want {
			t.Errorf("%s: filled %v, want %v", step.name, got, step.want)
		}
		for len(filled) > 0 {
			<-filled
		}
	}
	f.sound(t, f.bus, log, 9)
}

func TestRebuild(t *testing.T) {
	f := newFixture(t)
	logs := map[string]uint64{newLog(): 3, newLog(): 700}
	for log, n := range logs {
		for left := int(n); left > 0; left -= 200 {
			f.commit(t, log, min(left, 200))
		}
	}
	for range 2 { // it may be repeated
		var last uint64
		n, err := relay.Rebuild(t.Context(), f.config("operator"), func(events uint64) { last = events })
		if err != nil || n != 703 || last != 703 {
			t.Fatalf("published %d, progress %d, %v", n, last, err)
		}
	}
	inOrder(t, f.bus, "LOG_EU", logs)
	for log, n := range logs {
		f.sound(t, f.bus, log, n)
	}
	c := f.config("operator")
	c.Region = "us"
	if n, err := relay.Rebuild(t.Context(), c, func(uint64) {}); n != 0 || err != nil {
		t.Fatalf("another region's logs: %d, %v", n, err)
	}
}

// stored lists the events of a log in a stream, each once, as they come first.
func stored(t testing.TB, b *bus.Bus, stream, log string) []uint64 {
	t.Helper()
	end, err := b.End(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Read(t.Context(), bus.ReadOptions{Stream: stream})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var found []uint64
	for at := uint64(0); at < end.Sequence; {
		m, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		at = m.Sequence
		if m.Log == log && !slices.Contains(found, m.LogSequence) {
			found = append(found, m.LogSequence)
		}
	}
	return found
}

// between lists the sequences from first to last of each pair.
func between(pairs ...uint64) (all []uint64) {
	for ; len(pairs) > 0; pairs = pairs[2:] {
		for n := pairs[0]; n <= pairs[1]; n++ {
			all = append(all, n)
		}
	}
	return all
}

// A region's stream has the events of a log from while it was at home there, also
// after the stream was lost.
func TestRebuildOfLogsThatMoved(t *testing.T) {
	f := newFixture(t)
	euServer, usServer := serve(t), serve(t)
	f.bus = openBus(t, bus.Config{Region: region, URL: euServer.URL()})
	us := openBus(t, bus.Config{Region: "us", URL: usServer.URL()})
	log, left := newLog(), newLog()
	f.commit(t, log, 40)
	f.move(t, log, "us") // 41
	f.commit(t, log, 9)
	f.move(t, log, region) // 51
	f.commit(t, log, 2)
	f.commit(t, left, 5)
	f.move(t, left, "us") // 6
	refilled := make(chan uint64, 8)
	eu := f.config("eu")
	eu.Hooks.AfterFill = func(events uint64) { refilled <- events }
	american := f.config("us")
	american.Bus, american.Region = us, "us"
	run(t, relay.New(eu))
	run(t, relay.New(american))
	<-refilled // the first time, there is nothing that was published
	drained := func() {
		f.drained(t)
		until(t, "the outbox of us is empty", func() bool {
			n, _, err := f.store.Backlog(t.Context(), "us")
			return err == nil && n == 0
		})
	}
	whole := func(when string) {
		t.Helper()
		for _, want := range []struct {
			bus    *bus.Bus
			stream string
			log    string
			events []uint64
		}{
			{f.bus, "LOG_EU", log, between(1, 41, 52, 53)},
			{us, "LOG_US", log, between(42, 51)},
			{f.bus, "LOG_EU", left, between(1, 6)},
			{us, "LOG_US", left, nil},
		} {
			if got := stored(t, want.bus, want.stream, want.log); !slices.Equal(got, want.events) {
				t.Errorf("%s: %s has %v, want %v", when, want.stream, got, want.events)
			}
		}
	}
	drained()
	whole("before")
	euServer.lose(t)
	f.commit(t, newLog(), 1) // so that the relay looks
	if n := <-refilled; n < 49 || n > 50 {
		t.Errorf("%d events were published again, want 49, and the new one", n)
	}
	drained()
	whole("after the loss")
	n, err := relay.Rebuild(t.Context(), american, func(uint64) {})
	if err != nil || n != 10 {
		t.Errorf("rebuilt %d events of us, %v; want 10", n, err)
	}
}
