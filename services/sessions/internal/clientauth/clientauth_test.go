package clientauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/sqldb"
	"github.com/meridian-iam/meridian/pkg/sqldb/sqltest"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/answer"
	"github.com/meridian-iam/meridian/services/sessions/internal/clientauth"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

const (
	region = "eu-west"
	issuer = "https://id.example.com"
)

// As the contract numbers them.
const (
	public, basic, post, signs    = 1, 2, 3, 4
	selfSigned, issued            = 5, 6
	code, refresh, ownCredentials = 1, 2, 3
)

// fixture has clients, and a clock that the test moves.
type fixture struct {
	db  *sqldb.DB
	now atomic.Int64
	*clientauth.Authenticator
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{db: sqltest.New(t)}
	f.now.Store(time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC).UnixNano())
	f.Authenticator = &clientauth.Authenticator{DB: f.db, Region: region, Clock: f.clock}
	return f
}

func (f *fixture) clock() time.Time { return time.Unix(0, f.now.Load()).UTC() }

// registered is a client, with the text of its secret.
type registered struct {
	id, secret string
}

// client registers one.
func (f *fixture) client(t *testing.T, method int32, jwks string) registered {
	t.Helper()
	return f.clientWith(t, &eventv1.ClientSettings{Authentication: method, Jwks: jwks})
}

// clientWith registers one with what its way to authenticate needs.
func (f *fixture) clientWith(t *testing.T, settings *eventv1.ClientSettings) registered {
	t.Helper()
	method := settings.GetAuthentication()
	settings.Name, settings.GrantTypes, settings.RedirectUris = "app", []int32{code, refresh}, []string{"https://app.example/callback"}
	if method != public {
		settings.GrantTypes = append(settings.GrantTypes, ownCredentials)
	}
	created := client.Create{ID: id.New(id.Client), Settings: settings, Secret: id.New(id.ClientSecret)}
	events, err := created.Decide()
	if err != nil {
		t.Fatal(err)
	}
	random := [32]byte([]byte(created.ID + "--"))
	text, hash := client.NewSecret(random)
	f.change(t, "", events, hash)
	return registered{created.ID, text.Reveal()}
}

