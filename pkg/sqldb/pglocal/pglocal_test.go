package pglocal_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
)

func start(t testing.TB, o pglocal.Options) *pglocal.Server {
	t.Helper()
	server, err := pglocal.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, server) })
	return server
}

func stop(t testing.TB, server *pglocal.Server) {
	t.Helper()
	if err := server.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func execute(t testing.TB, address, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func number(t testing.TB, address, sql string) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStopAndStartKeepData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, pglocal.Options{Dir: dir})
	execute(t, first.URL().Reveal(), "CREATE TABLE kept (n INT); INSERT INTO kept VALUES (42)")
	stop(t, first)
	select {
	case <-first.Exited():
	default:
		t.Fatal("Stop returned before the server had ended")
	}
	stop(t, first) // a second time does no harm
	second := start(t, pglocal.Options{Dir: dir})
	if got := number(t, second.URL().Reveal(), "SELECT n FROM kept"); got != 42 {
		t.Fatalf("after the restart the table holds %d, want 42", got)
	}
}

func TestKilledServerStartsAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, pglocal.Options{Dir: dir})
	execute(t, first.URL().Reveal(), "CREATE TABLE kept (n INT); INSERT INTO kept VALUES (42)")
	process, err := os.FindProcess(first.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-first.Exited()
	second := start(t, pglocal.Options{Dir: dir})
	if got := number(t, second.URL().Reveal(), "SELECT n FROM kept"); got != 42 {
		t.Fatalf("after the crash the table holds %d, want 42", got)
	}
}

func TestSettingsWin(t *testing.T) {
	t.Parallel()
	server := start(t, pglocal.Options{Dir: t.TempDir(), Fast: true, Settings: []string{"max_connections=37"}})
	if got := number(t, server.URL().Reveal(), "SELECT setting::INT FROM pg_settings WHERE name = 'max_connections'"); got != 37 {
		t.Fatalf("max_connections is %d, want 37", got)
	}
}

func TestOneProcessForEachDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, pglocal.Options{Dir: dir, Fast: true})
	second, err := pglocal.Start(t.Context(), pglocal.Options{Dir: dir, Fast: true})
	if !errors.Is(err, pglocal.ErrInUse) {
		t.Fatalf("got %v and error %v, want ErrInUse", second, err)
	}
}

func TestManyServersAtOnce(t *testing.T) {
	t.Parallel()
	var group sync.WaitGroup
	for n := range 3 {
		group.Go(func() {
			server, err := pglocal.Start(t.Context(), pglocal.Options{Dir: filepath.Join(t.TempDir(), fmt.Sprint(n)), Fast: true})
			if err != nil {
				t.Error(err)
				return
			}
			if err := server.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestInterruptedInitializationIsDoneAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	half := filepath.Join(dir, "postgresql", "new")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := start(t, pglocal.Options{Dir: dir, Fast: true})
	if got := number(t, server.URL().Reveal(), "SELECT 1"); got != 1 {
		t.Fatalf("got %d", got)
	}
}

func TestServerIsClosedToOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log strings.Builder
	server := start(t, pglocal.Options{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))})
	address := server.URL().Reveal()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	if u.Hostname() != "127.0.0.1" || len(password) < 20 {
		t.Fatalf("host %q, password of %d characters", u.Hostname(), len(password))
	}
	if strings.Contains(log.String(), password) {
		t.Fatal("the log holds the password")
	}
	u.User = url.UserPassword("meridian", "guess")
	if conn, err := pgx.Connect(t.Context(), u.String()); err == nil {
		_ = conn.Close(t.Context())
		t.Fatal("a wrong password was accepted")
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && path != dir && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", d.Name(), info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "listen_addresses": "127.0.0.1",
		"unix_socket_directories": "", "server_encoding": "UTF8", "lc_collate": "C", "password_encryption": "scram-sha-256",
	} {
		if got := show(t, address, setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
}

func show(t *testing.T, address, setting string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var value string
	if err := conn.QueryRow(t.Context(), "SHOW "+setting).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ dir, want string }{
		"no directory":        {"", "no directory given"},
		"a file":              {file, "not a directory"},
		"data of CockroachDB": {withData(t, "cockroach"), "holds data of CockroachDB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pglocal.Start(t.Context(), pglocal.Options{Dir: c.dir})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func withData(t *testing.T, folder string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, folder, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestEndOfContextEndsTheStart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := pglocal.Start(ctx, pglocal.Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the end of the context", err)
	}
	start(t, pglocal.Options{Dir: dir, Fast: true}) // the directory is free and sound
}

func BenchmarkFirstStart(b *testing.B) {
	for b.Loop() {
		stop(b, start(b, pglocal.Options{Dir: b.TempDir()}))
	}
}

func BenchmarkRestart(b *testing.B) {
	dir := b.TempDir()
	stop(b, start(b, pglocal.Options{Dir: dir}))
	for b.Loop() {
		stop(b, start(b, pglocal.Options{Dir: dir}))
	}
}
