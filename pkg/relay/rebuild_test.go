package relay_test

import (
	"net/url"
	"os"
	"strconv"
	"testing"

	"github.com/meridian-iam/meridian/pkg/bus"
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
