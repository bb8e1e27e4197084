package regions_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// A NATS account that may not do what Meridian needs is named for what it is:
// NATS itself answers what it refuses with silence.
func TestNATSAccountWithoutRights(t *testing.T) {
	t.Parallel()
	d := harness.StartDeployment(t)
	address := serveNATS(t, map[string]string{
		"mute": `publish: { deny: "log.>" }`,
		"weak": `publish: { deny: "$JS.API.>" }`,
	})
	as := func(user string) { d.NATS = &harness.NATS{URL: "nats://" + user + ":canary@" + address} }

	as("weak")
	n := d.Node(t, "weak", "")
	n.Launch(t)
	if code := n.ExitCode(t); code != 2 {
		t.Errorf("without JetStream's API: exit code %d, want 2", code)
	}
	mentions(t, n.Output(), "permissions", "publish to $JS.API.", "bus.url")

	as("nobody")
	n = d.Node(t, "nobody", "")
	n.Launch(t)
	if code := n.ExitCode(t); code != 2 {
		t.Errorf("without a user: exit code %d, want 2", code)
	}
	mentions(t, n.Output(), "BUS_UNAVAILABLE", "Authorization Violation")

	// It starts, serves and takes writes: they are committed. It is not ready, and
	// says why.
	as("mute")
	n = d.Node(t, "mute", "")
	n.Start(t)
	created := harness.Command{
		Args: []string{"--url", n.URL(), "org", "create", "acme", "--name", "Acme"}, Env: []string{"MERIDIAN_TOKEN=" + d.Token},
	}.Run(t)
	if created.Code != 0 {
		t.Errorf("a write: %+v", created)
	}
	harness.Eventually(t, "the node says that it lacks permissions", func() error {
		if status, body := readyz(t, n); status == http.StatusOK || !strings.Contains(body, "publish to log.eu-west.>") {
			return fmt.Errorf("%d %s: %w", status, body, errNotYet)
		}
		return nil
	})
	_, body := readyz(t, n)
	mentions(t, body, "BUS_UNAVAILABLE", "permissions", "bus.url")
	mentions(t, n.Output(), "lacks a permission", "publish to log.eu-west.>")
}

func mentions(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not name %q", text, word)
		}
	}
	if strings.Contains(text, "canary") {
		t.Errorf("%q shows the password", text)
	}
}

func readyz(t *testing.T, n *harness.Node) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(calls(t), http.MethodGet, n.URL()+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var decoded any
	if err := json.Unmarshal(content, &decoded); err != nil {
		t.Fatalf("%q: %v", content, err)
	}
	return res.StatusCode, fmt.Sprint(decoded)
}

// serveNATS runs a NATS server with users that may not do everything.
func serveNATS(t *testing.T, permissions map[string]string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	var users strings.Builder
	for user, permission := range permissions {
		fmt.Fprintf(&users, "{ user: %s, password: canary, permissions: { %s } }\n", user, permission)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "nats.conf")
	content := fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\naccounts { APP { jetstream: enabled, users: [ %s ] } }\n",
		address, filepath.Join(dir, "store"), users.String())
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	server := harness.Start(t, "nats", "--config", config)
	harness.Eventually(t, "NATS serves", func() error {
		if !strings.Contains(server.Output(), "serves on") {
			return fmt.Errorf("%w: %s", errNotYet, server.Output())
		}
		return nil
	})
	return address
}
