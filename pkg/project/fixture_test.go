package project_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/project"
	"github.com/meridian-iam/meridian/pkg/relay"
	"github.com/meridian-iam/meridian/pkg/secret"
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
	url   secret.String
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{url: sqltest.URL(t)}
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: f.url, MaxConns: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	f.db = db
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

// relay starts a relay and returns how to stop it; it also stops with the test.
func (f *fixture) relay(t testing.TB, change ...func(*relay.Config)) (stop func()) {
	t.Helper()
	c := relay.Config{
		DB: f.db, Store: f.store, Bus: f.bus, Region: region, Holder: rand.Text(),
		Sweep: 20 * time.Millisecond, Lease: time.Second, Log: quiet(),
	}
	for _, one := range change {
		one(&c)
	}
	r := relay.New(c)
	return background(t, r.Run)
}

// follow starts a follower that runs until the test ends.
func (f *fixture) follow(t testing.TB, change ...func(*project.Config)) *project.Follower {
	t.Helper()
	c := f.config()
	for _, one := range change {
		one(&c)
	}
	follower := project.NewFollower(c)
	background(t, follower.Run)
	return follower
}

func (f *fixture) config() project.Config {
	return project.Config{Bus: f.bus, DB: f.db, Store: f.store, Log: quiet()}
}

// background runs something until stop is called or the test ends.
func background(t testing.TB, run func(ctx context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			t.Errorf("run: %v", err)
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

// until waits for a condition.
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
func (f *fixture) sound(t testing.TB, log string, events uint64) {
	t.Helper()
	v := &eventlog.Verifier{Store: f.store, Copy: f.bus.Copy()}
	result, err := v.Verify(t.Context(), log, nil)
	if err != nil || result.Difference != nil || result.Pending != 0 || result.Head != events {
		t.Fatalf("verify %s: %+v, %v; want head %d", log, result, err, events)
	}
}

// events reads a log from the database.
func (f *fixture) events(t testing.TB, log string) []eventlog.Recorded {
	t.Helper()
	events, err := f.store.Read(t.Context(), f.db.Pool(), log, 1, eventlog.MaxRead)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// replica checks what apply gets: each event once, in order.
type replica struct {
	t    testing.TB
	mu   sync.Mutex
	last uint64
}

func newReplica(t testing.TB, from uint64) *replica { return &replica{t: t, last: from} }

func (r *replica) apply(_ context.Context, batch []eventlog.Recorded) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(batch) == 0 || len(batch) > 1000 {
		r.t.Errorf("a batch of %d", len(batch))
	}
	for _, e := range batch {
		if e.Envelope.GetSequence() != r.last+1 {
			r.t.Errorf("%s: %d applied after %d", e.Envelope.GetLog(), e.Envelope.GetSequence(), r.last)
		}
		r.last = e.Envelope.GetSequence()
	}
	return nil
}

func (r *replica) reached() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// wait waits until the attachment and its replica have a sequence.
func (r *replica) wait(a *project.Attachment, sequence uint64) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.Wait(ctx, sequence); err != nil {
		r.t.Fatalf("wait for %d of %s at %d: %v", sequence, a.Log(), a.Sequence(), err)
	}
	if got := r.reached(); got < sequence || a.Sequence() < sequence {
		r.t.Fatalf("Wait returned at %d, %d; want %d", got, a.Sequence(), sequence)
	}
}

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
