package bus_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
)

// publishUntil publishes while the server may be starting.
func publishUntil(t testing.TB, b *bus.Bus, events []eventlog.Recorded) {
	t.Helper()
	ctx := bounded(t)
	for i := 0; i < len(events); {
		if _, err := b.Publish(ctx, events[i]); err == nil {
			i++
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// messy publishes a log as relays may: with repeats that JetStream does not
// know, and with a part before its predecessors. Ids differ, so nothing is
// recognized as a repeat.
func messy(t testing.TB, b *bus.Bus, events []eventlog.Recorded) {
	t.Helper()
	publish(t, b, events[:100]...)
	publish(t, b, chain(t, newLog(), 50)...)
	publish(t, b, events[200:300]...) // ahead
	publish(t, b, events[100:200]...)
	publish(t, b, chain(t, newLog(), 50)...)
	publish(t, b, events[300:]...)
}

func TestTail(t *testing.T) {
	b := open(t)
	log := newLog()
	const n = 4000 // enough for a consumer
	events := chain(t, log, n)
	messy(t, b, events)
	for _, from := range []uint64{1, 2, 60, 401, 2500, n} {
		tail := b.Tail(log, from)
		defer tail.Close()
		for want := from; want <= n; {
			messages, err := tail.Next(t.Context(), 97)
			if err != nil || len(messages) == 0 {
				t.Fatalf("from %d: at %d: %d messages, %v", from, want, len(messages), err)
			}
			for _, m := range messages {
				if m.LogSequence != want || !bytes.Equal(m.Bytes, events[want-1].Bytes) {
					t.Fatalf("from %d: got %d, want %d", from, m.LogSequence, want)
				}
				want++
			}
		}
		if messages, err := tail.Next(t.Context(), 1); err != nil || len(messages) != 0 {
			t.Fatalf("after the end: %d, %v", len(messages), err)
		}
	}
}

func TestTailSeesWhatComes(t *testing.T) {
	b := open(t)
	log := newLog()
	events := chain(t, log, 3)
	tail := b.Tail(log, 1)
	for i, e := range events {
		if m, err := tail.Next(t.Context(), 5); err != nil || len(m) != 0 {
			t.Fatalf("before event %d: %d, %v", i+1, len(m), err)
		}
		publish(t, b, e)
		if m, err := tail.Next(t.Context(), 5); err != nil || len(m) != 1 || m[0].LogSequence != uint64(i)+1 {
			t.Fatalf("event %d: %+v, %v", i+1, m, err)
		}
	}
}

// Where a replica has all of a log, or a stream nothing of it, a tail asks twice,
// however long the stream is, and sees what comes then.
func TestTailOfWhatIsNewAsksTwice(t *testing.T) {
	b := open(t)
	log := newLog()
	events := chain(t, log, 5)
	publish(t, b, events[:3]...)
	publish(t, b, chain(t, newLog(), 500)...)
	for name, of := range map[string]string{"its own": log, "one that is not there": newLog()} {
		asked, err := b.Conn().SubscribeSync("$JS.API.DIRECT.GET.>")
		if err != nil {
			t.Fatal(err)
		}
		tail := b.Tail(of, 4)
		defer tail.Close()
		if m, err := tail.Next(t.Context(), 5); err != nil || len(m) != 0 {
			t.Fatalf("%s: %d messages, %v", name, len(m), err)
		}
		if err := b.Conn().Flush(); err != nil {
			t.Fatal(err)
		}
		if n, _, err := asked.Pending(); err != nil || n != 2 {
			t.Errorf("%s: asked %d times, %v", name, n, err)
		}
		if err := asked.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
		if of != log {
			continue
		}
		publish(t, b, events[3:]...)
		if m, err := tail.Next(t.Context(), 5); err != nil || len(m) != 2 || m[0].LogSequence != 4 {
			t.Errorf("what came: %d messages, %v", len(m), err)
		}
	}
}

func TestCopyFindsEveryEvent(t *testing.T) {
	b := open(t)
	log := newLog()
	events := chain(t, log, 600)
	missing := uint64(450)
	messy(t, b, append(append([]eventlog.Recorded(nil), events[:missing-1]...), events[missing:]...))
	order := make([]uint64, 0, 1200)
	for i := range uint64(600) {
		order = append(order, i+1)
	}
	for range 100 {
		order = append(order, rand.Uint64N(600)+1)
	}
	c := b.Copy()
	for _, sequence := range order {
		got, found, err := c.Event(t.Context(), log, sequence)
		if err != nil {
			t.Fatal(err)
		}
		if found != (sequence != missing) || found && !bytes.Equal(got, events[sequence-1].Bytes) {
			t.Fatalf("event %d: found %v", sequence, found)
		}
	}
	if _, found, err := c.Event(t.Context(), newLog(), 1); found || err != nil {
		t.Fatalf("another log: %v, %v", found, err)
	}
}

func TestLastIsWhatTheLeaderHas(t *testing.T) {
	b := open(t)
	log := newLog()
	if _, found, err := b.Last(t.Context(), log); found || err != nil {
		t.Fatalf("an empty log: %v, %v", found, err)
	}
	publish(t, b, chain(t, log, 7)...)
	publish(t, b, chain(t, newLog(), 9)...)
	if last, found, err := b.Last(t.Context(), log); last != 7 || !found || err != nil {
		t.Fatalf("got %d, %v, %v", last, found, err)
	}
}

// BenchmarkCopy reads a log in order, as verifying does.
func BenchmarkCopy(b *testing.B) {
	bus := open(b)
	log := newLog()
	events := chain(b, log, 5000)
	publish(b, bus, events...)
	b.ResetTimer()
	c := bus.Copy()
	for i := range b.N {
		if _, found, err := c.Event(b.Context(), log, uint64(i%5000)+1); !found || err != nil {
			b.Fatal(found, err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReader replays a stream.
func BenchmarkReader(b *testing.B) {
	for name, direct := range map[string]bool{"consumer": false, "direct": true} {
		b.Run(name, func(b *testing.B) {
			bus1 := open(b)
			publish(b, bus1, chain(b, newLog(), 20_000)...)
			b.ResetTimer()
			for range b.N {
				r, err := bus1.Read(b.Context(), bus.ReadOptions{Stream: "LOG_EU_WEST", Direct: direct})
				if err != nil {
					b.Fatal(err)
				}
				for range 20_000 {
					if _, err := r.Next(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				r.Close()
			}
			b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// A log that relays of two regions published in turns is read in one pass of
// each stream, not with a search for each event.
func TestCopyOfTwoRelays(t *testing.T) {
	server := serve(t)
	home := open(t, func(c *bus.Config) { c.URL = server.URL() })
	far := open(t, func(c *bus.Config) { c.URL, c.Region = server.URL(), "us" })
	both := open(t, func(c *bus.Config) { c.URL, c.Mirrors = server.URL(), []string{"us"} })
	log := newLog()
	const n, turn = 600, 25
	events := chain(t, log, n)
	for i := 0; i < n; i += 2 * turn {
		publish(t, home, events[i:i+turn]...)
		publish(t, far, events[i+turn:i+2*turn]...)
	}
	deadline := time.Now().Add(patience)
	for last := uint64(0); last < n; {
		var err error
		if last, _, err = both.Last(t.Context(), log); err != nil || time.Now().After(deadline) {
			t.Fatalf("the mirror ends at %d, %v", last, err)
		}
	}
	c := both.Copy()
	before := both.Conn().Stats().OutMsgs
	for sequence := uint64(1); sequence <= n; sequence++ {
		got, found, err := c.Event(t.Context(), log, sequence)
		if err != nil || !found || !bytes.Equal(got, events[sequence-1].Bytes) {
			t.Fatalf("event %d: found %v, %v", sequence, found, err)
		}
	}
	if requests := both.Conn().Stats().OutMsgs - before; requests > 2*n/turn*4 {
		t.Fatalf("%d requests for %d events", requests, n)
	}
}
