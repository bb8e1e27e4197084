package oidc_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/dial"
	"github.com/meridian-iam/meridian/pkg/eventlog"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/secret"
	"github.com/meridian-iam/meridian/pkg/serve"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityeventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/clientauth"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/grant"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/session"
	"github.com/meridian-iam/meridian/services/sessions/internal/ending"
	"github.com/meridian-iam/meridian/services/sessions/internal/keys"
	"github.com/meridian-iam/meridian/services/sessions/internal/kms"
	"github.com/meridian-iam/meridian/services/sessions/internal/oidc"
	"github.com/meridian-iam/meridian/services/sessions/internal/people"
	"github.com/meridian-iam/meridian/services/sessions/internal/rpc"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

const (
	region = "eu-west"
	issuer = "https://id.example.com"
	// host is where requests are sent that name the issuer.
	host = "http://id.example.com"
)

// fixture is the provider on a database of its own, beside an identity to which every
// user and organization is active. Requests come in memory.
type fixture struct {
	db       *sqldb.DB
	log      *eventlog.Store
	secrets  grant.Secrets
	ring     *keys.Ring
	provider *oidc.Provider
	// bearers are the API tokens that there are.
	bearers bearers
	// manages are the users who may do everything.
	manages manages
	http    interface {
		Do(r *http.Request) (*http.Response, error)
	}
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{db: sqltest.New(t), secrets: grant.Secrets{MAC: newMAC()}, bearers: bearers{}, manages: manages{}}
	f.log = eventlog.New(eventlog.Config{DB: f.db, Region: region})
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	wrap, err := aead.New(handle)
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	f.ring = keys.New(keys.Options{
		DB: f.db, Log: f.log, Region: region, PlatformRegion: region, Wrapper: kms.Local{AEAD: wrap}, Clock: time.Now, Logger: quiet,
	})
	for range 2 { // what is to be made is made by the next look
		if err := f.ring.Advance(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	caller := serveIdentity(t)
	f.provider = &oidc.Provider{
		DB: f.db, Log: f.log, Region: region, Clock: time.Now, Logger: quiet, Issuers: map[string]string{"id.example.com": issuer}, Keys: f.ring,
		Tokens: accesstoken.NewVerifier(accesstoken.Config{
			Keys: f.ring.Public, Issuers: []string{issuer}, Anybody: true, Deny: accesstoken.NewDeny(nil),
		}),
		Secrets: f.secrets, Clients: &clientauth.Authenticator{DB: f.db, Region: region, Clock: time.Now},
		People: &people.People{
			Users:         identityv1connect.NewUserServiceClient(caller.HTTP, caller.BaseURL, caller.Options...),
			Members:       identityv1connect.NewMembershipServiceClient(caller.HTTP, caller.BaseURL, caller.Options...),
			Organizations: identityv1connect.NewOrganizationServiceClient(caller.HTTP, caller.BaseURL, caller.Options...),
		},
		Ender: &ending.Ender{Log: f.log}, Lives: session.Lives{Idle: time.Hour, Absolute: 24 * time.Hour},
		Refusals: oidc.NewRefusals(quiet, nil, nil), Guesses: serve.NewAddresses(oidc.TypedCodes, nil),
	}
	f.provider.Registry = &rpc.Clients{DB: f.db, Log: f.log, PlatformRegion: region, Clock: time.Now, Organizations: f.provider.People.Organizations}
	server := serve.New(serve.Options{
		Log: quiet, Verifier: f.bearers, AccessTokens: f.provider.Tokens, Delegation: f.manages,
		Resource: &serve.Resource{Identifiers: []string{issuer}, Issuers: []string{issuer}},
	})
	f.provider.Mount(server)
	run(t, server)
	f.http = server.Client()
	return f
}

// bearers knows API tokens. They are made before the first request.
type bearers map[string]principal.Principal

// Verify implements principal.Verifier.
func (b bearers) Verify(_ context.Context, bearer secret.String) (principal.Principal, error) {
	p, known := b[bearer.Reveal()]
	if !known {
		return p, fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_REJECTED, "the token is unknown, expired or revoked")
	}
	return p, nil
}

// manages are users, by id, who may do everything in an organization.
type manages map[string]string

// Allowed implements principal.Delegation.
func (m manages) Allowed(_ context.Context, subject, organization, permission string) (bool, error) {
	return m[subject] == organization && permission == "can_manage_clients", nil
}

// run runs a server until the test ends.
func run(t testing.TB, server *serve.Server) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// newMAC is a keyed hash under a key that nobody else has.
func newMAC() grant.MAC {
	key := []byte(rand.Text())
	return func(purpose string, parts ...string) []byte {
		mac := hmac.New(sha256.New, key)
		for _, part := range append([]string{purpose}, parts...) {
			mac.Write(binary.AppendUvarint(nil, uint64(len(part))))
			mac.Write([]byte(part))
		}
		return mac.Sum(nil)
	}
}

// identity answers from memory that everybody may do everything.
type identity struct {
	identityv1connect.UnimplementedUserServiceHandler
	identityv1connect.UnimplementedMembershipServiceHandler
	identityv1connect.UnimplementedOrganizationServiceHandler
}

// serveIdentity serves it until the test ends, and returns this service's way to it.
func serveIdentity(t testing.TB) *dial.Client {
	t.Helper()
	key, err := principal.GenerateServiceKey()
	if err != nil {
		t.Fatal(err)
	}
	server := serve.New(serve.Options{ServiceKey: key})
	server.Mount(identityv1connect.NewUserServiceHandler(identity{}, server.HandlerOptions()...))
	server.Mount(identityv1connect.NewMembershipServiceHandler(identity{}, server.HandlerOptions()...))
	server.Mount(identityv1connect.NewOrganizationServiceHandler(identity{}, server.HandlerOptions()...))
	run(t, server)
	return dial.New(dial.Options{HTTPClient: server.Client(), Service: "sessions", Key: key})
}

// GetUser implements UserService.
func (identity) GetUser(_ context.Context, req *identityv1.GetUserRequest) (*identityv1.GetUserResponse, error) {
	return &identityv1.GetUserResponse{User: &identityv1.User{Id: req.GetUser(), State: identityv1.UserState_USER_STATE_ACTIVE}}, nil
}

// GetMember implements MembershipService.
func (identity) GetMember(_ context.Context, req *identityv1.GetMemberRequest) (*identityv1.GetMemberResponse, error) {
	return &identityv1.GetMemberResponse{Membership: &identityv1.Membership{
		User: req.GetUser(), Organization: req.GetOrganization(), State: identityv1.MembershipState_MEMBERSHIP_STATE_ACTIVE,
	}}, nil
}

// GetOrganization implements OrganizationService.
func (identity) GetOrganization(_ context.Context, req *identityv1.GetOrganizationRequest) (*identityv1.GetOrganizationResponse, error) {
	return &identityv1.GetOrganizationResponse{Organization: &identityv1.Organization{
		Id: req.GetOrganization(), State: identityv1.OrganizationState_ORGANIZATION_STATE_ACTIVE,
	}}, nil
}

// append appends to a log as identity does.
func (f *fixture) append(t testing.TB, log string, event proto.Message) {
	t.Helper()
	f.write(t, func(ctx context.Context, tx pgx.Tx) error {
		_, err := f.log.Append(ctx, tx, eventlog.Append{
			Log: log, HomeRegion: region, Events: []proto.Message{event}, Actor: principal.Principal{Kind: principal.Service, ID: "identity"}.Actor(),
		})
		return err
	})
}

func (f *fixture) write(t testing.TB, work func(ctx context.Context, tx pgx.Tx) error) {
	t.Helper()
	if err := f.db.Write(t.Context(), work); err != nil {
		t.Fatal(err)
	}
}

// application is a client and its secret.
type application struct{ id, secret string }

// client makes one of the platform's, which may do everything.
func (f *fixture) client(t testing.TB) application {
	t.Helper()
	return f.clientOf(t, "", &eventv1.ClientSettings{
		GrantTypes: []int32{
			int32(sessionsv1.GrantType_GRANT_TYPE_AUTHORIZATION_CODE), int32(sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN),
			int32(sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS),
		},
		RedirectUris: []string{"https://shop.example/callback"}, Scopes: []string{"openid", "offline_access"},
	})
}

// clientOf makes one of an organization, or of the platform, with a secret.
func (f *fixture) clientOf(t testing.TB, organization string, given *eventv1.ClientSettings) application {
	t.Helper()
	a := application{id.New(id.Client), rand.Text()}
	given.Name, given.Authentication = "Example Shop", int32(sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_BASIC)
	settings, err := client.Complete(given, organization)
	if err != nil {
		t.Fatal(err)
	}
	events, err := client.Create{ID: a.id, Organization: organization, Settings: settings, Secret: id.New(id.ClientSecret)}.Decide()
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, func(ctx context.Context, tx pgx.Tx) error {
		return store.ChangeClient(ctx, tx, &store.Client{}, store.ClientChange{
			Events: events, Hash: client.HashSecret(secret.NewString(a.secret)), At: time.Now(), HomeRegion: region,
		})
	})
	return a
}

