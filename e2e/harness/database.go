package harness

import (
	"context"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
)

// Database is a database server of the test's own, at an address that stays
// when it is started again.
type Database struct {
	// URL is for clients; it holds a password.
	URL string

	dir    string
	proxy  *Proxy
	server *pglocal.Server
}

// StartDatabase starts a database and stops it when the test ends.
func StartDatabase(t testing.TB) *Database {
	t.Helper()
	d := &Database{dir: t.TempDir(), proxy: StartProxy(t)}
	d.Restart(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), Timeout)
		defer cancel()
		if err := d.server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Restart starts the server again, after Kill.
func (d *Database) Restart(t testing.TB) {
	t.Helper()
	server, err := pglocal.Start(t.Context(), pglocal.Options{Dir: d.dir})
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(server.URL().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	d.proxy.Point(at.Host)
	at.Host = d.proxy.Address
	d.server, d.URL = server, at.String()
}

// Kill ends the server without a warning.
func (d *Database) Kill(t testing.TB) {
	t.Helper()
	process, err := os.FindProcess(d.server.PID())
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.server.Exited():
	case <-time.After(Timeout):
		t.Fatal("the killed database goes on")
	}
}
