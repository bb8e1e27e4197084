package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/meridian-iam/meridian/migrations"
)

const (
	lockTable     = "public.migrations_lock"
	lockInterval  = 100 * time.Millisecond
	lockAttempts  = 3000 // about 5 minutes
	unlockRetries = 100
)

// schema is one folder of migrations with a version table of its own.
type schema struct {
	name  string
	files fs.FS
}

// Migrate brings every schema to the newest version: the base migrations, then,
// on CockroachDB only, the overlay and the localities of a cluster of several
// regions. Any number of processes may run it at once; one works, the others
// wait for a row in public.migrations_lock and find nothing to do. A process
// that dies holds the others up for 30 s, the lease of that row.
//
// It uses connections of its own, without a statement timeout, and logs each
// migration that ran. Errors: as of Unavailable, or an error that names the
// schema; a migration that stopped halfway is run again by the next call, so
// every statement in it must allow that.
func Migrate(ctx context.Context, db *DB, log *slog.Logger) error {
	schemas, err := schemasFor(db.flavor)
	if err != nil {
		return err
	}
	conns, err := db.unhurried()
	if err != nil {
		return err
	}
	defer func() { _ = conns.Close() }()
	if err := migrateLocked(ctx, conns, schemas, log); err != nil {
		return Unavailable(err)
	}
	if db.flavor != CockroachDB {
		return nil
	}
	return ApplyLocalities(ctx, db, log)
}

func schemasFor(flavor Flavor) ([]schema, error) {
	var all []schema
	for _, name := range migrations.Schemas() {
		files, err := fs.Sub(migrations.Base, name)
		if err != nil {
			return nil, fmt.Errorf("open migrations of %s: %w", name, err)
		}
		all = append(all, schema{name: name, files: files})
	}
	if flavor != CockroachDB {
		return all, nil
	}
	files, err := fs.Sub(migrations.Cockroach, migrations.CockroachDir)
	if err != nil {
		return nil, fmt.Errorf("open migrations of cockroach: %w", err)
	}
	return append(all, schema{name: "cockroach", files: files}), nil
}

// unhurried returns connections to the same database for statements that may
// take long.
func (db *DB) unhurried() (*sql.DB, error) {
	settings, err := pgxpool.ParseConfig(db.config.URL.Reveal())
	if err != nil {
		return nil, err
	}
	conn := settings.ConnConfig
	conn.ConnectTimeout = db.config.ConnectTimeout
	conn.Tracer = db.config.Tracer
	conn.RuntimeParams["application_name"] = db.config.ApplicationName + " migrate"
	conn.RuntimeParams["statement_timeout"] = "0"
	conns := stdlib.OpenDB(*conn)
	conns.SetMaxOpenConns(3) // the migration, the lock's row, its heartbeat
	return conns, nil
}

func migrateLocked(ctx context.Context, conns *sql.DB, schemas []schema, log *slog.Logger) (err error) {
	locker, err := lock.NewPostgresTableLocker(
		lock.WithTableName(lockTable),
		lock.WithTableLockTimeout(lockInterval, lockAttempts),
		lock.WithTableUnlockTimeout(lockInterval, unlockRetries),
		lock.WithTableRetryPolicy(func(err error) bool { return !disconnected(err) }),
		lock.WithTableLogger(log),
	)
	if err != nil {
		return fmt.Errorf("make migration lock: %w", err)
	}
	if err := locker.Lock(ctx, conns); err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	defer func() {
		if unlock := locker.Unlock(context.WithoutCancel(ctx), conns); unlock != nil && err == nil {
			err = fmt.Errorf("unlock migrations: %w", unlock)
		}
	}()
	for _, s := range schemas {
		if err := s.apply(ctx, conns, log); err != nil {
			return fmt.Errorf("migrate %s: %w", s.name, err)
		}
	}
	return nil
}

func (s schema) apply(ctx context.Context, conns *sql.DB, log *slog.Logger) error {
	provider, err := goose.NewProvider(goose.DialectPostgres, conns, s.files,
		goose.WithTableName("public.migrations_"+s.name),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	results, err := provider.Up(ctx)
	for _, r := range results {
		log.InfoContext(ctx, "migration applied",
			slog.String("schema", s.name),
			slog.String("file", r.Source.Path),
			slog.Int64("version", r.Source.Version),
			slog.Duration("took", r.Duration))
	}
	return err
}
