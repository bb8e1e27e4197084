package pglocal_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal/cockroachtest"
)

// install makes a cockroach with a PostgreSQL of its own behind it.
func install(t *testing.T) *cockroachtest.Binary {
	t.Helper()
	return cockroachtest.Install(t, start(t, pglocal.Options{Dir: t.TempDir(), Fast: true}).URL().Reveal())
}

func TestCockroachGoesFirst(t *testing.T) {
	binary := install(t)
	dir := t.TempDir()
	server := start(t, pglocal.Options{Dir: dir})
	if server.Kind() != "CockroachDB" {
		t.Fatalf("started %s", server.Kind())
	}
	if got := number(t, server.URL().Reveal(), "SELECT 1 WHERE current_database() = 'meridian'"); got != 1 {
		t.Fatalf("got %d", got)
	}
	calls := binary.Calls(t, "start-single-node")
	if len(calls) != 1 {
		t.Fatalf("a single node was started %d times", len(calls))
	}
	for _, arg := range []string{
		"--insecure", "--listen-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--store=" + filepath.Join(dir, "cockroach", "data"),
	} {
		if !slices.Contains(calls[0], arg) {
			t.Errorf("the arguments lack %s", arg)
		}
	}
	stop(t, server)
	if running(server.PID()) {
		t.Fatal("it still runs after Stop")
	}
}

// A node goes on after the signal that ends PostgreSQL.
func TestKilledParentLeavesNoCockroach(t *testing.T) {
	install(t)
	other := startSeparate(t, os.Args[0], t.TempDir(), nil)
	if err := other.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.cmd.Wait() // killed
	waitFor(t, "the node to end", func() bool { return !running(other.pid) })
}

func TestMissingCockroachBinary(t *testing.T) {
	t.Setenv("COCKROACH_BINARY", filepath.Join(t.TempDir(), "absent"))
	_, err := pglocal.Start(t.Context(), pglocal.Options{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "COCKROACH_BINARY") {
		t.Fatalf("got %v, want an error that names the variable", err)
	}
}
