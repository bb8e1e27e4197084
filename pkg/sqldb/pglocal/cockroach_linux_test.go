package pglocal_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
)

// standInVariable makes the test binary take the part of a cockroach binary: it
// keeps the arguments, announces the URL in the variable as CockroachDB would,
// and waits for its end.
const standInVariable = "MERIDIAN_PGLOCAL_TEST_STAND_IN"

func standIn(announce string, args []string) error {
	for _, arg := range args {
		if file, ok := strings.CutPrefix(arg, "--listening-url-file="); ok {
			kept := filepath.Join(filepath.Dir(file), "args")
			if err := os.WriteFile(kept, []byte(strings.Join(args, "\n")), 0o600); err != nil {
				return err
			}
			if err := os.WriteFile(file, []byte(announce+"\n"), 0o600); err != nil {
				return err
			}
		}
	}
	select {}
}

// TestCockroachGoesFirst tests this side of the start of CockroachDB: which
// binary, which arguments, how its address is found, how it ends. Behind the
// address is PostgreSQL, so it says nothing about CockroachDB itself.
func TestCockroachGoesFirst(t *testing.T) {
	behind := start(t, pglocal.Options{Dir: t.TempDir(), Fast: true})
	admin, err := url.Parse(behind.URL().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	admin.Path = "/postgres"
	binary := filepath.Join(t.TempDir(), "cockroach")
	script := fmt.Sprintf("#!/bin/sh\n%s='%s' exec '%s' \"$@\"\n", standInVariable, admin, os.Args[0])
	if err := os.WriteFile(binary, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("COCKROACH_BINARY", binary)
	dir := t.TempDir()
	server := start(t, pglocal.Options{Dir: dir})
	if server.Kind() != "CockroachDB" {
		t.Fatalf("started %s", server.Kind())
	}
	if got := number(t, server.URL().Reveal(), "SELECT 1 WHERE current_database() = 'meridian'"); got != 1 {
		t.Fatalf("got %d", got)
	}
	args, err := os.ReadFile(filepath.Join(dir, "cockroach", "args"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"start-single-node", "--insecure", "--listen-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--store=" + filepath.Join(dir, "cockroach", "data")}
	for _, arg := range want {
		if !strings.Contains("\n"+string(args)+"\n", "\n"+arg+"\n") {
			t.Errorf("the arguments lack %s", arg)
		}
	}
	stop(t, server)
	if running(server.PID()) {
		t.Fatal("it still runs after Stop")
	}
}

func TestMissingCockroachBinary(t *testing.T) {
	t.Setenv("COCKROACH_BINARY", filepath.Join(t.TempDir(), "absent"))
	_, err := pglocal.Start(t.Context(), pglocal.Options{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "COCKROACH_BINARY") {
		t.Fatalf("got %v, want an error that names the variable", err)
	}
}
