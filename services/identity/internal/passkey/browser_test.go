package passkey_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/pkg/browsertest"
	"github.com/meridian-iam/meridian/services/identity/internal/passkey"
)

// site is a relying party with pages, that keeps all in memory.
type site struct {
	mu      sync.Mutex
	relying passkey.Relying
	// policy is what sign-ins require.
	policy passkey.Policy
	states map[string]passkey.State
	known  []passkey.Credential
	last   passkey.Assertion
}

const script = `
const post = async (path, body) => {
	const answer = await fetch(path, {method: 'POST', body: JSON.stringify(body ?? {})});
	return [answer.status, await answer.text()];
};
async function register() {
	const [, begun] = await post('/register/begin');
	const {key, options} = JSON.parse(begun);
	const made = await navigator.credentials.create({publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options)});
	return post('/register/finish?key=' + key, made.toJSON());
}
async function signIn() {
	const [, begun] = await post('/sign-in/begin');
	const {key, options} = JSON.parse(begun);
	const got = await navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options)});
	return post('/sign-in/finish?key=' + key, got.toJSON());
}
`

func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><title>Passkeys</title><script>%s</script>`, script)
	})
	mux.HandleFunc("GET /.well-known/webauthn", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		document := s.relying.WellKnown()
		if document == nil {
			http.Error(w, "none", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document)
	})
	mux.HandleFunc("POST /register/begin", s.begin(func() ([]byte, passkey.State, error) {
		return s.relying.BeginRegistration(time.Now(), alice, s.known, passkey.Policy{})
	}))
	mux.HandleFunc("POST /sign-in/begin", s.begin(func() ([]byte, passkey.State, error) {
		return s.relying.BeginAssertion(time.Now(), nil, s.policy)
	}))
	mux.HandleFunc("POST /register/finish", s.finish(func(state passkey.State, response []byte) error {
		c, err := s.relying.FinishRegistration(time.Now(), state, response)
		if err == nil {
			s.known = append(s.known, c)
		}
		return err
	}))
	mux.HandleFunc("POST /sign-in/finish", s.finish(s.signIn))
	return mux
}

// signIn stores what an assertion changes, and refuses a counter that regressed.
func (s *site) signIn(state passkey.State, response []byte) error {
	at := -1
	got, err := s.relying.FinishAssertion(time.Now(), state, response, func(handle, id []byte) (passkey.Credential, error) {
		for i, c := range s.known {
			if bytes.Equal(c.ID, id) && bytes.Equal(c.UserHandle, handle) {
				at = i
				return c, nil
			}
		}
		return passkey.Credential{}, passkey.Refusal{Rule: passkey.RuleCredential}
	})
	if err != nil {
		return err
	}
	s.last = got
	if got.CountRegressed {
		return passkey.Refusal{Rule: passkey.RuleSignCount}
	}
	s.known[at] = got.Credential
	return nil
}

func (s *site) begin(begin func() ([]byte, passkey.State, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		options, state, err := begin()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		key := fmt.Sprintf("%x", sha256.Sum256(state.Challenge))
		s.states[key] = state
		_ = json.NewEncoder(w).Encode(map[string]any{"key": key, "options": json.RawMessage(options)})
	}
}

func (s *site) finish(finish func(passkey.State, []byte) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		state, key := s.states[r.FormValue("key")], r.FormValue("key")
		delete(s.states, key)
		response, err := io.ReadAll(io.LimitReader(r.Body, passkey.MaxResponse+1))
		if err == nil {
			err = finish(state, response)
		}
		refusal, refused := asRefusal(err)
		switch {
		case refused:
			http.Error(w, string(refusal.Rule), http.StatusForbidden)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// kept are the registered credentials, and the last assertion.
func (s *site) kept() ([]passkey.Credential, passkey.Assertion) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.known), s.last
}

// user is a page with an authenticator that verifies its user.
type user struct {
	*browsertest.Page
	authenticator string
}

func newUser(t *testing.T, b *browsertest.Browser, url string) user {
	t.Helper()
	u := user{Page: b.Page(t)}
	u.CDP("WebAuthn.enable", nil, nil)
	var made struct {
		ID string `json:"authenticatorId"`
	}
	u.CDP("WebAuthn.addVirtualAuthenticator", map[string]any{"options": map[string]any{
		"protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
		"isUserVerified": true, "automaticPresenceSimulation": true, "defaultBackupEligibility": true,
	}}, &made)
	u.authenticator = made.ID
	if status := u.Goto(url); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	return u
}

// held is a credential in the authenticator, as the DevTools protocol has it.
type held map[string]any

// credential returns the only credential that the authenticator holds.
func (u user) credential(t *testing.T) held {
	t.Helper()
	var all struct {
		Credentials []held `json:"credentials"`
	}
	u.CDP("WebAuthn.getCredentials", map[string]any{"authenticatorId": u.authenticator}, &all)
	if len(all.Credentials) != 1 {
		t.Fatalf("the authenticator holds %d credentials", len(all.Credentials))
	}
	return all.Credentials[0]
}

// become replaces the credential by a copy with another counter.
func (u user) become(t *testing.T, count uint32) {
	t.Helper()
	c := u.credential(t)
	u.CDP("WebAuthn.removeCredential", map[string]any{"authenticatorId": u.authenticator, "credentialId": c["credentialId"]}, nil)
	c["signCount"] = count
	u.CDP("WebAuthn.addCredential", map[string]any{"authenticatorId": u.authenticator, "credential": c}, nil)
}

// answers expects what the site answers to a ceremony of the page.
func (u user) answers(t *testing.T, ceremony string, status int, text string) {
	t.Helper()
	var got [2]any
	if err := u.TryEval(ceremony, &got); err != nil {
		t.Fatalf("%s: %v", ceremony, err)
	}
	if got[0] != float64(status) || strings.TrimSpace(got[1].(string)) != text {
		t.Errorf("%s: answered %v, want %d %s", ceremony, got, status, text)
	}
}

func TestBrowser(t *testing.T) {
	s := &site{states: map[string]passkey.State{}}
	server := httptest.NewServer(s.handler())
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	home := "http://localhost:" + at.Port()
	s.relying = passkey.Relying{ID: "localhost", Name: "Test", Origins: []string{home}}
	u := newUser(t, browsertest.Open(t), home)

	u.answers(t, "register()", http.StatusOK, "")
	known, _ := s.kept()
	if len(known) != 1 {
		t.Fatalf("%d credentials are registered", len(known))
	}
	first := known[0]
	if !first.UserVerified || !first.Discoverable || !first.BackupEligible || first.AttestationFormat != "none" || len(first.Transports) != 1 {
		t.Errorf("registered %+v", first)
	}
	t.Logf("registered a key of algorithm %d", first.Algorithm)
	if err := u.TryEval("register()", nil); err == nil || !strings.Contains(err.Error(), "already registered") {
		t.Errorf("the same authenticator again: %v", err)
	}

	// Nobody says who signs in.
	u.answers(t, "signIn()", http.StatusOK, "")
	u.answers(t, "signIn()", http.StatusOK, "")
	known, last := s.kept()
	count := known[0].SignCount
	if count <= first.SignCount || !last.UserVerified {
		t.Errorf("counter %d after %d, %+v", count, first.SignCount, last)
	}

	// A clone that was made before is behind.
	u.become(t, 0)
	u.answers(t, "signIn()", http.StatusForbidden, "sign_count")
	if known, last := s.kept(); known[0].SignCount != count || !last.CountRegressed {
		t.Errorf("the clone changed the counter from %d to %d", count, known[0].SignCount)
	}
	u.become(t, count)
	u.answers(t, "signIn()", http.StatusOK, "")

	// A device that cannot verify its user: the browser lets it in only where
	// that is not required.
	u.CDP("WebAuthn.setUserVerified", map[string]any{"authenticatorId": u.authenticator, "isUserVerified": false}, nil)
	if err := u.TryEval("signIn()", nil); err == nil {
		t.Error("signed in without verification")
	}
	s.mu.Lock()
	s.policy.UserVerification = passkey.Discouraged
	s.mu.Unlock()
	u.answers(t, "signIn()", http.StatusOK, "")
	if _, last := s.kept(); last.UserVerified {
		t.Error("the user was verified")
	}

	// Another device holds a credential that the site does not know.
	s.mu.Lock()
	s.known = nil
	s.mu.Unlock()
	u.answers(t, "signIn()", http.StatusForbidden, "credential")
	if errors := u.Errors(); len(errors) != 2 { // of the two refused answers
		t.Errorf("errors %q", errors)
	}
}

// A browser uses the credentials of another domain where the relying party's
// document names the origin, and not where it does not.
func TestBrowserAtRelatedOrigin(t *testing.T) {
	s := &site{states: map[string]passkey.State{}}
	server := httptest.NewTLSServer(s.handler())
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.relying = passkey.Relying{ID: "meridian.test", Name: "Test", Origins: []string{"https://meridian.test"}, RelatedOrigins: []string{"https://product.test"}}
	key := sha256.Sum256(server.Certificate().RawSubjectPublicKeyInfo)
	b := browsertest.Open(t, "--host-resolver-rules=MAP *.test:443 "+at.Host,
		"--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(key[:]))

	product := newUser(t, b, "https://product.test")
	product.answers(t, "register()", http.StatusOK, "")
	product.answers(t, "signIn()", http.StatusOK, "")
	stranger := newUser(t, b, "https://stranger.test")
	if err := stranger.TryEval("signIn()", nil); err == nil || !strings.Contains(err.Error(), "SecurityError") && !strings.Contains(err.Error(), "relying party ID") {
		t.Errorf("at an origin that is not related: %v", err)
	}
}
