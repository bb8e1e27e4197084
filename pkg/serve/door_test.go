package serve_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/serve"
)

// dial opens a connection to a server and leaves it as it is, idle.
func dial(t *testing.T, s *server, sent string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, sent); err != nil {
		t.Fatal(err)
	}
	return conn
}

// ended says whether the server closed a connection, within 10 s.
func ended(conn net.Conn) bool {
	_, err := io.Copy(io.Discard, conn)
	return !isTimeout(err)
}

// Connections beyond the limits are closed at once, and those who come after
// the flood are served.
func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]serve.Config{
		"in all":      {MaxConnections: 4, HeaderTimeout: time.Minute},
		"per address": {MaxConnectionsPerAddress: 4, HeaderTimeout: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, setup{config: config})
			var idle []net.Conn
			for range 4 {
				idle = append(idle, dial(t, s, ""))
			}
			for range 3 {
				if !ended(dial(t, s, "")) {
					t.Fatal("a connection beyond the limit waits")
				}
			}
			for _, conn := range idle {
				_ = conn.Close()
			}
			if !waitFor(t, func() bool { return alive(t.Context(), s) }) {
				t.Error("no connection is taken after the flood")
			}
		})
	}
}

// The admin listener answers while the other is full.
func TestAdminAnswersWhenFull(t *testing.T) {
	t.Parallel()
	s := start(t, setup{config: serve.Config{Admin: "127.0.0.1:0", MaxConnections: 1, HeaderTimeout: time.Minute}})
	dial(t, s, "")
	if !waitFor(t, func() bool { return !alive(t.Context(), s) }) {
		t.Fatal("the listener is not full")
	}
	if status, _ := fetch(t, "http://"+s.AdminAddr().String()+"/livez"); status != http.StatusOK {
		t.Errorf("admin: %d", status)
	}
}

// A connection on which no request arrives is closed, whatever its protocol.
func TestConnectionsWithoutRequestsEnd(t *testing.T) {
	t.Parallel()
	s := start(t, setup{config: serve.Config{HeaderTimeout: 200 * time.Millisecond}})
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for name, sent := range map[string]string{
		"nothing":                 "",
		"h2c preface":             preface,
		"h2c preface, no request": preface + settings,
	} {
		if !ended(dial(t, s, sent)) {
			t.Errorf("%s: the connection stays", name)
		}
	}
	// Control: one that was used stays open.
	c := s.client(t, "acme-read")
	if err := get(t.Context(), c, acme); err != nil {
		t.Fatal(err)
	}
	if err := after(t.Context(), 400*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	used := dial(t, s, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := used.SetDeadline(time.Now().Add(600 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if ended(used) {
		t.Error("a connection that was used is closed")
	}
}

func alive(ctx context.Context, s *server) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/livez", http.NoBody)
	if err != nil {
		return false
	}
	own := &http.Transport{DisableKeepAlives: true}
	response, err := own.RoundTrip(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}
