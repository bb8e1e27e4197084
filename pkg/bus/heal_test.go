package bus

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

func firstEvent(t *testing.T) eventlog.Recorded {
	t.Helper()
	log := id.New(id.Organization)
	data, err := proto.Marshal(&identityeventv1.OrganizationCreated{Organization: log})
	if err != nil {
		t.Fatal(err)
	}
	r, err := eventlog.Encode(&logv1.Envelope{
		Log: log, Sequence: 1, Type: "meridian.identity.event.v1.OrganizationCreated", Data: data,
		Actor: &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_OPERATOR, Id: "root"},
		Time:  timestamppb.New(time.Unix(1_700_000_000, 0)), PreviousHash: make([]byte, 32), Region: "eu",
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func current(b *Bus) *server.Server {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	return b.server.running
}

// The server gives up JetStream, as it does after a write that failed. The bus
// says so and starts it again; publishing and reading go on.
func TestServerThatTakesNoWritesStartsAgain(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b, err := Open(ctx, Config{Region: "eu", StoreDir: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	before, after := firstEvent(t), firstEvent(t)
	if _, err := b.Publish(ctx, before); err != nil || b.Ready(ctx) != nil {
		t.Fatal(err, b.Ready(ctx))
	}
	reader, err := b.Read(ctx, ReadOptions{Stream: "LOG_EU"})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	address, first := b.ClientURL(), current(b)
	if err := first.ShutdownJetStream(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(ctx, after); err == nil || b.Ready(ctx) == nil {
		t.Fatalf("publish: %v, ready: %v", err, b.Ready(ctx))
	}
	repeat := time.NewTicker(50 * time.Millisecond)
	defer repeat.Stop()
	for failed := true; failed; {
		select {
		case <-repeat.C:
			_, err = b.Publish(ctx, after)
			failed = err != nil
		case <-ctx.Done():
			t.Fatalf("publishing fails for ever: %v", err)
		}
	}
	if err := b.Ready(ctx); err != nil || b.ClientURL() != address || current(b) == first {
		t.Errorf("ready: %v; another address: %v", err, b.ClientURL() != address)
	}
	for _, want := range []eventlog.Recorded{before, after} {
		m, err := reader.Next(ctx)
		for err == ErrResumed { //nolint:errorlint // it is returned as it is
			m, err = reader.Next(ctx)
		}
		if err != nil || m.Log != want.Envelope.GetLog() {
			t.Fatalf("read %s, %v; want %s", m.Log, err, want.Envelope.GetLog())
		}
	}
}

func TestWritesForget(t *testing.T) {
	t.Parallel()
	var w writes
	start := time.Unix(1000, 0)
	broken := context.DeadlineExceeded
	if !w.note(broken, start) || w.note(broken, start.Add(time.Second)) {
		t.Error("only the first failure is news")
	}
	if since, err := w.failing(start.Add(2 * time.Second)); err == nil || !since.Equal(start) {
		t.Errorf("failing since %v: %v", since, err)
	}
	if _, err := w.failing(start.Add(time.Second + forgetAfter)); err != nil {
		t.Errorf("long ago: %v", err)
	}
	w.note(broken, start.Add(time.Hour))
	if since, _ := w.failing(start.Add(time.Hour)); !since.Equal(start.Add(time.Hour)) {
		t.Errorf("a new failure counts since %v", since)
	}
	if !w.note(nil, start.Add(time.Hour)) || !w.work() {
		t.Error("it works again")
	}
}
