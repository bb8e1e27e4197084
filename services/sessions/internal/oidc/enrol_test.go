package oidc_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/dial"
	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/principal"
	"github.com/meridian-iam/meridian/pkg/serve"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	identityv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1"
	"github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/v1/identityv1connect"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/pages"
	"github.com/meridian-iam/meridian/services/sessions/internal/store"
)

// wallet keeps the contract of CredentialService, in memory, for one user.
type wallet struct {
	identityv1connect.UnimplementedCredentialServiceHandler
	identityv1connect.UnimplementedDomainServiceHandler

	mu   sync.Mutex
	held []*identityv1.Credential
	// begun are ceremonies by idempotency key; changes are the calls that change something.
	begun   map[string]string
	changes []string
}

const rightCode = "123456"

func (w *wallet) serve(t *testing.T) *dial.Client {
	t.Helper()
	key, err := principal.GenerateServiceKey()
	if err != nil {
		t.Fatal(err)
	}
	server := serve.New(serve.Options{ServiceKey: key})
	server.Mount(identityv1connect.NewCredentialServiceHandler(w, server.HandlerOptions()...))
	server.Mount(identityv1connect.NewDomainServiceHandler(w, server.HandlerOptions()...))
	run(t, server)
	return dial.New(dial.Options{HTTPClient: server.Client(), Service: "sessions", Key: key})
}

func (w *wallet) change(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, name)
}

// take returns what was changed, and forgets it.
func (w *wallet) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.changes
	w.changes = nil
	return out
}

func (w *wallet) ceremony(key string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.begun[key] == "" {
		w.begun[key] = id.New(id.Authentication)
	}
	return w.begun[key]
}

// ListCredentials implements CredentialService.
func (w *wallet) ListCredentials(context.Context, *identityv1.ListCredentialsRequest) (*identityv1.ListCredentialsResponse, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &identityv1.ListCredentialsResponse{Credentials: w.held}, nil
}

// BeginTotp implements CredentialService.
func (w *wallet) BeginTotp(_ context.Context, r *identityv1.BeginTotpRequest) (*identityv1.BeginTotpResponse, error) {
	w.change("begin totp")
	ceremony := w.ceremony(r.GetIdempotencyKey())
	return &identityv1.BeginTotpResponse{Ceremony: ceremony, Uri: "otpauth://totp/x?secret=" + ceremony, Secret: strings.ToUpper(ceremony)}, nil
}

// FinishTotp implements CredentialService.
func (w *wallet) FinishTotp(_ context.Context, r *identityv1.FinishTotpRequest) (*identityv1.FinishTotpResponse, error) {
	if r.GetCode() != rightCode {
		return nil, fault.New(fault.Precondition, commonv1.Reason_CREDENTIAL_REJECTED, "rejected").With("rule", "code")
	}
	w.change("finish totp " + r.GetCeremony())
	return &identityv1.FinishTotpResponse{}, nil
}

// BeginPasskey implements CredentialService.
func (w *wallet) BeginPasskey(_ context.Context, r *identityv1.BeginPasskeyRequest) (*identityv1.BeginPasskeyResponse, error) {
	w.change("begin passkey")
	return &identityv1.BeginPasskeyResponse{Ceremony: w.ceremony(r.GetIdempotencyKey()), Options: "{}"}, nil
}

// IssueRecoveryCodes implements CredentialService.
func (w *wallet) IssueRecoveryCodes(context.Context, *identityv1.IssueRecoveryCodesRequest) (*identityv1.IssueRecoveryCodesResponse, error) {
	w.change("codes")
	return &identityv1.IssueRecoveryCodesResponse{Codes: []string{"abcd-efgh"}}, nil
}

// SetPassword implements CredentialService.
func (w *wallet) SetPassword(context.Context, *identityv1.SetPasswordRequest) (*identityv1.SetPasswordResponse, error) {
	w.change("password")
	return &identityv1.SetPasswordResponse{}, nil
}

