package bus_test

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func TestPublish(t *testing.T) {
	b := open(t)
	log := newLog()
	events := chain(t, log, 2)
	if n := publish(t, b, events...); n != 2 {
		t.Fatalf("second event is at %d", n)
	}
	if n := publish(t, b, events[0]); n != 1 {
		t.Fatalf("a repeat returned %d, want where the event is: 1", n)
	}
	js, err := jetstream.New(b.Conn())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "LOG_EU_WEST")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Data, events[1].Bytes) {
		t.Error("the payload is not the envelope, byte for byte")
	}
	if want := "log.eu-west." + log + ".identity.OrganizationCreated"; m.Subject != want {
		t.Errorf("subject %s, want %s", m.Subject, want)
	}
	for name, want := range map[string]string{
		"Nats-Msg-Id": log + ":2", "ce-specversion": "1.0", "ce-id": log + ":2", "ce-source": "/meridian/eu-west",
		"ce-type": "meridian.identity.event.v1.OrganizationCreated", "ce-subject": log,
		"ce-time": "2026-01-02T03:04:05.001006Z", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		if got := m.Header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
}

func TestPublishWithoutServer(t *testing.T) {
	server := serve(t)
	b := open(t, func(c *bus.Config) { c.URL = server.URL() })
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := b.Publish(ctx, chain(t, newLog(), 1)[0])
	if !fault.Is(err, commonv1.Reason_BUS_UNAVAILABLE) {
		t.Fatalf("got %v, want BUS_UNAVAILABLE", err)
	}
}

func TestApplicationCannotDestroy(t *testing.T) {
	b := open(t)
	publish(t, b, chain(t, newLog(), 3)...)
	conn, err := nats.Connect(b.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, subject := range []string{
		"$JS.API.STREAM.DELETE.LOG_EU_WEST", "$JS.API.STREAM.PURGE.LOG_EU_WEST",
		"$JS.API.STREAM.MSG.DELETE.LOG_EU_WEST", "$JS.API.STREAM.UPDATE.LOG_EU_WEST",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if m, err := conn.RequestWithContext(ctx, subject, []byte(`{"seq":1}`)); err == nil {
			t.Errorf("%s was answered: %s", subject, m.Data)
		}
		cancel()
	}
	// The control: the same user may ask.
	if _, err := conn.RequestWithContext(bounded(t), "$JS.API.STREAM.INFO.LOG_EU_WEST", nil); err != nil {
		t.Fatal(err)
	}
	end, err := b.End(t.Context(), "LOG_EU_WEST")
	if err != nil || end.Sequence != 3 {
		t.Fatalf("end %+v, %v", end, err)
	}
}

func TestOpenRefusesWeakStream(t *testing.T) {
	strong := func(c *jetstream.StreamConfig) {}
	tests := map[string]struct {
		change func(*jetstream.StreamConfig)
		want   string
	}{
		"control":      {strong, ""},
		"max age":      {func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "max_age"},
		"deletes":      {func(c *jetstream.StreamConfig) { c.DenyDelete = false }, "deny_delete"},
		"purge":        {func(c *jetstream.StreamConfig) { c.DenyPurge = false }, "deny_purge"},
		"limit":        {func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }, "limit"},
		"memory":       {func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "storage"},
		"window":       {func(c *jetstream.StreamConfig) { c.Duplicates = time.Minute }, "duplicate_window"},
		"other events": {func(c *jetstream.StreamConfig) { c.Subjects = []string{"log.other.>"} }, "subjects"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := serve(t)
			conn, err := nats.Connect(server.URL())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			js, err := jetstream.New(conn)
			if err != nil {
				t.Fatal(err)
			}
			c := jetstream.StreamConfig{
				Name: "LOG_EU_WEST", Subjects: []string{"log.eu-west.>"}, Storage: jetstream.FileStorage,
				Duplicates: 10 * time.Minute, DenyDelete: true, DenyPurge: true, AllowDirect: true,
			}
			test.change(&c)
			if _, err := js.CreateStream(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			b, err := bus.Open(t.Context(), bus.Config{URL: server.URL(), Region: region}, quiet())
			if err == nil {
				b.Close()
			}
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "u:p@") {
				t.Fatal("the error shows the password")
			}
		})
	}
}