// user makes one, without a session.
func (f *fixture) user(t testing.TB) string {
	t.Helper()
	user := id.New(id.User)
	f.append(t, user, &identityeventv1.UserCreated{User: user})
	return user
}

// session is one of a user, and the cookie of its browser.
func (f *fixture) session(t testing.TB, user string) (name string, cookie *http.Cookie) {
	t.Helper()
	at, text := time.Now().UTC().Truncate(time.Microsecond), rand.Text()
	name = id.New(id.Session)
	row := store.Session{HomeRegion: region, Hash: sha256.Sum256([]byte(text))}
	row.Apply(&eventv1.SessionStarted{
		Session: name, User: user, Acr: session.AAL1, Amr: []string{"pwd"}, AuthenticatedAt: timestamppb.New(at),
		ExpiresAt: timestamppb.New(at.Add(24 * time.Hour)),
	})
	row.LastSeenAt = at
	f.write(t, func(ctx context.Context, tx pgx.Tx) error { return store.InsertSession(ctx, tx, row) })
	return name, &http.Cookie{Name: sessionCookie, Value: name + "." + text}
}

const verifier = "a-verifier-of-forty-three-characters-or-more"

// given is what a user gave to a client just now, in a session, with some of it changed.
func (f *fixture) given(t testing.TB, a application, change func(*store.Grant)) store.Grant {
	t.Helper()
	user := f.user(t)
	name, _ := f.session(t, user)
	at := time.Now().UTC().Truncate(time.Microsecond)
	challenge := sha256.Sum256([]byte(verifier))
	g := store.Grant{
		State: grant.State{
			ID: id.New(id.Grant), Status: grant.Issued, Session: name, User: user, Client: a.id, IssuedAt: at, ExpiresAt: at.Add(24 * time.Hour),
			Refreshable: true, RotatedAt: at, Idle: 24 * time.Hour, RedirectURI: "https://shop.example/callback",
			Challenge: base64.RawURLEncoding.EncodeToString(challenge[:]),
		},
		Issuer: issuer, Scopes: []string{"openid"}, ACR: session.AAL1, AMR: []string{"pwd"}, AuthenticatedAt: at, HomeRegion: region,
	}
	_, _ = rand.Read(g.Salt[:]) // never fails, by its contract
	if change != nil {
		change(&g)
	}
	f.write(t, func(ctx context.Context, tx pgx.Tx) error { return store.InsertGrant(ctx, tx, g) })
	return g
}

