package harness

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// NATS is a NATS server in a process of its own. It keeps its address when it
// is started again.
type NATS struct {
	*Process

	// URL is for clients.
	URL string
	// Store is the folder of its streams.
	Store string
}

// StartNATS starts a NATS server.
func StartNATS(t testing.TB) *NATS {
	t.Helper()
	n := &NATS{Store: filepath.Join(t.TempDir(), "nats")}
	n.start(t, "-1")
	return n
}

// Restart starts the server again, after Kill.
func (n *NATS) Restart(t testing.TB) {
	t.Helper()
	at, err := url.Parse(n.URL)
	if err != nil {
		t.Fatal(err)
	}
	n.start(t, at.Port())
}

// Lose deletes all that a killed server kept.
func (n *NATS) Lose(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(n.Store); err != nil {
		t.Fatal(err)
	}
}

func (n *NATS) start(t testing.TB, port string) {
	t.Helper()
	binary, err := buildNATS()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-store", n.Store, "-port", port) //nolint:noctx // StartProcess ends it with the test
	// The pipe ends with this process: so does the server.
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	n.Process = StartProcess(t, cmd)
	Eventually(t, "NATS is ready", func() error {
		select {
		case <-n.Exited():
			t.Fatalf("NATS ended: %s", n.Output())
		default:
		}
		line, _, whole := strings.Cut(n.Output(), "\n")
		if !whole {
			return errNotReady
		}
		n.URL = line
		return nil
	})
}
