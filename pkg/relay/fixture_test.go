package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/relay"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

const region = "eu"

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// fixture is a database, a store and a bus.
type fixture struct {
	db    *sqldb.DB
	store *eventlog.Store
	bus   *bus.Bus
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{db: sqltest.New(t)}
	f.store = eventlog.New(eventlog.Config{DB: f.db, Region: region})
	f.bus = openBus(t, bus.Config{Region: region, StoreDir: t.TempDir()})
	return f
}

func openBus(t testing.TB, c bus.Config) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func (f *fixture) config(holder string) relay.Config {
	return relay.Config{
		DB: f.db, Store: f.store, Bus: f.bus, Region: region, Holder: holder,
		Sweep: 20 * time.Millisecond, Lease: time.Second,
	}
}

// run starts a relay and returns how to stop it; it also stops with the test.
func run(t testing.TB, r *relay.Relay) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			t.Errorf("relay: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func newLog() string { return id.New(id.Organization) }

// commit appends n events to a log, in one append.
func (f *fixture) commit(t testing.TB, log string, n int) {
	t.Helper()
	if err := commit(t.Context(), f.db, f.store, log, n); err != nil {
		t.Fatal(err)
	}
}

func commit(ctx context.Context, db *sqldb.DB, store *eventlog.Store, log string, n int) error {
	return db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		expected := uint64(0)
		if head, err := store.Head(ctx, tx, log); err == nil {
			expected = head.Sequence
		}
		events := make([]proto.Message, n)
		for i := range events {
			events[i] = &identityeventv1.OrganizationCreated{Organization: log, Name: fmt.Sprint("event ", i), HomeRegion: region}
		}
		_, err := store.Append(ctx, tx, eventlog.Append{
			Log: log, Expected: expected, HomeRegion: region,
			Actor:  &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_OPERATOR, Id: "root"},
			Events: events,
		})
		return err
	})
}

// move moves a log to another home region.
func (f *fixture) move(t testing.TB, log, to string) {
	t.Helper()
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.store.Append(ctx, tx, eventlog.Append{
			Log: log, Expected: eventlog.AnyHead, MoveTo: to,
			Actor:  &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_OPERATOR, Id: "root"},
			Events: []proto.Message{&identityeventv1.OrganizationHomeMoved{Organization: log, To: to}},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition. It looks again whenever the bus carries a
// heartbeat or a moment has passed.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (f *fixture) backlog(t testing.TB) int64 {
	t.Helper()
	n, _, err := f.store.Backlog(context.Background(), region)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (f *fixture) drained(t testing.TB) {
	t.Helper()
	until(t, "the outbox is empty", func() bool { return f.backlog(t) == 0 })
}

// sound fails the test when a log, its chain and the stream disagree.
func (f *fixture) sound(t testing.TB, b *bus.Bus, log string, events uint64) {
	t.Helper()
	v := &eventlog.Verifier{Store: f.store, Copy: b.Copy()}
	result, err := v.Verify(t.Context(), log, nil)
	if err != nil || result.Difference != nil || result.Pending != 0 || result.Head != events {
		t.Fatalf("verify %s: %+v, %v; want head %d", log, result, err, events)
	}
}

// inOrder fails the test when the stream does not hold events 1..n of each log
// with each one's first place after its predecessor's.
func inOrder(t testing.TB, b *bus.Bus, stream string, logs map[string]uint64) {
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
	seen := map[string]uint64{}
	for at := uint64(0); at < end.Sequence; {
		m, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		at = m.Sequence
		if m.LogSequence > seen[m.Log]+1 {
			t.Fatalf("%s: %d came after %d", m.Log, m.LogSequence, seen[m.Log])
		}
		seen[m.Log] = max(seen[m.Log], m.LogSequence)
	}
	for log, n := range logs {
		if seen[log] != n {
			t.Fatalf("%s: stream has up to %d, want %d", log, seen[log], n)
		}
	}
}