// change changes a client's rows.
func (f *fixture) change(t *testing.T, name string, events []proto.Message, hash client.Hash) {
	t.Helper()
	err := f.db.Write(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		row := store.Client{}
		if name != "" {
			var err error
			if row, err = store.FindClient(ctx, tx, name); err != nil {
				return err
			}
		}
		return store.ChangeClient(ctx, tx, &row, store.ClientChange{Events: events, At: f.clock(), HomeRegion: region, Hash: hash})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// call is what a client sends.
type call struct {
	headers []string
	form    url.Values
	// shown are the certificates of TLS, the client's own first.
	shown []*x509.Certificate
}

func inHeader(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func withHeader(headers ...string) call { return call{headers: headers, form: url.Values{}} }

// withForm takes names and values by turns.
func withForm(parameters ...string) call {
	form := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		form.Add(parameters[i], parameters[i+1])
	}
	return call{form: form}
}

func (c call) and(parameters ...string) call {
	for name, values := range withForm(parameters...).form {
		c.form[name] = append(c.form[name], values...)
	}
	return c
}

func (f *fixture) authenticate(t *testing.T, c call) (store.Client, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth2/token?client_id=of_the_query", http.NoBody)
	for _, h := range c.headers {
		r.Header.Add("Authorization", h)
	}
	if len(c.shown) > 0 {
		r.TLS = &tls.ConnectionState{PeerCertificates: c.shown}
	}
	return f.Authenticate(t.Context(), r, c.form, issuer)
}

// check fails the test unless a call is answered with a code, or taken with "".
func (f *fixture) check(t *testing.T, c call, want string) {
	t.Helper()
	row, err := f.authenticate(t, c)
	if want == "" {
		if err != nil || row.ID == "" || row.Method() == 0 {
			t.Errorf("refused: %v", err)
		}
		return
	}
	var refusal *answer.Error
	if !errors.As(err, &refusal) || refusal.Code != want || row.ID != "" {
		t.Fatalf("%+v, %v; want %s", row, err, want)
	}
	unauthorized := refusal.Status == http.StatusUnauthorized && strings.HasPrefix(refusal.Challenge, `Basic realm="`)
	if (want == answer.InvalidClient) != unauthorized {
		t.Errorf("%+v: 401 with a challenge is for invalid_client", refusal)
	}
	for _, values := range c.form {
		for _, value := range values {
			if len(value) > 8 && strings.Contains(refusal.Error(), value) {
				t.Errorf("%v quotes %q", refusal, value)
			}
		}
	}
}

const (
	taken         = ""
	invalidClient = answer.InvalidClient
	invalid       = answer.InvalidRequest
)

func TestSecrets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app, poster, spa := f.client(t, basic, ""), f.client(t, post, ""), f.client(t, public, "")
	for name, tc := range map[string]struct {
		call call
		want string
	}{
		"basic":                       {withHeader(inHeader(app.id, app.secret)), taken},
		"basic, percent-encoded":      {withHeader(inHeader(strings.ReplaceAll(app.id, "_", "%5F"), strings.ReplaceAll(app.secret, "_", "%5f"))), taken},
		"basic in small letters":      {withHeader("basic" + strings.TrimPrefix(inHeader(app.id, app.secret), "Basic")), taken},
		"basic, named in the form":    {withHeader(inHeader(app.id, app.secret)).and("client_id", app.id), taken},
		"basic, another in the form":  {withHeader(inHeader(app.id, app.secret)).and("client_id", poster.id), invalid},
		"basic, wrong secret":         {withHeader(inHeader(app.id, app.secret+"x")), invalidClient},
		"basic, another's secret":     {withHeader(inHeader(app.id, poster.secret)), invalidClient},
		"basic, no secret":            {withHeader(inHeader(app.id, "")), invalidClient},
		"basic, not percent-encoded":  {withHeader(inHeader(app.id, "%zz")), invalidClient},
		"basic, id not encoded":       {withHeader(inHeader("%", app.secret)), invalidClient},
		"basic without a colon":       {withHeader("Basic " + base64.StdEncoding.EncodeToString([]byte(app.id))), invalidClient},
		"basic, not base64":           {withHeader("Basic ~"), invalidClient},
		"basic, too long":             {withHeader(inHeader(app.id, strings.Repeat("a", 8000))), invalidClient},
		"another scheme":              {withHeader("Bearer " + app.secret), invalidClient},
		"basic of a client of forms":  {withHeader(inHeader(poster.id, poster.secret)), invalidClient},
		"basic of a public client":    {withHeader(inHeader(spa.id, "")), invalidClient},
		"unknown":                     {withHeader(inHeader(id.New(id.Client), app.secret)), invalidClient},
		"no client id":                {withHeader(inHeader("\x00' OR 1=1", app.secret)), invalidClient},
		"two headers":                 {withHeader(inHeader(app.id, app.secret), inHeader(app.id, app.secret)), invalid},
		"form":                        {withForm("client_id", poster.id, "client_secret", poster.secret), taken},
		"form, wrong secret":          {withForm("client_id", poster.id, "client_secret", "wrong secret"), invalidClient},
		"form, encoded twice":         {withForm("client_id", poster.id, "client_secret", strings.ReplaceAll(poster.secret, "_", "%5F")), invalidClient},
		"form, too long":              {withForm("client_id", poster.id, "client_secret", strings.Repeat("a", 2000)), invalidClient},
		"form of a client of headers": {withForm("client_id", app.id, "client_secret", app.secret), invalidClient},
		"form without an id":          {withForm("client_secret", poster.secret), invalidClient},
		"secret twice":                {withForm("client_id", poster.id, "client_secret", poster.secret, "client_secret", poster.secret), invalid},
		"id twice":                    {withForm("client_id", spa.id, "client_id", spa.id), invalid},
		"public":                      {withForm("client_id", spa.id), taken},
		"public, an empty secret":     {withForm("client_id", spa.id, "client_secret", ""), taken},
		"public, some secret":         {withForm("client_id", spa.id, "client_secret", "some secret"), invalidClient},
		"nothing":                     {withForm(), invalidClient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.check(t, tc.call, tc.want)
		})
	}
}

// O13 of the attacks that others met: a public client's place is taken by nobody who
// would have to prove something.
func TestO13PublicClientImpersonation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app, poster := f.client(t, basic, ""), f.client(t, post, "")
	signer := newSigner(t)
	machine := f.client(t, signs, signer.set(t))
	for name, c := range map[string]call{
		"secret of a confidential client omitted":          withForm("client_id", app.id),
		"secret of a confidential client empty":            withForm("client_id", poster.id, "client_secret", ""),
		"client_credentials with no secret":                withForm("client_id", poster.id, "grant_type", "client_credentials"),
		"client_credentials with no secret in the header":  withHeader(inHeader(app.id, "")).and("grant_type", "client_credentials"),
		"assertion omitted":                                withForm("client_id", machine.id),
		"a secret where an assertion is wanted":            withForm("client_id", machine.id, "client_secret", machine.secret),
		"the hash of a secret that is there for nobody":    withForm("client_id", id.New(id.Client), "client_secret", ""),
		"an assertion without an algorithm for the secret": withForm("client_id", app.id, "client_assertion", "e30.e30.", "client_assertion_type", assertionType),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := f.authenticate(t, c)
			if _, ok := errors.AsType[*answer.Error](err); !ok {
				t.Errorf("%v: want a refusal", err)
			}
		})
	}
	// A public client has no grant in which nobody takes part.
	settings := &eventv1.ClientSettings{Name: "spa", Authentication: public, GrantTypes: []int32{ownCredentials}}
	if _, err := client.Complete(settings, ""); err == nil {
		t.Error("a public client may have client_credentials")
	}
}

