package pglocal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	embedded "github.com/fergusstrange/embedded-postgres"
)

const downloaded = embedded.V17

// download returns the programs of a PostgreSQL from Maven Central, fetched at
// the first call and kept in the user's cache directory (root: /var/cache,
// since the programs run as another user).
//
// The library has no call that only fetches. It is asked for a database in an
// encoding that does not exist: it fetches, checks the archive's SHA-256,
// unpacks, and then its initdb refuses, for root and for everybody else. What
// counts is that the programs are there afterwards.
func download(ctx context.Context, log *slog.Logger) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	root := filepath.Join(cache, "postgresql-"+string(downloaded))
	bin := filepath.Join(root, "bin")
	if executable(bin, "initdb") && executable(bin, "postgres") {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // programs, to be run by another user
		return "", err
	}
	scratch, err := os.MkdirTemp(cache, "unpack-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // best effort: a cache
	log.InfoContext(ctx, "downloading PostgreSQL", slog.String("version", string(downloaded)), slog.String("to", root))
	if err := unpack(ctx, scratch, cache); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(scratch, "programs"), root); err != nil && !executable(bin, "postgres") {
		return "", err
	}
	return bin, nil
}

// unpack fetches the archive and leaves its content in scratch/programs.
func unpack(ctx context.Context, scratch, cache string) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	programs := filepath.Join(scratch, "programs")
	fetch := embedded.NewDatabase(embedded.DefaultConfig().
		Version(downloaded).Port(uint32(port)).CachePath(cache).BinariesPath(programs).
		RuntimePath(filepath.Join(scratch, "runtime")).DataPath(filepath.Join(scratch, "data")).
		Encoding("none").Logger(discard{}))
	ended := make(chan error, 1)
	go func() { ended <- fetch.Start() }() // it takes no context
	select {
	case err = <-ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err == nil {
		err = fetch.Stop()
	}
	bin := filepath.Join(programs, "bin")
	if !executable(bin, "initdb") || !executable(bin, "postgres") {
		return fmt.Errorf("fetch PostgreSQL: %w", errors.Join(err, errors.New("the archive has no initdb and postgres")))
	}
	return os.Chmod(scratch, 0o755) //nolint:gosec // programs, to be run by another user
}

func cacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/meridian", nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "meridian"), nil
}

// discard is a log that goes nowhere.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
