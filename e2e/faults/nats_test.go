package faults_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// afterWrite writes and reads its own write, as often as told.
func afterWrite(t *testing.T, o organization, name string, times int) {
	t.Helper()
	for i := range times {
		user := "user:" + name + string(rune('a'+i))
		revision, err := o.write(t.Context(), user)
		if err != nil {
			t.Fatalf("write: %s", describe(err))
		}
		if allowed, err := o.check(t.Context(), user, revision, 0); err != nil || !allowed {
			t.Fatalf("%s at its revision: %v, %s", user, allowed, describe(err))
		}
	}
}

// drained waits until the relay has published everything.
func drained(t *testing.T, url string) {
	t.Helper()
	harness.Eventually(t, "the backlog is drained", func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		content, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(content)) {
			if strings.HasPrefix(line, outboxMetric) && strings.HasSuffix(line, " 0\n") {
				return nil
			}
		}
		return errTooFew
	})
}

const outboxMetric = "meridian_relay_outbox_entries"

// inStream counts an organization's relationships in the region's stream.
func inStream(t *testing.T, url, organization string) int {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	subject := "log.*." + organization + ".authz.RelationshipsWritten"
	info, err := js.StreamInfo("LOG_EU_WEST", &nats.StreamInfoRequest{SubjectsFilter: subject})
	if err != nil {
		t.Fatal(err)
	}
	messages := uint64(0)
	for _, count := range info.State.Subjects {
		messages += count
	}
	return int(messages)
}

func TestNATSKilled(t *testing.T) {
	t.Parallel()
	d, n, o := node(t)
	w := startWriters(t, o, "nats")
	for _, lose := range []bool{false, true} {
		w.acknowledged(t, 50)
		d.NATS.Kill(t)
		w.acknowledged(t, 50)
		name := "killed-"
		if lose {
			d.NATS.Lose(t)
			name = "lost-"
		}
		afterWrite(t, o, name, 10)
		d.NATS.Restart(t)
	}
	w.acknowledged(t, 50)
	w.end()
	for user, err := range w.errors {
		t.Errorf("%s: %s; writes need no NATS", user, describe(err))
	}
	n.Ready(t)
	drained(t, n.URL())
	// A new process goes on where this one is, which may be in the middle of
	// publishing the lost stream again.
	n.Stop(t)
	n.Start(t)
	afterWrite(t, o, "back-", 10)
	drained(t, n.URL())
	counts := o.created(t)
	harness.Eventually(t, "the stream that was lost is whole again", func() error {
		if streamed := inStream(t, d.NATS.URL, o.id); streamed < len(counts) {
			return fmt.Errorf("%d events in the stream, %d writes in the log: %w", streamed, len(counts), errTooFew)
		}
		return nil
	})
	verify(t, n.URL(), d.Token)
	for user, revision := range w.revisions {
		if counts[user] != 1 {
			t.Errorf("%s is in the log %d times", user, counts[user])
		}
		if allowed, err := o.check(t.Context(), user, revision, 0); err != nil || !allowed {
			t.Fatalf("%s after a restart: %v, %s", user, allowed, describe(err))
		}
	}
}