func TestConfigIsRefused(t *testing.T) {
	for name, c := range map[string]bus.Config{
		"no region":      {StoreDir: "x"},
		"upper case":     {StoreDir: "x", Region: "EU"},
		"subject":        {StoreDir: "x", Region: "eu.>"},
		"mirror name":    {StoreDir: "x", Region: "a-mirror-b"},
		"no store":       {Region: region},
		"replicas":       {Region: region, StoreDir: "x", Replicas: 6},
		"mirror of self": {Region: region, StoreDir: "x", Mirrors: []string{region}},
	} {
		if b, err := bus.Open(t.Context(), c, quiet()); err == nil {
			b.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

func TestHeartbeatIsRememberedForNewcomers(t *testing.T) {
	b := open(t)
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sent := bus.Heartbeat{HomeRegion: region, Clock: clock, Stream: "LOG_EU_WEST", Created: 7, Sequence: 9, Epoch: 2}
	if err := b.PublishHeartbeat(sent); err != nil {
		t.Fatal(err)
	}
	if err := b.Conn().FlushWithContext(bounded(t)); err != nil {
		t.Fatal(err)
	}
	heard := make(chan bus.Heartbeat, 4)
	for range 2 { // the first may come too early: core NATS does not wait for the stream
		stop, err := b.Heartbeats(t.Context(), func(h bus.Heartbeat) { heard <- h })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
	}
	select {
	case got := <-heard:
		if got != sent {
			t.Fatalf("got %+v, want %+v", got, sent)
		}
	case <-bounded(t).Done():
		t.Fatal("no heartbeat")
	}
}

func TestNudge(t *testing.T) {
	b := open(t)
	nudged := make(chan struct{}, 1)
	stop, err := b.Nudges(region, func() { nudged <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	b.Nudge("other")
	b.Nudge(region)
	select {
	case <-nudged:
	case <-bounded(t).Done():
		t.Fatal("no nudge")
	}
}

func TestMirrorHoldsAnotherRegion(t *testing.T) {
	server := serve(t)
	home := open(t, func(c *bus.Config) { c.URL = server.URL() })
	far := open(t, func(c *bus.Config) {
		c.URL, c.Region, c.Mirrors = server.URL(), "us", []string{region}
	})
	log := newLog()
	events := chain(t, log, 5)
	publish(t, home, events...)
	if got := far.Streams(); len(got) != 2 || got[0].Name != "LOG_US" || got[1].Name != "LOG_EU_WEST_MIRROR_US" || !got[1].Mirror {
		t.Fatalf("streams %+v", got)
	}
	r, err := far.Read(t.Context(), bus.ReadOptions{Stream: "LOG_EU_WEST_MIRROR_US"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	expect(t, r, log, 1, 5)
	messages, err := far.Tail(log, 2).Next(t.Context(), 10)
	if err != nil || len(messages) != 4 {
		t.Fatalf("tail has %d, %v", len(messages), err)
	}
}

// A region that starts before another makes its mirror when the other exists.
func TestMirrorWaitsForItsOrigin(t *testing.T) {
	server := serve(t)
	far := open(t, func(c *bus.Config) {
		c.URL, c.Region, c.Mirrors = server.URL(), "us", []string{region}
	})
	if _, err := far.End(t.Context(), "LOG_EU_WEST_MIRROR_US"); err == nil {
		t.Fatal("there is a mirror of a stream that does not exist")
	}
	home := open(t, func(c *bus.Config) { c.URL = server.URL() })
	log := newLog()
	publish(t, home, chain(t, log, 2)...)
	deadline := time.Now().Add(patience)
	for {
		if last, _, err := far.Last(t.Context(), log); err == nil && last == 2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the mirror has no events")
		}
		runtime.Gosched()
	}
}
