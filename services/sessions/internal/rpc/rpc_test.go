package rpc_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/dial"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	"github.com/meridian-iam/meridian/services/sessions/internal/rpc"
)

const region = "eu-west"

// fixture is the service on a database of its own, beside an identity that knows the
// organizations of the test, with a clock that the test moves.
type fixture struct {
	db       *sqldb.DB
	log      *eventlog.Store
	identity *identity
	clients  *rpc.Clients
	ctx      context.Context // the administrator's, for all calls of a test
	now      atomic.Int64
	keys     atomic.Int64
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{db: sqltest.New(t), ctx: admin(t), identity: newIdentity()}
	f.now.Store(time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC).UnixNano())
	f.log = eventlog.New(eventlog.Config{DB: f.db, Region: region, Clock: f.clock})
	caller := f.identity.serve(t)
	f.clients = &rpc.Clients{
		DB: f.db, Log: f.log, PlatformRegion: region, Clock: f.clock,
		Organizations:   identityv1connect.NewOrganizationServiceClient(caller.HTTP, caller.BaseURL, caller.Options...),
		ServiceAccounts: identityv1connect.NewServiceAccountServiceClient(caller.HTTP, caller.BaseURL, caller.Options...),
	}
	return f
}

func (f *fixture) clock() time.Time { return time.Unix(0, f.now.Load()).UTC() }

func (f *fixture) advance(d time.Duration) { f.now.Add(int64(d)) }

// key is an idempotency key that was not used.
func (f *fixture) key() string { return fmt.Sprint("key ", f.keys.Add(1)) }

func admin(t *testing.T) context.Context {
	t.Helper()
	return principal.With(t.Context(), principal.Principal{Kind: principal.APIToken, ID: id.New(id.Token), Level: commonv1.Level_LEVEL_ADMIN})
}

// organization opens one, with its log.
func (f *fixture) organization(t *testing.T) string {
	t.Helper()
	org := id.New(id.Organization)
	f.identity.put(org, identityv1.OrganizationState_ORGANIZATION_STATE_ACTIVE)
	f.append(t, eventlog.Append{Log: org, HomeRegion: region, Events: []proto.Message{
		&identityeventv1.OrganizationCreated{Organization: org, Slug: org, Name: org, HomeRegion: region},
	}})
	return org
}

// append appends to a log as identity does.
func (f *fixture) append(t *testing.T, a eventlog.Append) {
	t.Helper()
	a.Actor = principal.Principal{Kind: principal.Service, ID: "identity"}.Actor()
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.log.Append(ctx, tx, a)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// head is the sequence of a log's last event.
func (f *fixture) head(t *testing.T, log string) uint64 {
	t.Helper()
	head, err := f.log.Head(t.Context(), f.db.Pool(), log)
	if err != nil {
		t.Fatal(err)
	}
	return head.Sequence
}

// events are those of a log after a sequence.
func (f *fixture) events(t *testing.T, log string, after uint64) (out []proto.Message) {
	t.Helper()
	recorded, err := f.log.Read(t.Context(), f.db.Pool(), log, after+1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recorded {
		event, err := r.Message()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, event)
	}
	return out
}

// wantFault fails the test unless err has the reason and, unless it is "", the field.
func wantFault(t *testing.T, err error, reason commonv1.Reason, field string) {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Reason != reason || field != "" && f.Meta["field"] != field {
		t.Errorf("%v, want %s %s", err, reason, field)
	}
}

// identity answers what this service asks identity, over Connect and through its
// authorization.
type identity struct {
	identityv1connect.UnimplementedOrganizationServiceHandler
	identityv1connect.UnimplementedServiceAccountServiceHandler

	mu       sync.Mutex
	states   map[string]identityv1.OrganizationState
	accounts map[string]string // organizations of service accounts
	away     bool
	callers  map[principal.Kind]int
}

func newIdentity() *identity {
	return &identity{
		states: map[string]identityv1.OrganizationState{}, accounts: map[string]string{}, callers: map[principal.Kind]int{},
	}
}

// serve serves it until the test ends, and returns this service's way to it.
func (i *identity) serve(t *testing.T) *dial.Client {
	t.Helper()
	key, err := principal.GenerateServiceKey()
	if err != nil {
		t.Fatal(err)
	}
	server := serve.New(serve.Options{ServiceKey: key})
	server.Mount(identityv1connect.NewOrganizationServiceHandler(i, server.HandlerOptions()...))
	server.Mount(identityv1connect.NewServiceAccountServiceHandler(i, server.HandlerOptions()...))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return dial.New(dial.Options{HTTPClient: server.Client(), Service: "sessions", Key: key})
}

func (i *identity) put(organization string, state identityv1.OrganizationState) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.states[organization] = state
}

func (i *identity) account(organization string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	account := id.New(id.ServiceAccount)
	i.accounts[account] = organization
	return account
}

func (i *identity) leave(away bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.away = away
}

// asked is how often each kind of caller asked.
func (i *identity) asked() map[principal.Kind]int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return maps.Clone(i.callers)
}

// note notes who asks. It is called with the lock held.
func (i *identity) note(ctx context.Context) error {
	caller, _ := principal.From(ctx)
	i.callers[caller.Kind]++
	if i.away {
		return fault.New(fault.Unavailable, commonv1.Reason_DATABASE_UNAVAILABLE, "away")
	}
	return nil
}

// GetOrganization implements OrganizationService.
func (i *identity) GetOrganization(ctx context.Context, req *identityv1.GetOrganizationRequest) (*identityv1.GetOrganizationResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.note(ctx); err != nil {
		return nil, err
	}
	state, known := i.states[req.GetOrganization()]
	if !known {
		return nil, principal.OrganizationNotFound()
	}
	return &identityv1.GetOrganizationResponse{Organization: &identityv1.Organization{Id: req.GetOrganization(), State: state}}, nil
}

// GetServiceAccount implements ServiceAccountService.
func (i *identity) GetServiceAccount(ctx context.Context, req *identityv1.GetServiceAccountRequest) (*identityv1.GetServiceAccountResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.note(ctx); err != nil {
		return nil, err
	}
	if i.accounts[req.GetServiceAccount()] != req.GetOrganization() {
		return nil, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such service account")
	}
	return &identityv1.GetServiceAccountResponse{ServiceAccount: &identityv1.ServiceAccount{Id: req.GetServiceAccount()}}, nil
}
