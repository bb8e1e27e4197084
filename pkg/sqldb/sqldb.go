// Package sqldb opens the database and runs transactions on it.
//
// CockroachDB and PostgreSQL are both served, and the difference is decided
// once, at Open, by version(). Every transaction is SERIALIZABLE and is run
// again when the database asks for it, so the function of a transaction may
// run several times and must have no effect outside of it.
//
// The outcome of a write is one of three, and the error says which: written
// (nil), not written (any other error), or not known (OUTCOME_UNKNOWN). No
// error carries text of the database in its Detail.
package sqldb

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// Flavor is the kind of database behind a connection.
type Flavor uint8

// The flavors. The zero Flavor is not valid.
const (
	_ Flavor = iota
	// PostgreSQL 13 or newer.
	PostgreSQL
	// CockroachDB 24.1 or newer.
	CockroachDB
)

// String returns the product's name.
func (f Flavor) String() string {
	switch f {
	case PostgreSQL:
		return "PostgreSQL"
	case CockroachDB:
		return "CockroachDB"
	default:
		return "unknown"
	}
}

// Querier runs statements. *pgxpool.Pool and pgx.Tx are Queriers.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Config says which database to open and with which bounds. Only URL is
// required; a zero value elsewhere takes the default named beside the field.
type Config struct {
	// URL is a PostgreSQL connection URL. A statement_timeout,
	// idle_in_transaction_session_timeout or application_name in it wins over
	// the fields below.
	URL secret.String
	// MaxConns is the size of the pool (16).
	MaxConns int32
	// ApplicationName is shown by the database beside the sessions ("meridian").
	ApplicationName string
	// ConnectTimeout bounds the making of one connection (5 s).
	ConnectTimeout time.Duration
	// AcquireTimeout bounds the wait for a connection of the pool, with the
	// ping of one that has been idle (10 s).
	AcquireTimeout time.Duration
	// StatementTimeout is the database's bound on one statement (30 s). It does
	// not hold for migrations.
	StatementTimeout time.Duration
	// IdleInTransactionTimeout is how long a transaction may wait for its
	// client before the database ends it (30 s).
	IdleInTransactionTimeout time.Duration
	// AbandonedAfter is the same for a transaction that writes (5 s): it may hold
	// rows that others wait for, and its client may be cut off.
	AbandonedAfter time.Duration
	// RetryFor bounds the time in which a transaction is started again after
	// serialization failures (10 s).
	RetryFor time.Duration
	// Tracer sees every statement, those of migrations too. It may be nil.
	Tracer pgx.QueryTracer
	// Clock measures RetryFor. nil means time.Now.
	Clock func() time.Time
}

const (
	pingAfterIdle = time.Second
	pingTimeout   = 5 * time.Second
)

func (c Config) withDefaults() Config {
	c.MaxConns = orDefault(c.MaxConns, 16)
	c.ApplicationName = orDefault(c.ApplicationName, "meridian")
	c.ConnectTimeout = orDefault(c.ConnectTimeout, 5*time.Second)
	c.AcquireTimeout = orDefault(c.AcquireTimeout, 10*time.Second)
	c.StatementTimeout = orDefault(c.StatementTimeout, 30*time.Second)
	c.IdleInTransactionTimeout = orDefault(c.IdleInTransactionTimeout, 30*time.Second)
	c.AbandonedAfter = orDefault(c.AbandonedAfter, 5*time.Second)
	c.RetryFor = orDefault(c.RetryFor, 10*time.Second)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}

func orDefault[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	config Config
	pool   *pgxpool.Pool
	flavor Flavor
}

// Open connects to the database and finds out its flavor.
//
// Errors: INVALID_FIELD for a URL that cannot be read, DATABASE_UNAVAILABLE,
// DEADLINE, CANCELLED.
func Open(ctx context.Context, c Config) (*DB, error) {
	c = c.withDefaults()
	settings, err := c.pool()
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, settings)
	if err != nil {
		return nil, classify(ctx, err)
	}
	db := &DB{config: c, pool: pool}
	if db.flavor, err = db.detect(ctx); err != nil {
		pool.Close()
		return nil, classify(ctx, err)
	}
	return db, nil
}

// pool returns the pool's settings. A malformed URL is reported without its
// text, because the text may hold a password.
func (c Config) pool() (*pgxpool.Config, error) {
	settings, err := pgxpool.ParseConfig(c.URL.Reveal())
	if err != nil {
		return nil, fault.Field("database.url", "postgres_url", "is not a PostgreSQL connection URL")
	}
	settings.MaxConns = c.MaxConns
	settings.PingTimeout = pingTimeout
	settings.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool {
		return p.IdleDuration > pingAfterIdle
	}
	settings.MaxConnLifetimeJitter = 5 * time.Minute
	settings.AfterConnect = preferIndexes
	settings.ConnConfig.ConnectTimeout = c.ConnectTimeout
	settings.ConnConfig.Tracer = c.Tracer
	params := settings.ConnConfig.RuntimeParams
	setUnset(params, "application_name", c.ApplicationName)
	setUnset(params, "statement_timeout", milliseconds(c.StatementTimeout))
	setUnset(params, "idle_in_transaction_session_timeout", milliseconds(c.IdleInTransactionTimeout))
	return settings, nil
}

// preferIndexes keeps PostgreSQL from scanning small tables whole. In a
// serializable transaction such a scan locks the table against every other
// writer, which costs far more than the scan: log.logs after an ANALYZE took
// three times as long. CockroachDB has no such locks.
func preferIndexes(ctx context.Context, conn *pgx.Conn) error {
	if conn.PgConn().ParameterStatus("crdb_version") != "" {
		return nil
	}
	_, err := conn.Exec(ctx, "SET enable_seqscan = off")
	return err
}

func setUnset(params map[string]string, key, value string) {
	if _, ok := params[key]; !ok {
		params[key] = value
	}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func (db *DB) detect(ctx context.Context) (Flavor, error) {
	bounded, cancel := context.WithTimeout(ctx, db.config.ConnectTimeout+db.config.AcquireTimeout)
	defer cancel()
	var version string
	err := db.pool.QueryRow(bounded, "SELECT version()").Scan(&version)
	switch {
	case err != nil && bounded.Err() != nil && ctx.Err() == nil:
		return 0, unavailable(err)
	case err != nil:
		return 0, err
	}
	if strings.HasPrefix(version, "CockroachDB") {
		return CockroachDB, nil
	}
	return PostgreSQL, nil
}

// Close closes every connection, after the ones in use are given back.
func (db *DB) Close() { db.pool.Close() }

// Flavor returns the kind of database.
func (db *DB) Flavor() Flavor { return db.flavor }

// Pool gives access to single statements, each a transaction of its own. They
// are not retried; pass their errors through Unavailable. A statement that
// decides something together with another belongs into Write or Read.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }
