package bus_test

import (
	"context"
	"log/slog"
	"net/url"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

const region = "eu-west"

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// open returns a bus with a server of its own.
func open(t testing.TB, change ...func(*bus.Config)) *bus.Bus {
	t.Helper()
	c := bus.Config{Region: region, StoreDir: t.TempDir()}
	for _, f := range change {
		f(&c)
	}
	b, err := bus.Open(t.Context(), c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// chain makes the first n events of a log.
func chain(t testing.TB, log string, n int) []eventlog.Recorded {
	t.Helper()
	data, err := proto.Marshal(&identityeventv1.OrganizationCreated{Organization: log, Name: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	events := make([]eventlog.Recorded, n)
	var previous [32]byte
	start := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for i := range events {
		events[i], err = eventlog.Encode(&logv1.Envelope{
			Log: log, Sequence: uint64(i) + 1, Type: "meridian.identity.event.v1.OrganizationCreated", Data: data,
			Actor: &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_OPERATOR, Id: "root"},
			Time:  timestamppb.New(start.Add(time.Duration(i) * time.Millisecond)), PreviousHash: previous[:], Region: region,
			Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		})
		if err != nil {
			t.Fatal(err)
		}
		previous = events[i].Hash
	}
	return events
}

func newLog() string { return id.New(id.Organization) }

func publish(t testing.TB, b *bus.Bus, events ...eventlog.Recorded) uint64 {
	t.Helper()
	var last uint64
	for _, e := range events {
		n, err := b.Publish(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		last = n
	}
	return last
}

func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// external is a server that can be stopped and started again at the same place.
type external struct {
	*bus.Server
	options bus.ServerOptions
}

func serve(t testing.TB) *external {
	t.Helper()
	e := &external{options: bus.ServerOptions{
		StoreDir: t.TempDir(), Name: "test",
		Embedded: bus.Embedded{User: "u", Password: "p"},
	}}
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