// granted is what a user gave a client in an organization: a family of which the first
// refresh token is given.
func (f *fixture) granted(t testing.TB, a application, organization string) (refresh string) {
	t.Helper()
	g := f.given(t, a, func(g *store.Grant) {
		g.Status, g.Generation, g.Grace, g.Organization = grant.Redeemed, 1, 10*time.Second, organization
		g.Scopes = []string{"openid", "offline_access"}
	})
	return f.secrets.Refresh(g.ID, g.Salt, 1).Reveal()
}

// organization opens one, with its log.
func (f *fixture) organization(t testing.TB) string {
	t.Helper()
	org := id.New(id.Organization)
	f.append(t, org, &identityeventv1.OrganizationCreated{Organization: org, Slug: org, Name: org, HomeRegion: region})
	return org
}

// post posts a form as a client, and returns the answer, which must be one of status 200.
func (f *fixture) post(t testing.TB, a application, path string, form url.Values) (answer map[string]any, ok bool) {
	t.Helper()
	status, answer := f.answer(t, a, path, form)
	if status != http.StatusOK {
		t.Errorf("%s: %d %v", path, status, answer)
	}
	return answer, status == http.StatusOK
}

// answer posts a form as a client; status 0: there is no answer, and the test has failed.
func (f *fixture) answer(t testing.TB, a application, path string, form url.Values) (status int, answer map[string]any) {
	t.Helper()
	// Not of the test's context: workers of a benchmark outlive a failure of it.
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, host+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(a.id, a.secret)
	response, err := f.http.Do(r)
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		t.Errorf("%s: %d %s, %v", path, response.StatusCode, body, err)
		return 0, nil
	}
	return response.StatusCode, answer
}
