package provider_test

import (
	"crypto/rand"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

// keyServer is an issuer that publishes keys over HTTPS, which it may exchange.
type keyServer struct {
	*httptest.Server

	mu    sync.Mutex
	keys  string
	asked int
}

func publishes(t *testing.T, keys string) *keyServer {
	t.Helper()
	p := &keyServer{keys: keys}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_, _ = w.Write([]byte(`{"issuer":"` + p.URL + `","jwks_uri":"` + p.URL + `/jwks"}`))
		case "/jwks":
			p.asked++
			_, _ = w.Write([]byte(p.keys))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *keyServer) put(keys string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

func (p *keyServer) number() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// near is the YAML of a provider that fetches from this machine, by the certificate of a
// test's server.
func near(t *testing.T, p *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "authority.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return "  outbound:\n    networks: [\"127.0.0.0/8\", \"::1/128\"]\n    authorities_file: " + path + "\n"
}

// TestFetchedKeys: keys are where the issuer says, or elsewhere; one that it takes instead
// of another counts without a change of the trust, and a change of the trust counts at
// once.
func TestFetchedKeys(t *testing.T) {
	old, next := rivest(t, "2026-01"), elliptical384(t, "2026-02")
	p := publishes(t, old.keys(t))
	world := startWith(t, harness.ProviderOptions{Sessions: near(t, p.Server)})
	w := world.workloads(t, "analytical")
	build := func(by party) string {
		return by.sign(t, map[string]any{
			"iss": p.URL, "sub": "repo:example/app:ref:refs/heads/main", "aud": w.audience, "exp": time.Now().Add(time.Minute).Unix(), "jti": rand.Text(),
		}, nil)
	}
	trust := w.trust(t, &sessionsv1.TrustSettings{Issuer: p.URL, Subject: "repo:example/app:*"})
	if n := p.number(); n != 0 {
		t.Fatalf("asked %d times before anything was shown", n)
	}

	// What is wrong without any key has nobody asked.
	for name, claims := range map[string]map[string]any{
		"for another": {"iss": p.URL, "sub": "repo:example/app:x", "aud": "https://evil.example", "exp": time.Now().Unix() + 60},
		"expired":     {"iss": p.URL, "sub": "repo:example/app:x", "aud": w.audience, "exp": time.Now().Unix() - 60},
		"of another":  {"iss": "https://evil.example", "sub": "repo:example/app:x", "aud": w.audience, "exp": time.Now().Unix() + 60},
		"not one":     {"iss": p.URL, "sub": "repo:evil/app:x", "aud": w.audience, "exp": time.Now().Unix() + 60},
	} {
		w.show(t, trust, old.sign(t, claims, nil)).refused(t, http.StatusBadRequest, "invalid_grant")
		if n := p.number(); n != 0 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
	w.show(t, trust, old.sign(t, map[string]any{"iss": p.URL}, map[string]any{"typ": "at+jwt"})).refused(t, http.StatusBadRequest, "invalid_grant")
	w.show(t, "tru_00000000000000000000000000", build(old)).refused(t, http.StatusBadRequest, "invalid_grant")

	given := func(trust, assertion string) string {
		t.Helper()
		r := w.show(t, trust, assertion)
		if r.status != http.StatusOK {
			t.Fatalf("answer %d %s", r.status, r.text)
		}
		return r.str("access_token")
	}
	for range 3 {
		given(trust, build(old))
	}
	if n := p.number(); n != 1 {
		t.Errorf("asked %d times for keys that are kept", n)
	}

	// The old key is out, the new one is in.
	p.put(next.keys(t))
	given(trust, build(next))
	w.show(t, trust, build(old)).refused(t, http.StatusBadRequest, "invalid_grant")
	for range 5 { // keys that nobody has are not looked for each time
		w.show(t, trust, build(rivest(t, rand.Text()))).refused(t, http.StatusBadRequest, "invalid_grant")
	}
	if n := p.number(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	testChangedTrust(t, w, p, trust, func() string { return build(next) })
}

// testChangedTrust: a change counts for what is shown next, and ends no token.
func testChangedTrust(t *testing.T, w *workloads, p *keyServer, trust string, assertion func() string) {
	api := w.api(t)
	token := w.show(t, trust, assertion()).str("access_token")
	there, err := w.Trusts.GetTrust(t.Context(), &sessionsv1.GetTrustRequest{Organization: w.organization, Trust: trust})
	if err != nil {
		t.Fatal(err)
	}
	change := func(how func(*sessionsv1.TrustSettings)) {
		t.Helper()
		how(there.GetTrust().GetSettings())
		_, err := w.Trusts.UpdateTrust(t.Context(), &sessionsv1.UpdateTrustRequest{
			Organization: w.organization, Trust: trust, Settings: there.GetTrust().GetSettings(), IdempotencyKey: rand.Text(),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	change(func(s *sessionsv1.TrustSettings) { s.Subject = "repo:example/other:*" })
	r := w.show(t, trust, assertion())
	r.refused(t, http.StatusBadRequest, "invalid_grant")
	if !strings.Contains(r.str("error_description"), "sub is not one of the trust's subjects") { // whoever has it signed is told
		t.Errorf("the answer is %s", r.text)
	}
	if !w.active(t, api, token) {
		t.Error("a token from before has ended")
	}
	change(func(s *sessionsv1.TrustSettings) {
		s.Subject, s.JwksUri, s.MaxScopes = "repo:example/app:*", p.URL+"/jwks", []string{"read"}
	})
	if r := w.show(t, trust, assertion()); r.status != http.StatusOK || r.str("scope") != "read" {
		t.Errorf("answer %d %s", r.status, r.text)
	}
	change(func(s *sessionsv1.TrustSettings) { s.JwksUri = p.URL + "/absent" })
	w.show(t, trust, assertion()).refused(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	// Deleting it ends what it gave.
	if _, err := w.Trusts.DeleteTrust(t.Context(), &sessionsv1.DeleteTrustRequest{Organization: w.organization, Trust: trust, IdempotencyKey: rand.Text()}); err != nil {
		t.Fatal(err)
	}
	w.inactive(t, api, token)
}

// TestNoKeysOfPrivateNetworks: without permission this machine is not asked, nor believed.
func TestNoKeysOfPrivateNetworks(t *testing.T) {
	key := rivest(t, "a")
	p := publishes(t, key.keys(t))
	w := start(t).workloads(t, "analytical")
	trust := w.trust(t, &sessionsv1.TrustSettings{Issuer: p.URL, Subject: "repo:example/app:*"})
	w.show(t, trust, key.sign(t, map[string]any{
		"iss": p.URL, "sub": "repo:example/app:x", "aud": w.audience, "exp": time.Now().Unix() + 60,
	}, nil)).refused(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	if n := p.number(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}
