package oidc_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/device"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// allowed is a device that somebody allowed, by its code.
func (f *fixture) allowed(t testing.TB, a application, g store.Grant) url.Values {
	t.Helper()
	code := rand.Text()
	ok, err := store.InsertDevice(t.Context(), f.db, store.Device{
		State: device.State{
			Status: device.Allowed, Client: a.id, Interval: device.Interval, PolledAt: g.IssuedAt.Add(-time.Minute), ExpiresAt: g.IssuedAt.Add(time.Minute),
		},
		Hash: sha256.Sum256([]byte(code)), Issuer: issuer, Scopes: g.Scopes, Grant: g.ID, HomeRegion: region,
	})
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {code}}
}

// cutOff ends all that a subject was given until now.
func (f *fixture) cutOff(t testing.TB, subject string, at time.Time) {
	t.Helper()
	f.write(t, func(ctx context.Context, tx pgx.Tx) error { return store.PutCutoff(ctx, tx, subject, region, at) })
}

// later moves the provider's clock on.
func (f *fixture) later(by time.Duration) {
	f.provider.Clock = func() time.Time { return time.Now().Add(by) }
}

// status is that of an answer of the token endpoint, and its access token.
func (f *fixture) status(t testing.TB, a application, form url.Values) (status int, token string) {
	t.Helper()
	status, said := f.answer(t, a, "/oauth2/token", form)
	token, _ = said["access_token"].(string)
	return status, token
}

func machines(grants ...sessionsv1.GrantType) *eventv1.ClientSettings {
	s := &eventv1.ClientSettings{Scopes: []string{"openid"}}
	for _, g := range grants {
		s.GrantTypes = append(s.GrantTypes, int32(g))
	}
	return s
}

// TestNothingIsCarriedOverACutoff: what was given before all was ended is worth nothing
// after it, in whichever form it comes.
func TestNothingIsCarriedOverACutoff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.client(t)
	television := f.clientOf(t, "", machines(sessionsv1.GrantType_GRANT_TYPE_DEVICE_CODE, sessionsv1.GrantType_GRANT_TYPE_REFRESH_TOKEN))
	redeem := func(g store.Grant) url.Values {
		return url.Values{
			"grant_type": {"authorization_code"}, "code": {f.secrets.Code(g.ID, g.Salt).Reveal()}, "redirect_uri": {g.RedirectURI}, "code_verifier": {verifier},
		}
	}
	if status, _ := f.status(t, a, redeem(f.given(t, a, nil))); status != http.StatusOK {
		t.Fatalf("the control, a code: %d", status)
	}
	if status, _ := f.status(t, television, f.allowed(t, television, f.given(t, television, nil))); status != http.StatusOK {
		t.Fatalf("the control, a device: %d", status)
	}
	code, allowed := f.given(t, a, nil), f.allowed(t, television, f.given(t, television, nil))
	at := time.Now().UTC().Truncate(time.Microsecond)
	f.cutOff(t, a.id, at)
	f.cutOff(t, television.id, at)
	f.cutOff(t, a.id, at.Add(-time.Hour)) // by a clock that is behind: the latest stays
	f.later(2 * time.Second)
	if status, _ := f.status(t, a, redeem(code)); status != http.StatusBadRequest {
		t.Errorf("a code: %d", status)
	}
	if status, _ := f.status(t, television, allowed); status != http.StatusBadRequest {
		t.Errorf("a device: %d", status)
	}
}

