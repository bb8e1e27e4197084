package bus_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/meridian-iam/meridian/pkg/bus"
	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// serveDenying starts a server whose user may do all but what deny says, as the
// value of `permissions`.
func serveDenying(t *testing.T, deny string) (url string) {
	t.Helper()
	options := &server.Options{}
	config := fmt.Sprintf(`listen: "127.0.0.1:-1"
jetstream { store_dir: %q }
accounts { APP { jetstream: enabled, users: [ { user: u, password: canary, permissions: { %s } } ] } }`, t.TempDir(), deny)
	if err := options.ProcessConfigString(config); err != nil {
		t.Fatal(err)
	}
	options.NoSigs, options.NoLog = true, true
	running, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	running.Start()
	t.Cleanup(func() {
		running.Shutdown()
		running.WaitForShutdown()
	})
	if !running.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	return strings.Replace(running.ClientURL(), "nats://", "nats://u:canary@", 1)
}

func says(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, word := range append(words, "permission") {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("the error is %v, want one that names %q", err, word)
		}
	}
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Error("the error shows the password")
	}
}

// What NATS refuses is not answered. The start says so instead of waiting.
func TestOpenSaysThatPermissionsLack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ deny, want string }{
		"no JetStream":       {`publish: { deny: "$JS.API.>" }`, "publish to $JS.API.STREAM"},
		"no stream creation": {`publish: { deny: "$JS.API.STREAM.CREATE.>" }`, "publish to $JS.API.STREAM.CREATE"},
		"no answers":         {`subscribe: { deny: "_INBOX.>" }`, "subscribe to _INBOX"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			began := time.Now()
			b, err := bus.Open(ctx, bus.Config{URL: serveDenying(t, c.deny), Region: region}, quiet())
			if err == nil {
				b.Close()
			}
			says(t, err, c.want, "bus.url")
			if took := time.Since(began); took > bus.ConnectTimeout/2 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestPublishSaysThatPermissionsLack(t *testing.T) {
	t.Parallel()
	url := serveDenying(t, `publish: { deny: "log.>" }`)
	b := open(t, func(c *bus.Config) { c.URL = url })
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := b.Publish(t.Context(), chain(t, newLog(), 1)[0])
	if !fault.Is(err, commonv1.Reason_BUS_UNAVAILABLE) {
		t.Errorf("got %v, want BUS_UNAVAILABLE", err)
	}
	says(t, err, "publish to log.eu-west.>")
	says(t, b.Ready(t.Context()), "publish to log.eu-west.>")
}

// Replicas age without heartbeats, and nothing else would say why.
func TestReadySaysThatPermissionsLack(t *testing.T) {
	t.Parallel()
	url := serveDenying(t, `subscribe: { deny: "heartbeat.>" }`)
	b := open(t, func(c *bus.Config) { c.URL = url })
	stop, err := b.Heartbeats(t.Context(), func(bus.Heartbeat) {})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	deadline := time.Now().Add(patience)
	for err == nil && time.Now().Before(deadline) {
		runtime.Gosched()
		err = b.Ready(t.Context())
	}
	says(t, err, "subscribe to heartbeat.*")
}