// DeleteCredential implements CredentialService.
func (w *wallet) DeleteCredential(context.Context, *identityv1.DeleteCredentialRequest) (*identityv1.DeleteCredentialResponse, error) {
	w.change("delete")
	return &identityv1.DeleteCredentialResponse{}, nil
}

// withWallet is a fixture whose users have what a wallet has.
func withWallet(t *testing.T) (*fixture, *wallet) {
	t.Helper()
	f, w := newFixture(t), &wallet{begun: map[string]string{}}
	caller := w.serve(t)
	f.provider.People.Credentials = identityv1connect.NewCredentialServiceClient(caller.HTTP, caller.BaseURL, caller.Options...)
	f.provider.People.Domains = identityv1connect.NewDomainServiceClient(caller.HTTP, caller.BaseURL, caller.Options...)
	var err error
	if f.provider.Pages, err = pages.New(pages.Config{}); err != nil {
		t.Fatal(err)
	}
	return f, w
}

// signedIn is the cookie of a session that proved something some time ago.
func (f *fixture) signedIn(t *testing.T, ago time.Duration, acr string, amr ...string) *http.Cookie {
	t.Helper()
	at, text := time.Now().Add(-ago).UTC().Truncate(time.Microsecond), rand.Text()
	row := store.Session{HomeRegion: region, Hash: sha256.Sum256([]byte(text))}
	row.Apply(&eventv1.SessionStarted{
		Session: id.New(id.Session), User: f.user(t), Acr: acr, Amr: amr, AuthenticatedAt: timestamppb.New(at), ExpiresAt: timestamppb.New(at.Add(24 * time.Hour)),
	})
	row.LastSeenAt = at
	f.write(t, func(ctx context.Context, tx pgx.Tx) error { return store.InsertSession(ctx, tx, row) })
	return &http.Cookie{Name: sessionCookie, Value: row.ID + "." + text}
}

