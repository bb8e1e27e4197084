package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/sqldb/pglocal"
)

// settings are those of both databases: the work set fits in memory, and
// checkpoints do not come in the middle of a measure.
var settings = []string{
	"shared_buffers=2GB", "effective_cache_size=4GB", "work_mem=16MB", "maintenance_work_mem=256MB",
	"max_wal_size=8GB", "checkpoint_timeout=15min", "wal_compression=on", "random_page_cost=1.1", "jit=off",
	"max_connections=200",
}

// openFGACaches are OpenFGA's best settings for this work: everything that it
// can keep in memory, for 10 s as by default.
var openFGACaches = []string{
	"--check-query-cache-enabled", "--check-iterator-cache-enabled", "--list-objects-iterator-cache-enabled",
	"--shared-iterator-enabled", "--check-cache-limit", "100000",
}

// running is a system that can be measured.
type running struct {
	drive    []string // flags that say where it is
	server   *process
	database *pglocal.Server
	admin    string // host:port of profiles; may be empty
}

func (b *bench) database(ctx context.Context, name string) (*pglocal.Server, error) {
	server, err := pglocal.Start(ctx, pglocal.Options{Dir: filepath.Join(b.scratch, name), Settings: settings})
	if err != nil {
		return nil, err
	}
	if server.Kind() != "PostgreSQL" {
		return nil, errors.Join(errors.New("OpenFGA needs PostgreSQL: take cockroach off the PATH"), server.Stop(ctx))
	}
	return server, nil
}

func stopDatabase(ctx context.Context, server *pglocal.Server) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopBound)
	defer cancel()
	_ = server.Stop(ctx) // it has ended either way
}

// openFGA starts OpenFGA on a database that has its schema.
func (b *bench) openFGA(ctx context.Context, database *pglocal.Server, more ...string) (*running, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"run", "--datastore-engine", "postgres", "--datastore-uri", database.URL().Reveal(),
		"--grpc-addr", address, "--http-enabled=false", "--playground-enabled=false", "--metrics-enabled=false",
		"--log-level", "error", "--log-format", "json",
		// Whole lists and batches as large as those of the others.
		"--listObjects-max-results", "0", "--listObjects-deadline", "30s", "--request-timeout", "30s",
		"--max-checks-per-batch-check", strconv.Itoa(batchSize),
	}, more...)
	server, err := b.launch("openfga", b.command(context.WithoutCancel(ctx), b.peer, args...))
	if err != nil {
		return nil, err
	}
	r := &running{server: server, database: database, drive: []string{
		"-target", "openfga", "-url", address, "-state", filepath.Join(b.scratch, "openfga.json"),
	}}
	if err := server.ready(ctx, address); err != nil {
		server.stop()
		return nil, err
	}
	return r, nil
}

func (b *bench) migrateOpenFGA(ctx context.Context, database *pglocal.Server) error {
	_, err := output(b.command(ctx, b.peer, "migrate", "--datastore-engine", "postgres",
		"--datastore-uri", database.URL().Reveal(), "--log-level", "error"))
	return err
}

// vacuum tells the database what it holds, as autovacuum would in time.
func vacuum(ctx context.Context, database *pglocal.Server) error {
	c, err := pgx.Connect(ctx, database.URL().Reveal())
	if err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	_, err = c.Exec(ctx, "VACUUM ANALYZE")
	if err = errors.Join(err, c.Close(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}

// meridian makes keys, migrates, and starts `meridian serve`: one process with
// all services and an embedded NATS.
func (b *bench) meridian(ctx context.Context, database *pglocal.Server) (*running, error) {
	config, address, admin, err := b.configure(ctx, database)
	if err != nil {
		return nil, err
	}
	if _, err := output(b.command(ctx, "meridian", "keys", filepath.Join(b.scratch, "keys"))); err != nil {
		return nil, err
	}
	if _, err := output(b.command(ctx, "meridian", "migrate", "--config", config)); err != nil {
		return nil, err
	}
	token, err := output(b.command(ctx, "meridian", "bootstrap", "--config", config))
	if err != nil {
		return nil, err
	}
	server, err := b.launch("meridian", b.command(context.WithoutCancel(ctx), "meridian", "serve", "--config", config))
	if err != nil {
		return nil, err
	}
	r := &running{server: server, database: database, admin: admin, drive: []string{
		"-target", "meridian", "-url", "http://" + address, "-token", token, "-state", filepath.Join(b.scratch, "meridian.json"),
	}}
	if err := server.ready(ctx, address); err != nil {
		server.stop()
		return nil, err
	}
	return r, nil
}

// configure writes the configuration file. Calls are not limited, and only
// those that fail are logged, as with OpenFGA.
func (b *bench) configure(ctx context.Context, database *pglocal.Server) (path, address, admin string, err error) {
	if address, err = freeAddress(ctx); err != nil {
		return "", "", "", err
	}
	if admin, err = freeAddress(ctx); err != nil {
		return "", "", "", err
	}
	url := filepath.Join(b.scratch, "database.url")
	if err := os.WriteFile(url, []byte(database.URL().Reveal()), 0o600); err != nil {
		return "", "", "", fmt.Errorf("configure: %w", err)
	}
	text := strings.NewReplacer("ADDRESS", address, "ADMIN", admin, "URL", url, "DIR", b.scratch).Replace(`region: bench
data_dir: DIR/meridian
database:
  url_file: URL
keys:
  service_file: DIR/keys/service.key
  regional_file: DIR/keys/regional.json
server:
  listen: ADDRESS
  admin: ADMIN
  access_log: errors
  limits:
    read: {per_second: -1}
    write: {per_second: -1}
    manage: {per_second: -1}
`)
	path = filepath.Join(b.scratch, "meridian.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", "", "", fmt.Errorf("configure: %w", err)
	}
	return path, address, admin, nil
}

// echo starts the no-op service.
func (b *bench) echo(ctx context.Context) (*running, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	defer read.Close() //nolint:errcheck // read only
	cmd := b.command(context.WithoutCancel(ctx), "echo")
	cmd.Stdout = write
	server, err := b.launch("echo", cmd)
	if err := errors.Join(err, write.Close()); err != nil {
		return nil, err
	}
	url, err := firstLine(read)
	if err != nil {
		server.stop()
		return nil, fmt.Errorf("echo: %w: %s", err, server.said())
	}
	return &running{server: server, drive: []string{"-target", "echo", "-url", url}}, nil
}
