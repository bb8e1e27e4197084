package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/revision"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
)

const region = "eu"

// fixture is a store on a database of its own.
type fixture struct {
	*eventlog.Store
	db *sqldb.DB
}

func newFixture(t testing.TB, change ...func(*eventlog.Config)) fixture {
	t.Helper()
	c := eventlog.Config{DB: sqltest.New(t), Region: region, Vault: newVault(t)}
	for _, f := range change {
		f(&c)
	}
	return fixture{Store: eventlog.New(c), db: c.DB}
}

func newVault(t testing.TB) *eventlog.Vault {
	t.Helper()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	key, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	return eventlog.NewVault(key)
}

func operator() *logv1.Actor {
	return &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_OPERATOR, Id: "root"}
}

// named is an event without personal data.
func named(name string) proto.Message {
	return &identityeventv1.OrganizationCreated{Organization: "org", Slug: name, Name: name, HomeRegion: region}
}

func manyNamed(n int) []proto.Message {
	events := make([]proto.Message, n)
	for i := range events {
		events[i] = named(fmt.Sprint("event ", i))
	}
	return events
}

func newLog() string { return id.New(id.Organization) }

// append appends in a transaction of its own.
func (f fixture) append(ctx context.Context, log string, expected uint64, events ...proto.Message) (revision.Revision, error) {
	var r revision.Revision
	err := f.db.Write(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var err error
		r, err = f.Append(ctx, tx, eventlog.Append{
			Log: log, Expected: expected, HomeRegion: region, Actor: operator(), Cause: "test", Events: events,
		})
		return err
	})
	return r, err
}

func (f fixture) mustAppend(t testing.TB, log string, expected uint64, events ...proto.Message) revision.Revision {
	t.Helper()
	r, err := f.append(t.Context(), log, expected, events...)
	if err != nil {
		t.Fatalf("append to %s at %d: %v", log, expected, err)
	}
	return r
}

func (f fixture) mustRead(t testing.TB, log string) []eventlog.Recorded {
	t.Helper()
	events, err := f.Read(t.Context(), f.db.Pool(), log, 1, eventlog.MaxRead)
	if err != nil {
		t.Fatalf("read %s: %v", log, err)
	}
	return events
}

func (f fixture) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	tag, err := f.db.Pool().Exec(t.Context(), sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if tag.RowsAffected() == 0 {
		t.Fatalf("%s: no row", sql)
	}
}

func (f fixture) count(t testing.TB, table string) (n int) {
	t.Helper()
	if err := f.db.Pool().QueryRow(t.Context(), "SELECT count(*) FROM log."+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func wantReason(t testing.TB, err error, reason commonv1.Reason) *fault.Fault {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Reason != reason {
		t.Fatalf("got %v, want %v", err, reason)
	}
	return f
}

// sound fails the test when the log differs from itself.
func (f fixture) sound(t testing.TB, log string) eventlog.Result {
	t.Helper()
	v := &eventlog.Verifier{Store: f.Store}
	result, err := v.Verify(t.Context(), log, nil)
	if err != nil || result.Difference != nil {
		t.Fatalf("verify %s: %v, %v", log, result.Difference, err)
	}
	return result
}

// publisher holds a region's lease and has filled a stream.
func (f fixture) publisher(ctx context.Context, region string) (eventlog.Publisher, error) {
	fill := eventlog.Fill{Stream: "LOG", Created: 1}
	_, epoch, err := f.Acquire(ctx, region, "relay", time.Minute, true)
	if err == nil {
		err = f.RecordFill(ctx, region, fill)
	}
	return eventlog.Publisher{Holder: "relay", Epoch: epoch, Fill: fill}, err
}

// mark marks entries as published, as the relay that leads does.
func (f fixture) mark(ctx context.Context, region string, published []eventlog.Pending) error {
	by, err := f.publisher(ctx, region)
	if err != nil {
		return err
	}
	marked, err := f.MarkPublished(ctx, region, by, published)
	if err == nil && !marked {
		err = errors.New("it was not marked")
	}
	return err
}
