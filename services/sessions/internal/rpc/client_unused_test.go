package rpc_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

func deletedUnused(s *sessionsv1.ClientSettings) { s.DeleteUnused = true }

// deleteUnused sweeps as a region does, and returns how many clients are gone.
func (f *fixture) deleteUnused(t *testing.T, region string) int {
	t.Helper()
	n, err := f.clients.DeleteUnused(t.Context(), region, 10)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What registered itself, and is used by nobody, does not fill its owner's limit for ever.
func TestUnusedClientsAreDeleted(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	f := newFixture(t)
	org := f.organization(t)
	forgotten := f.create(t, org, app(deletedUnused)).GetClient()
	platforms := f.create(t, "", app(deletedUnused)).GetClient()
	used := f.create(t, org, app(deletedUnused)).GetClient()
	adopted := f.create(t, org, app(deletedUnused)).GetClient()
	given := f.create(t, org, app()).GetClient()
	stays := f.create(t, org, app()).GetClient()
	f.advance(20 * day)
	if n := f.deleteUnused(t, region); n != 0 {
		t.Fatalf("%d are gone after 20 days", n)
	}
	if err := store.UseClient(t.Context(), f.db, used.GetId(), f.clock()); err != nil {
		t.Fatal(err)
	}
	for c, settings := range map[*sessionsv1.Client]*sessionsv1.ClientSettings{adopted: app(), given: app(deletedUnused)} {
		_, err := f.clients.UpdateClient(f.ctx, &sessionsv1.UpdateClientRequest{Organization: org, Client: c.GetId(), Settings: settings, IdempotencyKey: f.key()})
		if err != nil {
			t.Fatal(err)
		}
	}
	f.advance(11*day - time.Second)
	if n := f.deleteUnused(t, region); n != 0 {
		t.Fatalf("%d are gone a second before", n)
	}
	f.advance(time.Second)
	head := f.head(t, org)
	if n := f.deleteUnused(t, "us-east"); n != 0 {
		t.Fatalf("another region deletes %d", n)
	}
	if n := f.deleteUnused(t, region); n != 2 {
		t.Errorf("%d are gone, want 2", n)
	}
	if events := f.events(t, org, head); len(events) != 1 || !proto.Equal(events[0], &eventv1.ClientDeleted{Client: forgotten.GetId()}) {
		t.Errorf("the log says %v", events)
	}
	if _, err := f.clients.GetClient(f.ctx, &sessionsv1.GetClientRequest{Client: platforms.GetId()}); err == nil {
		t.Error("the platform's is there")
	}
	for _, c := range []*sessionsv1.Client{used, adopted, given, stays} {
		f.get(t, c)
	}
	f.verifyClients(t, org)
	f.advance(20 * day)
	if n := f.deleteUnused(t, region); n != 2 { // used, and the one that was given to it
		t.Errorf("%d are gone, want 2", n)
	}
	f.get(t, adopted)
	f.get(t, stays)
}
