package usage_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
	"github.com/meridian-iam/meridian/services/identity/internal/usage"
)

type fixture struct {
	db     *sqldb.DB
	usage  *usage.Recorder
	tokens *rpc.APITokens
	now    atomic.Int64
	ctx    context.Context
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{db: sqltest.New(t)}
	f.now.Store(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	f.usage = f.recorder()
	log := eventlog.New(eventlog.Config{DB: f.db, Region: "eu-west", Clock: f.clock})
	f.tokens = &rpc.APITokens{DB: f.db, Log: log, PlatformRegion: "eu-west", Usage: f.usage, Clock: f.clock}
	f.ctx = principal.With(t.Context(), principal.Principal{Kind: principal.Operator, ID: "test", Level: commonv1.Level_LEVEL_ADMIN})
	return f
}

func (f *fixture) recorder() *usage.Recorder {
	return usage.New(f.db, f.clock, slog.New(slog.DiscardHandler))
}

func (f *fixture) clock() time.Time { return time.Unix(0, f.now.Load()).UTC() }

func (f *fixture) token(t *testing.T) secret.String {
	t.Helper()
	text, err := f.tokens.Bootstrap(f.ctx, "first", 0)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (f *fixture) use(t *testing.T, text secret.String) {
	t.Helper()
	if _, err := f.tokens.Verify(f.ctx, text); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) write(t *testing.T) {
	t.Helper()
	if err := f.usage.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// used is when the only token was used last, as ListApiTokens says.
func (f *fixture) used(t *testing.T) time.Time {
	t.Helper()
	list, err := f.tokens.ListApiTokens(f.ctx, &identityv1.ListApiTokensRequest{})
	if err != nil || len(list.GetTokens()) != 1 {
		t.Fatal(list, err)
	}
	if list.GetTokens()[0].GetLastUsedAt() == nil {
		return time.Time{}
	}
	return list.GetTokens()[0].GetLastUsedAt().AsTime()
}

func TestLastUsed(t *testing.T) {
	f := newFixture(t)
	text := f.token(t)
	f.use(t, text)
	if got := f.used(t); !got.IsZero() {
		t.Errorf("written on the path of the call: %v", got)
	}
	first := f.clock()
	f.write(t)
	if got := f.used(t); !got.Equal(first) {
		t.Errorf("used at %v, want %v", got, first)
	}
	f.now.Add(int64(5*time.Minute - time.Microsecond))
	f.use(t, text)
	f.write(t)
	if got := f.used(t); !got.Equal(first) {
		t.Errorf("written again within five minutes: %v", got)
	}
	f.now.Add(int64(time.Minute))
	f.use(t, text)
	f.now.Add(int64(time.Minute))
	f.use(t, text)
	last := f.clock()
	f.write(t)
	if got := f.used(t); !got.Equal(last) {
		t.Errorf("used at %v, want %v", got, last)
	}
	if _, err := f.tokens.Verify(f.ctx, secret.NewString(text.Reveal()[:80]+"zzz")); err == nil {
		t.Error("a forged token is taken")
	}
}

// Two processes note the same use, and the row is written once in five minutes.
func TestTwoProcesses(t *testing.T) {
	f := newFixture(t)
	text := f.token(t)
	p, err := f.tokens.Verify(f.ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	f.write(t)
	first, other := f.used(t), f.recorder()
	f.now.Add(int64(time.Minute))
	other.Note(p.ID, nil) // as one that read the row before
	if err := other.Write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.used(t); !got.Equal(first) {
		t.Errorf("written again within five minutes: %v", got)
	}
}

// What cannot be written is written later, unless it is used again.
func TestDatabaseAway(t *testing.T) {
	f := newFixture(t)
	text := f.token(t)
	f.use(t, text)
	noted := f.clock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.usage.Write(ctx); err == nil {
		t.Fatal("a write with a context that has ended succeeded: this proves nothing")
	}
	f.now.Add(int64(time.Hour))
	f.write(t)
	if got := f.used(t); !got.Equal(noted) {
		t.Errorf("used at %v, want %v", got, noted)
	}
}

// Run writes what was noted when it ends.
func TestRunWritesAtTheEnd(t *testing.T) {
	f := newFixture(t)
	f.use(t, f.token(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.usage.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if f.used(t).IsZero() {
		t.Error("what was noted is lost")
	}
}

func TestManyTokens(t *testing.T) {
	recorder := usage.New(nil, time.Now, nil)
	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() {
			for i := range 30_000 {
				recorder.Note(fmt.Sprint("tok ", worker, " ", i), nil)
			}
		})
	}
	wait.Wait()
	if noted := recorder.Noted(); noted != 100_000 {
		t.Errorf("%d tokens are noted, want 100,000 at most", noted)
	}
}

// The write of uses finds tokens by their key, and rotations by their indexes.
func TestIndexes(t *testing.T) {
	f := newFixture(t)
	err := f.db.Read(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		for query, index := range map[string]string{
			`SELECT 1 FROM identity.api_tokens WHERE organization_id = 'o' AND replaces = 't' AND replaces <> '' AND revoked_at IS NULL AND expires_at > now()`: "api_tokens_replaces",
			`SELECT 1 FROM identity.api_tokens WHERE organization_id = 'o' AND service_account = 's' AND service_account <> '' AND revoked_at IS NULL`:          "api_tokens_account",
		} {
			rows, err := tx.Query(ctx, "EXPLAIN (FORMAT TEXT) "+query)
			if err != nil {
				return err
			}
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			if text := fmt.Sprint(plan); !strings.Contains(text, index) {
				t.Errorf("%s is not answered by %s: %s", query, index, text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