// send posts a form from a page of a site, "" for this one, or gets a page.
func (f *fixture) send(t *testing.T, method, path string, form url.Values, site string, cookies ...*http.Cookie) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, host+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if site != "" {
		r.Header.Set("Sec-Fetch-Site", site)
		r.Header.Set("Origin", "https://elsewhere.example")
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	res, err := f.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// TestWhoMayEnrol: O40 to O42 at each page and each form: nothing is begun, added or
// removed, and what is missing is asked for.
func TestWhoMayEnrol(t *testing.T) {
	t.Parallel()
	f, w := withWallet(t)
	passkey := []*identityv1.Credential{{Id: id.New(id.Credential), Kind: identityv1.CredentialKind_CREDENTIAL_KIND_PASSKEY, Passkey: &identityv1.Passkey{UserVerified: true}}}
	flagged := []*identityv1.Credential{{Id: id.New(id.Credential), Kind: identityv1.CredentialKind_CREDENTIAL_KIND_PASSKEY, Passkey: &identityv1.Passkey{Flagged: true}}}
	for name, tc := range map[string]struct {
		cookie *http.Cookie
		held   []*identityv1.Credential
		site   string
		want   string
	}{
		"nobody":                                {nil, nil, "", "/sign-in"},
		"an old session":                        {f.signedIn(t, 11*time.Minute, "aal2", "pwd", "otp", "mfa"), passkey, "", "/sign-in"},
		"a first factor, and there is another":  {f.signedIn(t, 0, "aal1", "pwd", "otp"), passkey, "", "/sign-in"},
		"a recovery by mail, with a passkey":    {f.signedIn(t, 0, "aal1", "otp", "recovery"), passkey, "", "/sign-in"},
		"a passkey that is not taken any more":  {f.signedIn(t, 0, "aal1", "otp", "recovery"), flagged, "", "/sign-in"},
		"another site's page":                   {f.signedIn(t, 0, "aal2", "pwd", "otp", "mfa"), passkey, "cross-site", ""},
		"a page of the same site, elsewhere":    {f.signedIn(t, 0, "aal2", "pwd", "otp", "mfa"), passkey, "same-site", ""},
		"a session whose secret is another one": {&http.Cookie{Name: sessionCookie, Value: id.New(id.Session) + ".x"}, nil, "", "/sign-in"},
	} {
		t.Run(name, func(t *testing.T) {
			w.held = tc.held
			var cookies []*http.Cookie
			if tc.cookie != nil {
				cookies = append(cookies, tc.cookie)
			}
			for _, path := range []string{"/account/totp", "/account/passkey", "/account/recovery-codes", "/account/password", "/account/revoke"} {
				form := url.Values{"new_password": {"correct horse battery staple"}, "id": {id.New(id.Credential)}}
				res := f.send(t, http.MethodPost, path, form, tc.site, cookies...)
				if status := res.StatusCode; tc.want == "" && status != http.StatusForbidden || tc.want != "" && (status != http.StatusSeeOther || res.Header.Get("Location") != tc.want) {
					t.Errorf("%s: %d to %q", path, status, res.Header.Get("Location"))
				}
				if tc.want == "" || path == "/account/revoke" {
					continue
				}
				res = f.send(t, http.MethodGet, path, nil, "", cookies...)
				back := slices.IndexFunc(res.Cookies(), func(c *http.Cookie) bool { return c.Name == "__Host-meridian_return" })
				if res.Header.Get("Location") != tc.want || back < 0 || !res.Cookies()[back].HttpOnly || !res.Cookies()[back].Secure {
					t.Errorf("%s: to %q, cookies %v", path, res.Header.Get("Location"), res.Cookies())
				}
			}
			if got := w.take(); len(got) > 0 {
				t.Errorf("changed: %v", got)
			}
		})
	}
	w.held = passkey
	strong := f.signedIn(t, time.Minute, "aal2", "hwk", "user", "mfa")
	for path, want := range map[string]string{
		"/account/totp": "begin totp", "/account/passkey": "begin passkey", "/account/recovery-codes": "codes", "/account/password": "password", "/account/revoke": "delete",
	} {
		res := f.send(t, http.MethodPost, path, url.Values{"new_password": {"correct horse battery staple"}, "id": {passkey[0].GetId()}}, "", strong)
		if got := strings.Join(w.take(), ", "); got != want || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, changed %q, want %q, Cache-Control %q", path, res.StatusCode, got, want, res.Header.Get("Cache-Control"))
		}
		if f.send(t, http.MethodGet, path, nil, "", strong); len(w.take()) > 0 {
			t.Errorf("%s: a page that is looked at changes something", path)
		}
	}
	// What leads back is a page of ours.
	for _, value := range []string{"https://evil.example", "//evil.example", "/account", ""} {
		res := f.send(t, http.MethodGet, "/account", nil, "", strong, &http.Cookie{Name: "__Host-meridian_return", Value: value})
		if res.StatusCode != http.StatusOK {
			t.Errorf("%q: %d to %q", value, res.StatusCode, res.Header.Get("Location"))
		}
	}
}

// TestEnrolmentIsOfItsSession: O43: the form of one session finds its own enrolment
// again, and no other session's form does.
func TestEnrolmentIsOfItsSession(t *testing.T) {
	t.Parallel()
	f, w := withWallet(t)
	one, other := f.signedIn(t, 0, "aal1", "pwd", "otp"), f.signedIn(t, 0, "aal1", "pwd", "otp")
	form := url.Values{"enrolment": {"one"}, "totp": {"000000"}}
	for _, c := range []*http.Cookie{one, other, one} {
		f.send(t, http.MethodPost, "/account/totp", form, "", c)
	}
	if len(w.begun) != 2 {
		t.Errorf("%d ceremonies of two sessions", len(w.begun))
	}
	w.take()
	form.Set("totp", "123 456")
	res := f.send(t, http.MethodPost, "/account/totp", form, "", one)
	if got := w.take(); len(got) != 2 || !strings.HasPrefix(got[1], "finish totp") || res.Header.Get("Location") != "/account" {
		t.Errorf("to %q, changed %v", res.Header.Get("Location"), got)
	}
}
