package sqldb_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

func open(t *testing.T, c sqldb.Config) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func execute(t *testing.T, q sqldb.Querier, sql string, args ...any) {
	t.Helper()
	if _, err := q.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func number(t *testing.T, q sqldb.Querier, sql string, args ...any) int {
	t.Helper()
	var n int
	if err := q.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// wantFault checks kind and reason, and that no text of the database or of the
// driver is in what a client sees.
func wantFault(t *testing.T, err error, kind fault.Kind, reason commonv1.Reason) {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Kind != kind || f.Reason != reason {
		t.Fatalf("got %v, want the reason %v", err, reason)
	}
	for _, word := range []string{"SQLSTATE", "127.0.0.1", "conn", "ERROR", "dial", "EOF"} {
		if strings.Contains(strings.ReplaceAll(f.Detail, "connection", ""), word) {
			t.Errorf("detail %q holds %q", f.Detail, word)
		}
	}
}

// statements records what is sent.
type statements struct {
	mu  sync.Mutex
	all []string
	// seen is called for each statement as it is sent; it may be nil.
	seen func(sql string)
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	s.all = append(s.all, q.SQL)
	s.mu.Unlock()
	if s.seen != nil {
		s.seen(q.SQL)
	}
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (s *statements) containing(words ...string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for _, sql := range s.all {
		for _, word := range words {
			if strings.Contains(strings.ToUpper(sql), word) {
				found = append(found, sql)
				break
			}
		}
	}
	return found
}

// deadline is a context whose deadline passes when the test says so.
type deadline struct {
	context.Context
	once sync.Once
	done chan struct{}
}

func newDeadline(parent context.Context) *deadline {
	return &deadline{Context: parent, done: make(chan struct{})}
}

func (d *deadline) pass()                 { d.once.Do(func() { close(d.done) }) }
func (d *deadline) Done() <-chan struct{} { return d.done }
func (d *deadline) Err() error {
	select {
	case <-d.done:
		return context.DeadlineExceeded
	default:
		return d.Context.Err()
	}
}

func (d *deadline) Deadline() (time.Time, bool) { return time.Time{}, false }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// through returns the URL with another host and port.
func through(t *testing.T, from secret.String, address string) secret.String {
	t.Helper()
	settings, err := pgx.ParseConfig(from.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return secret.NewString(fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable",
		settings.User, settings.Password, address, settings.Database))
}