// TestExchangeIsNotFasterThanACutoff: a process that has not heard of a cutoff yet makes
// nothing of a token from before it.
func TestExchangeIsNotFasterThanACutoff(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	organization, user := f.organization(t), f.user(t)
	const first, second = "https://a.example", "https://b.example"
	settings := machines(sessionsv1.GrantType_GRANT_TYPE_TOKEN_EXCHANGE)
	settings.Scopes, settings.Resources = []string{"read"}, []string{first, second}
	api := f.clientOf(t, organization, settings)
	settings = machines(sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS)
	settings.Scopes, settings.Resources = []string{"read"}, []string{first}
	front := f.clientOf(t, organization, settings)
	issued := time.Now().Add(-10 * time.Second)
	token, err := f.ring.Sign("ES256", "at+jwt", accesstoken.Claims{
		Issuer: issuer, Subject: user, Audience: []string{first}, Client: front.id, Scope: "read", Organization: organization,
		IssuedAt: issued.Unix(), Expires: issued.Unix() + 300, ID: id.New(id.Token), Session: id.New(id.Session), Grant: id.New(id.Grant),
	})
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "resource": {second},
	}
	if status, _ := f.status(t, api, form); status != http.StatusOK {
		t.Fatalf("the control: %d", status)
	}
	for _, subject := range []string{organization, front.id, api.id} {
		f.cutOff(t, subject, issued.Add(-time.Second))
		if status, _ := f.status(t, api, form); status != http.StatusOK {
			t.Errorf("after a cutoff that was before it: %d", status)
		}
	}
	f.cutOff(t, front.id, time.Now())
	if status, _ := f.status(t, api, form); status != http.StatusBadRequest {
		t.Errorf("after a cutoff: %d", status)
	}
}

// away is identity that does not answer.
type away struct {
	identityv1connect.UserServiceClient
}

// GetUser implements identityv1connect.UserServiceClient.
func (away) GetUser(context.Context, *identityv1.GetUserRequest) (*identityv1.GetUserResponse, error) {
	return nil, fault.New(fault.Unavailable, commonv1.Reason_SERVICE_UNAVAILABLE, "away")
}

// TestADeviceComesAgain: a device that could not be answered has lost nothing.
func TestADeviceComesAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.clientOf(t, "", machines(sessionsv1.GrantType_GRANT_TYPE_DEVICE_CODE))
	form := f.allowed(t, a, f.given(t, a, nil))
	working := f.provider.People.Users
	f.provider.People.Users = away{working}
	if status, _ := f.status(t, a, form); status != http.StatusServiceUnavailable {
		t.Fatalf("identity is away: %d", status)
	}
	f.provider.People.Users = working
	form.Set("scope", strings.Repeat("a", 10))
	if status, _ := f.status(t, a, form); status != http.StatusBadRequest {
		t.Fatalf("a scope that was not granted: %d", status)
	}
	form.Del("scope")
	if status, token := f.status(t, a, form); status != http.StatusOK || token == "" {
		t.Errorf("identity is back: %d", status)
	}
	if status, _ := f.status(t, a, form); status != http.StatusBadRequest {
		t.Errorf("it comes once more: %d", status)
	}
}

// TestOthersTokensAreNotIntrospected: that a client of an organization names an API as its
// own does not show it what other organizations' tokens for that API are good for.
func TestOthersTokensAreNotIntrospected(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const api = "https://api.example"
	organization := f.organization(t)
	apiOf := func(organization string) application {
		settings := machines(sessionsv1.GrantType_GRANT_TYPE_CLIENT_CREDENTIALS)
		settings.Resources = []string{api}
		return f.clientOf(t, organization, settings)
	}
	token, err := f.ring.Sign("ES256", "at+jwt", accesstoken.Claims{
		Issuer: issuer, Subject: f.user(t), Audience: []string{api}, Client: id.New(id.Client), Organization: organization,
		IssuedAt: time.Now().Unix(), Expires: time.Now().Unix() + 300, ID: id.New(id.Token),
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		of   string
		want bool
	}{"the platform's": {"", true}, "the organization's": {organization, true}, "another's": {f.organization(t), false}} {
		status, said := f.answer(t, apiOf(tc.of), "/oauth2/introspect", url.Values{"token": {token}})
		if active, _ := said["active"].(bool); status != http.StatusOK || active != tc.want || !active && len(said) != 1 {
			t.Errorf("%s: %d %v", name, status, said)
		}
	}
}
