package feed_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/relay"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// From the commit, by a relay, to the map; and what is known stays as fresh as the
// chassis asks for.
func TestFromTheCommit(t *testing.T) {
	t.Parallel()
	w, db := open(t), sqltest.New(t)
	store := eventlog.New(eventlog.Config{DB: db, Region: eu})
	r := relay.New(relay.Config{DB: db, Store: store, Bus: w.bus, Region: eu, Holder: "test", Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	reader := w.follow()
	w.until("what was revoked is known", func() bool {
		age, known := reader.Age()
		return known && age < time.Second
	})
	user := id.New(id.User)
	commit := func(expected uint64, events ...proto.Message) {
		t.Helper()
		if err := db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			_, err := store.Append(ctx, tx, eventlog.Append{
				Log: user, Expected: expected, HomeRegion: eu, Events: events,
				Actor: &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_OPERATOR, Id: "root"},
			})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		r.Nudge(eu) // as eventlog.Store.Commit does
	}
	commit(0, &identityv1.UserCreated{User: user, HomeRegion: eu})
	for n := range uint64(20) {
		session := id.New(id.Session)
		commit(n+1, &sessionsv1.SessionRevoked{Session: session})
		w.until("the revocation is enforced", func() bool { return reader.denies(session) })
	}
	h := reader.metric(t, "meridian_revocation_enforced_seconds").GetHistogram()
	t.Logf("%d revocations, %.1f ms on average from the commit", h.GetSampleCount(), 1000*h.GetSampleSum()/float64(h.GetSampleCount()))
	if age, known := reader.Age(); !known || age > 2*time.Second {
		t.Errorf("age %s, known %t", age, known)
	}
}
