package bus_test

import (
	"errors"
	"os"
	"testing"

	"github.com/meridian-iam/meridian/pkg/bus"
)

// expect reads events first..last of a log and fails on anything else.
func expect(t *testing.T, r *bus.Reader, log string, first, last uint64) {
	t.Helper()
	ctx := bounded(t)
	for want := first; want <= last; {
		m, err := r.Next(ctx)
		if errors.Is(err, bus.ErrResumed) {
			continue
		}
		if err != nil {
			t.Fatalf("waiting for %d: %v", want, err)
		}
		e, err := m.Decode()
		if err != nil {
			t.Fatal(err)
		}
		if m.Log != log || e.Envelope.GetSequence() != want {
			t.Fatalf("got %s:%d, want %s:%d", m.Log, e.Envelope.GetSequence(), log, want)
		}
		want++
	}
}

func TestReader(t *testing.T) {
	for name, direct := range map[string]bool{"consumer": false, "direct get": true} {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			log, other := newLog(), newLog()
			events, noise := chain(t, log, 600), chain(t, other, 600)
			for i := range 500 {
				publish(t, b, noise[i], events[i])
			}
			all, err := b.Read(t.Context(), bus.ReadOptions{Stream: "LOG_EU_WEST", Filter: "log.*." + log + ".>", Direct: direct})
			if err != nil {
				t.Fatal(err)
			}
			defer all.Close()
			expect(t, all, log, 1, 500)
			end, err := b.Read(t.Context(), bus.ReadOptions{Stream: "LOG_EU_WEST", FromEnd: true, Direct: direct})
			if err != nil {
				t.Fatal(err)
			}
			defer end.Close()
			publish(t, b, events[500:]...)
			expect(t, all, log, 501, 600)
			expect(t, end, log, 501, 600)
			after, err := b.Read(t.Context(), bus.ReadOptions{Stream: "LOG_EU_WEST", After: 1050, Direct: direct})
			if err != nil {
				t.Fatal(err)
			}
			defer after.Close()
			expect(t, after, log, 551, 600)
		})
	}
}

func TestReaderGoesOnAfterRestart(t *testing.T) {
	for name, direct := range map[string]bool{"consumer": false, "direct get": true} {
		t.Run(name, func(t *testing.T) {
			server := serve(t)
			b := open(t, func(c *bus.Config) { c.URL = server.URL() })
			log := newLog()
			events := chain(t, log, 30)
			r, err := b.Read(t.Context(), bus.ReadOptions{Stream: "LOG_EU_WEST", Direct: direct})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for i := range 3 {
				publishUntil(t, b, events[10*i:10*i+10])
				expect(t, r, log, uint64(10*i)+1, uint64(10*i)+10)
				server.Stop()
				server.start(t)
			}
		})
	}
}

func TestReaderNoticesLostStream(t *testing.T) {
	server := serve(t)
	b := open(t, func(c *bus.Config) { c.URL = server.URL() })
	log := newLog()
	events := chain(t, log, 5)
	publish(t, b, events...)
	r, err := b.Read(t.Context(), bus.ReadOptions{Stream: "LOG_EU_WEST"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	expect(t, r, log, 1, 5)
	server.Stop()
	if err := os.RemoveAll(server.options.StoreDir); err != nil {
		t.Fatal(err)
	}
	server.start(t)
	publishUntil(t, b, events)
	for ctx := bounded(t); ; {
		m, err := r.Next(ctx)
		if errors.Is(err, bus.ErrReplaced) {
			break
		}
		if err == nil || !errors.Is(err, bus.ErrResumed) {
			t.Fatalf("got %d, %v; want ErrReplaced", m.Sequence, err)
		}
	}
	_, err = b.Read(t.Context(), bus.ReadOptions{Stream: "LOG_EU_WEST", After: 3, Created: r.Start().Created})
	if !errors.Is(err, bus.ErrReplaced) {
		t.Fatalf("an old position was accepted: %v", err)
	}
}
