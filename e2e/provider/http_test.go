package provider_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/meridian-iam/meridian/e2e/harness"
)

// verifier is a code verifier, and challenge its S256.
const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// application is a client as its developer knows it.
type application struct{ id, secret string }

// request is an authorization request, with some parameters changed: "" leaves one out.
func (w *world) request(a application, change ...string) url.Values {
	q := url.Values{
		"client_id": {a.id}, "redirect_uri": {w.callback()}, "response_type": {"code"}, "scope": {"openid offline_access"},
		"state": {"the-state"}, "nonce": {"the-nonce"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(change); i += 2 {
		if q.Set(change[i], change[i+1]); change[i+1] == "" {
			q.Del(change[i])
		}
	}
	return q
}

func (w *world) authorizeURL(q url.Values) string {
	return w.issuer + "/oauth2/authorize?" + q.Encode()
}

// reply is what an endpoint answers.
type reply struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

// post sends a form to an endpoint, authenticated as an application if it has a secret.
func (w *world) post(t *testing.T, a application, path string, fields url.Values) reply {
	t.Helper()
	return w.postWith(t, a, path, fields, nil)
}

func (w *world) postWith(t *testing.T, a application, path string, fields url.Values, header http.Header) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.issuer+path, strings.NewReader(fields.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	maps.Copy(req.Header, header)
	if a.secret != "" {
		req.SetBasicAuth(url.QueryEscape(a.id), url.QueryEscape(a.secret))
	}
	return send(t, req)
}

// caller gives up on what does not answer.
var caller = &http.Client{Timeout: 30 * time.Second}

func send(t *testing.T, req *http.Request) reply {
	t.Helper()
	res, err := caller.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := reply{status: res.StatusCode, header: res.Header, text: string(text)}
	_ = json.Unmarshal(text, &out.body) // not all answers are JSON
	return out
}

// str is a member of an answer, "" for none.
func (r reply) str(name string) string {
	s, _ := r.body[name].(string)
	return s
}

// refused expects an error of OAuth, and nothing issued.
func (r reply) refused(t *testing.T, status int, code string) {
	t.Helper()
	if r.status != status || r.str("error") != code || r.str("access_token") != "" {
		t.Errorf("answer %d %s, want %d %s", r.status, r.text, status, code)
	}
	if r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q", r.header.Get("Cache-Control"))
	}
}

// code signs somebody in and returns the code that the application gets.
func (w *world) code(t *testing.T, v *visitor, q url.Values, email string) string {
	t.Helper()
	v.open(w.authorizeURL(q))
	if v.back == "" {
		v.signIn(email)
	}
	back, err := url.Parse(v.back)
	if err != nil || back.Query().Get("code") == "" {
		t.Fatalf("called back at %q, page %d %s", v.back, v.status, v.body)
	}
	return back.Query().Get("code")
}

// redeem exchanges a code, with some parameters changed.
func (w *world) redeem(t *testing.T, a application, code string, change ...string) reply {
	t.Helper()
	fields := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {w.callback()}, "code_verifier": {verifier},
	}
	if a.secret == "" {
		fields.Set("client_id", a.id)
	}
	for i := 0; i+1 < len(change); i += 2 {
		if fields.Set(change[i], change[i+1]); change[i+1] == "" {
			fields.Del(change[i])
		}
	}
	return w.post(t, a, "/oauth2/token", fields)
}

// refresh uses a refresh token.
func (w *world) refresh(t *testing.T, a application, token string, change ...string) reply {
	t.Helper()
	fields := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	if a.secret == "" {
		fields.Set("client_id", a.id)
	}
	for i := 0; i+1 < len(change); i += 2 {
		fields.Set(change[i], change[i+1])
	}
	return w.post(t, a, "/oauth2/token", fields)
}

// active says whether introspection takes a token for one that can be used.
func (w *world) active(t *testing.T, a application, token string) bool {
	t.Helper()
	r := w.post(t, a, "/oauth2/introspect", url.Values{"token": {token}})
	if r.status != http.StatusOK {
		t.Fatalf("introspection answers %d %s", r.status, r.text)
	}
	active, _ := r.body["active"].(bool)
	if !active && len(r.body) != 1 {
		t.Errorf("of a token that cannot be used it says %s", r.text)
	}
	return active
}

// eventually waits for something that is bound to happen.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	harness.Eventually(t, what, func() error {
		if happened() {
			return nil
		}
		return errNotYet
	})
}

var errNotYet = errors.New("not yet")