// Both secrets of a change are taken, and each ends when it is said to.
func TestTwoSecrets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app := f.client(t, basic, "")
	row, err := store.FindClient(t.Context(), f.db.Pool(), app.id)
	if err != nil {
		t.Fatal(err)
	}
	events, err := client.AddSecret{ID: id.New(id.ClientSecret), At: f.clock(), EndOthers: f.clock().Add(time.Hour)}.Decide(row.State)
	if err != nil {
		t.Fatal(err)
	}
	text, hash := client.NewSecret([32]byte{1})
	f.change(t, app.id, events, hash)
	f.check(t, withHeader(inHeader(app.id, app.secret)), taken)
	f.check(t, withHeader(inHeader(app.id, text.Reveal())), taken)
	f.now.Add(int64(time.Hour))
	f.check(t, withHeader(inHeader(app.id, app.secret)), invalidClient)
	f.check(t, withHeader(inHeader(app.id, text.Reveal())), taken)
	f.change(t, app.id, []proto.Message{&eventv1.ClientDisabled{Client: app.id}}, client.Hash{})
	f.check(t, withHeader(inHeader(app.id, text.Reveal())), invalidClient)
	f.change(t, app.id, []proto.Message{&eventv1.ClientEnabled{Client: app.id}}, client.Hash{})
	f.check(t, withHeader(inHeader(app.id, text.Reveal())), taken)
	f.change(t, app.id, []proto.Message{&eventv1.ClientDeleted{Client: app.id}}, client.Hash{})
	f.check(t, withHeader(inHeader(app.id, text.Reveal())), invalidClient)
}

// One who is unknown, disabled, wrong or of another method is told the same.
func TestRefusalsAreAlike(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app, disabled, poster := f.client(t, basic, ""), f.client(t, basic, ""), f.client(t, post, "")
	f.change(t, disabled.id, []proto.Message{&eventv1.ClientDisabled{Client: disabled.id}}, client.Hash{})
	said := map[string]bool{}
	for _, header := range []string{
		inHeader(id.New(id.Client), app.secret), inHeader(app.id, "wrong"), inHeader(disabled.id, disabled.secret), inHeader(poster.id, poster.secret),
	} {
		_, err := f.authenticate(t, withHeader(header))
		var refusal *answer.Error
		if !errors.As(err, &refusal) {
			t.Fatal(err)
		}
		said[refusal.Error()] = true
	}
	if len(said) != 1 {
		t.Errorf("told apart: %v", said)
	}
}

// A database that is away says nothing about the client.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	app := f.client(t, basic, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/oauth2/token", http.NoBody)
	r.Header.Set("Authorization", inHeader(app.id, app.secret))
	_, err := f.Authenticate(ctx, r, url.Values{}, issuer)
	var refusal *answer.Error
	if _, ok := fault.As(err); !ok || errors.As(err, &refusal) {
		t.Errorf("%v, want a fault", err)
	}
}

func TestAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	signer := newSigner(t)
	machine := f.client(t, signs, signer.set(t))
	c := asserting(signer.sign(t, f.claims(machine.id)))
	var wait sync.WaitGroup
	var firsts atomic.Int32
	for range 8 {
		wait.Go(func() {
			if _, err := f.authenticate(t, c); err == nil {
				firsts.Add(1)
			}
		})
	}
	wait.Wait()
	if firsts.Load() != 1 {
		t.Errorf("one assertion was taken %d times", firsts.Load())
	}
}

// FuzzAuthenticate: whatever comes is refused with an answer of OAuth. The database is
// asked for nothing that is no client id.
func FuzzAuthenticate(f *testing.F) {
	f.Add("Basic YTpi", "", "", "", "")
	f.Add("", "cli_1", "secret", "", "")
	f.Add("", "", "", "e30.eyJzdWIiOiJhIn0.e30", assertionType)
	f.Fuzz(func(t *testing.T, header, name, secret, token, kind string) {
		if id.Valid(id.Client, name) || strings.HasPrefix(strings.ToLower(header), "basic") && len(header) > 30 || len(token) > 50 {
			return // may name a client: there is no database here
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody)
		if header != "" {
			r.Header["Authorization"] = []string{header}
		}
		form := url.Values{"client_id": {name}, "client_secret": {secret}, "client_assertion": {token}, "client_assertion_type": {kind}}
		row, err := (&clientauth.Authenticator{Clock: time.Now}).Authenticate(t.Context(), r, form, issuer)
		var refusal *answer.Error
		if !errors.As(err, &refusal) || row.ID != "" {
			t.Errorf("%+v, %v", row, err)
		}
	})
}
