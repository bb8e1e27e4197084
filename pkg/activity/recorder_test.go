package activity_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/activity"
	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/id"
	auditv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/audit/v1"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// fixture is a recorder that runs, on a NATS server that can be stopped and started.
type fixture struct {
	*activity.Recorder

	options  bus.ServerOptions
	server   *bus.Server
	bus      *bus.Bus
	registry *prometheus.Registry
	seconds  atomic.Int64 // of the recorder's clock, after noon
	stop     func()
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{registry: prometheus.NewRegistry(), options: bus.ServerOptions{
		StoreDir: t.TempDir(), Name: "test", Embedded: bus.Embedded{User: "u", Password: "p"},
	}}
	f.start(t)
	at, err := url.Parse(f.server.URL())
	if err != nil {
		t.Fatal(err)
	}
	if f.options.Embedded.Port, err = strconv.Atoi(at.Port()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.server.Stop() })
	quiet := slog.New(slog.DiscardHandler)
	if f.bus, err = bus.Open(t.Context(), bus.Config{URL: f.server.URL(), Region: "eu-west"}, quiet); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.bus.Close)
	f.Recorder = activity.New(activity.Options{
		Bus: f.bus, Region: "eu-west", Service: "sessions", Metrics: f.registry,
		Clock: func() time.Time { return noon.Add(time.Duration(f.seconds.Load()) * time.Second) },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.Run(ctx) // it ends when it is told to
	}()
	f.stop = func() { cancel(); <-ended }
	t.Cleanup(f.stop)
	return f
}

func (f *fixture) start(t *testing.T) {
	t.Helper()
	server, err := bus.Serve(f.options, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.server = server
}

// written is what the stream has, oldest first.
func (f *fixture) written(t *testing.T) (out []*auditv1.Activity) {
	t.Helper()
	var messages []bus.Message
	rest, err := f.bus.ActivitySpan(t.Context(), time.Time{})
	for rest.End > rest.First && err == nil {
		var page []bus.Message
		page, rest, err = f.bus.ActivityBefore(t.Context(), rest)
		messages = append(page, messages...)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		a := &auditv1.Activity{}
		if err := proto.Unmarshal(m.Bytes, a); err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

// until waits until the stream has n records.
func (f *fixture) until(t *testing.T, n int) []*auditv1.Activity {
	t.Helper()
	again, deadline := time.NewTicker(10*time.Millisecond), time.After(patience)
	defer again.Stop()
	for {
		span, err := f.bus.ActivitySpan(t.Context(), time.Time{})
		if err == nil && span.End > uint64(n) { // sequences begin with 1
			return f.written(t)
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("written are %+v, %v; want %d records", span, err, n)
		}
	}
}

// lost is the metric.
func (f *fixture) lost(t *testing.T) float64 {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "meridian_activity_lost_total" {
		t.Fatalf("%v, %v", families, err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Record(refused("a", "x", "t1"))
	first := f.until(t, 1)[0]
	if !id.Valid(id.Activity, first.GetId()) || !first.GetTime().AsTime().Equal(noon) || !first.GetLastTime().AsTime().Equal(noon) {
		t.Errorf("written %v", first)
	}
	first.Id, first.Time, first.LastTime = "", nil, nil
	want := &auditv1.Activity{
		Region: "eu-west", Service: "sessions", Kind: auditv1.ActivityKind_ACTIVITY_KIND_REQUEST_REFUSED, Organization: "org_a", Client: "a",
		Issuer: "https://id.example.com", Endpoint: "POST /oauth2/token", Error: "x", Description: "because of x", Trace: "t1", Count: 1,
	}
	if !proto.Equal(first, want) {
		t.Errorf("written %v, want %v", first, want)
	}
	f.Record(refused("a", "x", "t2"))
	f.Record(refused("b", "x", "t3"))
	if got := f.until(t, 2)[1]; got.GetClient() != "b" {
		t.Errorf("written %v, and nothing of what is counted", got)
	}
	f.seconds.Store(60)
	if got := f.until(t, 3)[2]; got.GetClient() != "a" || got.GetCount() != 1 || got.GetTrace() != "t2" {
		t.Errorf("when the minute is over: %v", got)
	}
	// What is counted when the process ends is written.
	for range 100 {
		f.Record(refused("c", "x", ""))
	}
	f.stop()
	if got := f.written(t); len(got) != 5 || got[4].GetCount() != 99 {
		t.Errorf("written in all: %v", got)
	}
	if lost := f.lost(t); lost != 0 {
		t.Errorf("%v are lost", lost)
	}
}

// While the bus is away nobody waits; what is recorded comes when it is back.
func TestRecorderWithoutBus(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Record(refused("before", "x", ""))
	f.until(t, 1)
	f.server.Stop()
	for i := range 5 {
		f.Record(refused(fmt.Sprint(i), "x", ""))
	}
	f.start(t)
	for i, a := range f.until(t, 6)[1:] {
		if a.GetClient() != fmt.Sprint(i) {
			t.Errorf("record %d is of %s", i, a.GetClient())
		}
	}
	if lost := f.lost(t); lost != 0 {
		t.Errorf("%v are lost", lost)
	}
}

// A bus that is away for too long costs the oldest, and they are counted.
func TestRecorderLoses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Stop()
	const seen = activity.MaxWaiting + 200
	for i := range seen {
		f.seconds.Store(int64(60 * i)) // each in a minute of its own
		f.Record(refused(fmt.Sprint(i), "x", ""))
	}
	f.start(t)
	written := f.until(t, activity.MaxWaiting)
	if lost := f.lost(t); lost != seen-activity.MaxWaiting {
		t.Errorf("%v are lost", lost)
	}
	if newest := written[len(written)-1].GetClient(); newest != fmt.Sprint(seen-1) {
		t.Errorf("the newest that is written is %s", newest)
	}
	ids := map[string]bool{}
	for _, a := range written {
		ids[a.GetId()] = true
	}
	if len(ids) != len(written) {
		t.Errorf("%d records have %d ids", len(written), len(ids))
	}
}

// A bus that stays away does not hold up the end, and what is left is counted as lost.
func TestRecorderEndsWithoutBus(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Stop()
	for range 10 {
		f.Record(refused("a", "x", ""))
	}
	f.stop()
	if lost := f.lost(t); lost != 10 {
		t.Errorf("%v are lost, want 10", lost)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config activity.Config
		ok     bool
	}{
		"nothing":    {activity.Config{}, true},
		"the least":  {activity.Config{MaxAge: time.Hour, MaxBytes: 1 << 20}, true},
		"too short":  {activity.Config{MaxAge: time.Minute}, false},
		"too little": {activity.Config{MaxBytes: 1000}, false},
		"negative":   {activity.Config{MaxBytes: -1}, false},
	} {
		if err := tc.config.Check(); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
