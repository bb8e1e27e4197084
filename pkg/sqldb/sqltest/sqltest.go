// Package sqltest gives each test a database of its own, migrated and empty.
//
// The server is the one that MERIDIAN_TEST_DATABASE_URL names (PostgreSQL or
// CockroachDB; its user must be allowed to create databases), or else a private
// one, started by the first test of the test binary that asks for a database. A
// server that cannot be had fails the test.
//
// On PostgreSQL the migrations run once, into a template that every further
// database is a copy of. Its name holds the hash of the migrations, so on a
// shared server all test binaries share it.
//
// # What is left behind
//
// Databases are dropped when their test ends. A private server ends with the
// test binary, whatever ends that (see package pglocal). Its directory stays in
// the directory for temporary files until the next test binary starts a server
// of its own and sweeps away the directories whose process is gone.
package sqltest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
)

// maxConns is small: many tests share the server.
const maxConns = 10

const (
	startBound = 2 * time.Minute
	dropBound  = 30 * time.Second
)

// server is the one of this test binary: a test has no hook that runs before all
// tests, so the first that needs the server starts it.
//
//nolint:gochecknoglobals // see above
var server = sync.OnceValues(func() (*host, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startBound)
	defer cancel()
	return openHost(ctx)
})

// New returns an open database that this test alone uses. It is closed and
// dropped when the test ends.
func New(t testing.TB) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: URL(t), MaxConns: maxConns})
	if err != nil {
		t.Fatalf("open test database: %v", err)
	}
	t.Cleanup(db.Close)
	return db
}

// URL returns the connection URL of a database that this test alone uses, for
// tests that open it themselves. It is dropped when the test ends, with the
// connections that are still open.
func URL(t testing.TB) secret.String {
	t.Helper()
	return provide(t, (*host).create)
}

// EmptyURL is URL without the migrations.
func EmptyURL(t testing.TB) secret.String {
	t.Helper()
	return provide(t, (*host).createEmpty)
}

func provide(t testing.TB, create func(h *host, ctx context.Context, name string) error) secret.String {
	t.Helper()
	h, err := server()
	if err != nil {
		t.Fatalf("start test database: %v", err)
	}
	name := "meridian_test_" + randomHex()
	if err := create(h, t.Context(), name); err != nil {
		t.Fatalf("create test database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropBound)
		defer cancel()
		if err := h.drop(ctx, name); err != nil {
			t.Errorf("drop test database: %v", err)
		}
	})
	return h.urlOf(name)
}

// host is a server that holds the databases of tests.
type host struct {
	admin *sqldb.DB
	url   *url.URL
	// template is what databases are copied from; "" on CockroachDB, which
	// cannot copy.
	template string
	// strategy is how the server copies it; "" leaves that to the server.
	strategy string
}

func (h *host) urlOf(name string) secret.String {
	u := *h.url
	u.Path = "/" + name
	return secret.NewString(u.String())
}

func (h *host) create(ctx context.Context, name string) error {
	if h.template == "" {
		if err := h.createEmpty(ctx, name); err != nil {
			return err
		}
		return h.migrate(ctx, name)
	}
	return h.exec(ctx, "CREATE DATABASE "+quote(name)+" TEMPLATE "+quote(h.template)+h.strategy)
}

func (h *host) createEmpty(ctx context.Context, name string) error {
	return h.exec(ctx, "CREATE DATABASE "+quote(name))
}

func (h *host) drop(ctx context.Context, name string) error {
	if h.admin.Flavor() == sqldb.CockroachDB {
		return h.exec(ctx, "DROP DATABASE "+quote(name)+" CASCADE")
	}
	return h.exec(ctx, "DROP DATABASE "+quote(name)+" WITH (FORCE)")
}

func (h *host) migrate(ctx context.Context, name string) error {
	db, err := sqldb.Open(ctx, sqldb.Config{URL: h.urlOf(name), MaxConns: 1})
	if err != nil {
		return err
	}
	defer db.Close()
	return sqldb.Migrate(ctx, db, slog.New(slog.DiscardHandler))
}

func (h *host) exec(ctx context.Context, sql string) error {
	_, err := h.admin.Pool().Exec(ctx, sql)
	return err
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func randomHex() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
