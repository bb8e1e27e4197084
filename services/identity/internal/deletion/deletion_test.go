package deletion_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	logv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/log/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/deletion"
	"github.com/meridian-iam/meridian/services/identity/internal/rpc"
	"github.com/meridian-iam/meridian/services/identity/internal/store"
)

type fixture struct {
	db            *sqldb.DB
	log           *eventlog.Store
	organizations *rpc.Organizations
	tokens        *rpc.APITokens
	now           atomic.Int64
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{db: sqltest.New(t)}
	f.now.Store(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	f.log = eventlog.New(eventlog.Config{DB: f.db, Region: "eu-west", Clock: f.clock})
	f.organizations = &rpc.Organizations{DB: f.db, Log: f.log, Region: "eu-west", Regions: []string{"eu-west", "us-east"}, Clock: f.clock}
	f.tokens = &rpc.APITokens{DB: f.db, Log: f.log, PlatformRegion: "eu-west", Clock: f.clock}
	return f
}

func (f *fixture) clock() time.Time { return time.Unix(0, f.now.Load()).UTC() }

func (f *fixture) worker(region string, removals ...deletion.Removal) *deletion.Worker {
	return deletion.New(deletion.Options{
		DB: f.db, Log: f.log, Region: region, Removals: removals, Clock: f.clock, Logger: slog.New(slog.DiscardHandler),
	})
}

// doomed makes an organization with tokens that is to be deleted in a day.
func (f *fixture) doomed(t *testing.T, slug string, tokens int) string {
	t.Helper()
	ctx := principal.With(t.Context(), principal.Principal{Kind: principal.APIToken, ID: "tok", Level: commonv1.Level_LEVEL_ADMIN})
	made, err := f.organizations.CreateOrganization(ctx, &identityv1.CreateOrganizationRequest{Slug: slug, Name: slug, IdempotencyKey: slug})
	if err != nil {
		t.Fatal(err)
	}
	org := made.GetOrganization().GetId()
	for i := range tokens {
		_, err := f.tokens.CreateApiToken(ctx, &identityv1.CreateApiTokenRequest{
			Organization: org, Name: "token", Level: commonv1.Level_LEVEL_READ, IdempotencyKey: fmt.Sprint(slug, i),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = f.organizations.DeleteOrganization(ctx, &identityv1.DeleteOrganizationRequest{Organization: org, GraceDays: new(uint32(1)), IdempotencyKey: "delete " + slug})
	if err != nil {
		t.Fatal(err)
	}
	return org
}

// addDomains gives an organization that is to be deleted two domains.
func (f *fixture) addDomains(t *testing.T, org string) {
	t.Helper()
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		var events []proto.Message
		for _, name := range []string{"a.example", "b.example"} {
			added := &eventv1.DomainAdded{Domain: id.New(id.Domain), Organization: org, Name: name}
			row := store.Domain{HomeRegion: "eu-west", CreatedAt: f.clock(), CheckAt: f.clock()}
			row.Apply(added)
			if err := store.InsertDomain(ctx, tx, row); err != nil {
				return err
			}
			if _, err := store.Count(ctx, tx, org, "eu-west", store.Domains, 1); err != nil {
				return err
			}
			events = append(events, added)
		}
		_, err := f.log.Append(ctx, tx, eventlog.Append{
			Log: org, Expected: eventlog.AnyHead, Actor: &logv1.Actor{Kind: logv1.ActorKind_ACTOR_KIND_OPERATOR, Id: "test"}, Events: events,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) state(t *testing.T, org string) identityv1.OrganizationState {
	t.Helper()
	got, err := f.organizations.GetOrganization(t.Context(), &identityv1.GetOrganizationRequest{Organization: org})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetOrganization().GetState()
}

// tail returns the short types of a log's events from a sequence on, and checks
// that the rows are as the log says.
func (f *fixture) tail(t *testing.T, org string, from uint64) string {
	t.Helper()
	v := &eventlog.Verifier{Store: f.log, Folds: []eventlog.Fold{store.Fold{}}}
	if result, err := v.Verify(t.Context(), org, nil); err != nil || result.Difference != nil {
		t.Errorf("log %s: %v, %v", org, result.Difference, err)
	}
	events, err := f.log.Read(t.Context(), f.db.Pool(), org, from, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, e.Envelope.GetType()[strings.LastIndexByte(e.Envelope.GetType(), '.')+1:])
	}
	return strings.Join(kinds, " ")
}

const deleted = identityv1.OrganizationState_ORGANIZATION_STATE_DELETED

func TestDelete(t *testing.T) {
	f := newFixture(t)
	tokens := deletion.Tokens{Clock: f.clock}
	org := f.doomed(t, "acme", 3)
	f.addDomains(t, org)
	w := f.worker("eu-west", tokens, deletion.Domains{})
	if due, done, err := w.Delete(t.Context()); due != 0 || done != 0 || err != nil {
		t.Errorf("before its time: %d, %d, %v", due, done, err)
	}
	f.now.Add(int64(25 * time.Hour))
	if due, done, err := f.worker("us-east", tokens).Delete(t.Context()); due != 0 || done != 0 || err != nil {
		t.Errorf("in another region: %d, %d, %v", due, done, err)
	}
	if due, done, err := w.Delete(t.Context()); due != 1 || done != 1 || err != nil {
		t.Fatalf("Delete = %d, %d, %v", due, done, err)
	}
	if got := f.tail(t, org, 8); got != "ApiTokenRevoked ApiTokenRevoked ApiTokenRevoked DomainRemoved DomainRemoved OrganizationDeleted" {
		t.Errorf("events %q", got)
	}
	if f.state(t, org) != deleted {
		t.Errorf("state %v", f.state(t, org))
	}
	if due, done, err := w.Delete(t.Context()); due != 0 || done != 0 || err != nil {
		t.Errorf("again: %d, %d, %v", due, done, err)
	}
}

// few is a Removal of so many things, whose events are those of tokens that were
// never made.
type few struct {
	left atomic.Int64
	most int
	err  error
}

func (r *few) Remove(_ context.Context, _ pgx.Tx, org string, limit int) (events []proto.Message, more bool, err error) {
	if r.err != nil {
		return nil, false, r.err
	}
	for range min(limit, r.most, int(r.left.Load())) {
		r.left.Add(-1)
		events = append(events, revoked())
	}
	return events, r.left.Load() > 0, nil
}

func TestDeleteInBatches(t *testing.T) {
	f := newFixture(t)
	org := f.doomed(t, "acme", 0)
	f.now.Add(int64(25 * time.Hour))
	first, second := &few{most: 3}, &few{most: 1000}
	first.left.Store(7)
	second.left.Store(700)
	if _, done, err := f.worker("eu-west", first, second).Delete(t.Context()); done != 1 || err != nil {
		t.Fatalf("Delete = %d, %v", done, err)
	}
	if first.left.Load() != 0 || second.left.Load() != 0 {
		t.Errorf("%d and %d are left", first.left.Load(), second.left.Load())
	}
	if got := f.tail(t, org, 3+707); got != "OrganizationDeleted" {
		t.Errorf("the last event is %q", got)
	}
}

// An organization that cannot be deleted holds up no other, and is tried again.
func TestDeletionThatFails(t *testing.T) {
	f := newFixture(t)
	bad := &few{err: errors.New("broken")}
	acme := f.doomed(t, "acme", 1)
	f.now.Add(int64(time.Second))
	other := f.doomed(t, "other", 0)
	f.now.Add(int64(25 * time.Hour))
	only := onlyOf{acme, bad}
	w := f.worker("eu-west", deletion.Tokens{Clock: f.clock}, only)
	if due, done, err := w.Delete(t.Context()); due != 2 || done != 1 || !errors.Is(err, bad.err) {
		t.Errorf("Delete = %d, %d, %v", due, done, err)
	}
	if f.state(t, other) != deleted || f.state(t, acme) == deleted {
		t.Errorf("states %v and %v", f.state(t, acme), f.state(t, other))
	}
	if got := f.tail(t, acme, 4); got != "" {
		t.Errorf("a commit that failed left %q", got)
	}
	bad.err = nil
	if due, _, _ := w.Delete(t.Context()); due != 0 {
		t.Error("what failed is tried again at once")
	}
	f.now.Add(int64(6 * time.Minute))
	if _, done, err := w.Delete(t.Context()); done != 1 || err != nil {
		t.Errorf("later: %d, %v", done, err)
	}
}

// onlyOf is a Removal for one organization.
type onlyOf struct {
	org string
	of  deletion.Removal
}

func (r onlyOf) Remove(ctx context.Context, tx pgx.Tx, org string, limit int) ([]proto.Message, bool, error) {
	if org != r.org {
		return nil, false, nil
	}
	return r.of.Remove(ctx, tx, org, limit)
}

// Workers of several processes delete everything once.
func TestDeleteTogether(t *testing.T) {
	f := newFixture(t)
	orgs := []string{f.doomed(t, "acme", 2), f.doomed(t, "globex", 2), f.doomed(t, "initech", 2)}
	f.now.Add(int64(25 * time.Hour))
	var wait sync.WaitGroup
	var done atomic.Int64
	for range 3 {
		wait.Go(func() {
			_, n, err := f.worker("eu-west", deletion.Tokens{Clock: f.clock}).Delete(t.Context())
			if err != nil {
				t.Error(err)
			}
			done.Add(int64(n))
		})
	}
	wait.Wait()
	if done.Load() != 3 {
		t.Errorf("%d deletions, want 3", done.Load())
	}
	for _, org := range orgs {
		if got := f.tail(t, org, 5); got != "ApiTokenRevoked ApiTokenRevoked OrganizationDeleted" {
			t.Errorf("events %q", got)
		}
	}
}

func TestRunEnds(t *testing.T) {
	f := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.worker("eu-west").Run(ctx) }()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func revoked() proto.Message { return &eventv1.ApiTokenRevoked{Token: id.New(id.Token)} }
