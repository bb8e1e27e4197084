package logout_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/outbound"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
	"github.com/meridian-iam/meridian/services/sessions/internal/ending"
	"github.com/meridian-iam/meridian/services/sessions/internal/logout"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

const (
	region = "eu-west"
	issuer = "https://id.example.com"
)

// fixture is a database with a key to sign with, and a clock that the test moves.
type fixture struct {
	db  *sqldb.DB
	log *eventlog.Store
	key *jose.Private

	mu sync.Mutex
	at time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	key, err := jose.Generate(jose.ES256, region)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{db: sqltest.New(t), key: key, at: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)}
	f.log = eventlog.New(eventlog.Config{DB: f.db, Region: region, Clock: f.clock})
	return f
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *fixture) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = f.at.Add(d)
}

// Sign implements logout.Signer.
func (f *fixture) Sign(algorithm jose.Algorithm, typ string, claims any) (string, error) {
	if algorithm != f.key.Algorithm() {
		return "", fmt.Errorf("no key of %s", algorithm)
	}
	return f.key.Sign(typ, claims)
}

// teller is one of a process of its own.
func (f *fixture) teller() *logout.Teller { return f.tellerBy(outbound.Options{}) }

// tellerBy is a teller by rules about what is sent.
func (f *fixture) tellerBy(o outbound.Options) *logout.Teller {
	return logout.New(logout.Options{
		DB: f.db, Transport: o, Keys: f, Region: region, Clock: f.clock, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
}

// tell tells once, and says how many were tried.
func (f *fixture) tell(t *testing.T, teller *logout.Teller) int {
	t.Helper()
	tried, err := teller.Tell(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tried
}

// client registers one that is told at a URI.
func (f *fixture) client(t *testing.T, to string) string {
	t.Helper()
	created := &eventv1.ClientCreated{Client: id.New(id.Client), Settings: &eventv1.ClientSettings{
		Name: "Shop", IdTokenAlgorithm: "ES256", BackchannelLogoutUri: to, BackchannelLogoutSessionRequired: to != "",
	}}
	f.change(t, &store.Client{}, created)
	return created.GetClient()
}

func (f *fixture) change(t *testing.T, c *store.Client, event proto.Message) {
	t.Helper()
	f.write(t, func(ctx context.Context, tx pgx.Tx) error {
		return store.ChangeClient(ctx, tx, c, store.ClientChange{Events: []proto.Message{event}, At: f.clock(), HomeRegion: region})
	})
}

func (f *fixture) found(clientID string) *store.Client {
	return &store.Client{State: client.State{ID: clientID}, HomeRegion: region}
}

func (f *fixture) write(t *testing.T, work func(ctx context.Context, tx pgx.Tx) error) {
	t.Helper()
	if err := f.db.Write(t.Context(), work); err != nil {
		t.Fatal(err)
	}
}

// signIn starts a session of a user, in which clients are given something.
func (f *fixture) signIn(t *testing.T, user string, clients ...string) (sessionID string) {
	t.Helper()
	sessionID = id.New(id.Session)
	now := f.clock()
	f.write(t, func(ctx context.Context, tx pgx.Tx) error {
		expires := now.Add(720 * time.Hour)
		s := store.Session{State: session.State{
			ID: sessionID, User: user, ACR: "aal1", AuthenticatedAt: now, StartedAt: now, LastSeenAt: now, ExpiresAt: expires,
		}, HomeRegion: region}
		copy(s.Hash[:], sessionID)
		if err := store.InsertSession(ctx, tx, s); err != nil {
			return err
		}
		events := []proto.Message{&eventv1.SessionStarted{
			Session: sessionID, User: user, Acr: "aal1", AuthenticatedAt: timestamppb.New(now), ExpiresAt: timestamppb.New(expires),
		}}
		for _, c := range clients {
			g := store.Grant{State: grant.State{
				ID: id.New(id.Grant), Status: grant.Issued, Session: sessionID, User: user, Client: c, IssuedAt: now, ExpiresAt: now.Add(15 * time.Minute),
			}, Issuer: issuer, HomeRegion: region}
			if err := store.InsertGrant(ctx, tx, g); err != nil {
				return err
			}
			if err := store.PutParty(ctx, tx, g, expires); err != nil {
				return err
			}
			events = append(events, &eventv1.GrantGiven{Grant: g.ID, Session: sessionID, User: user, Client: c, ExpiresAt: timestamppb.New(g.ExpiresAt)})
		}
		_, err := f.log.Append(ctx, tx, eventlog.Append{Log: user, Expected: f.head(ctx, tx, user), HomeRegion: region, Actor: nobody().Actor(), Events: events})
		return err
	})
	return sessionID
}

func (f *fixture) head(ctx context.Context, tx pgx.Tx, log string) uint64 {
	head, err := f.log.Head(ctx, tx, log)
	if err != nil {
		return 0
	}
	return head.Sequence
}

func nobody() principal.Principal {
	return principal.Principal{Kind: principal.Service, ID: "sessions"}
}

// end ends what it is told to, as the service does.
func (f *fixture) end(t *testing.T, of ending.Of) {
	t.Helper()
	if _, err := (&ending.Ender{Log: f.log}).End(t.Context(), nobody(), of); err != nil {
		t.Fatal(err)
	}
}

// rows are a user's logouts, newest first.
func (f *fixture) rows(t *testing.T, user string) []store.Logout {
	t.Helper()
	rows, err := store.ListLogouts(t.Context(), f.db.Pool(), user, "", 200)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// application is a client's server, which answers as the test says.
type application struct {
	*httptest.Server

	mu     sync.Mutex
	tokens []string
}

func (f *fixture) application(t *testing.T, answer http.HandlerFunc) *application {
	t.Helper()
	a := &application{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || len(r.URL.Query()["x"]) != 1 {
			t.Errorf("told by %s %s %q", r.Method, r.URL, r.Header)
		}
		a.mu.Lock()
		a.tokens = append(a.tokens, r.PostFormValue("logout_token"))
		a.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(a.Close)
	return a
}

// at is where the application is told.
func (a *application) at() string { return a.URL + "/logout?x=1" }

func (a *application) told() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string{}, a.tokens...)
}

// valid verifies a token as an application does.
//
// Source: OpenID Connect Back-Channel Logout 1.0 section 2.6.
func (f *fixture) valid(t *testing.T, token, client, user, session string) (jti string) {
	t.Helper()
	public, err := f.key.Public()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jose.ParseKeys("keys", `{"keys":[`+public+`]}`)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jose.Verify(token, keys, jose.Expect{Type: "logout+jwt", Algorithms: []jose.Algorithm{jose.ES256}})
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	now := float64(f.clock().Unix())
	events, _ := json.Marshal(claims["events"])
	if claims["iss"] != issuer || claims["aud"] != client || claims["sub"] != user || claims["sid"] != session ||
		claims["iat"] != now || claims["exp"] != now+120 || string(events) != `{"http://schemas.openid.net/event/backchannel-logout":{}}` {
		t.Errorf("the token says %s", payload)
	}
	if _, ok := claims["nonce"]; ok || len(claims) != 8 {
		t.Errorf("the token says more: %s", payload)
	}
	jti, _ = claims["jti"].(string)
	if !strings.HasPrefix(jti, "lgo_") {
		t.Errorf("jti is %q", jti)
	}
	return jti
}

func status(codes ...int) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.WriteHeader(codes[0])
		if len(codes) > 1 {
			codes = codes[1:]
		}
	}
}
