package meridian_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	meridian "github.com/meridian-iam/meridian/pkg/sdk/go"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// holder is a client with a key that its tokens are bound to.
type holder struct {
	key        *ecdsa.PrivateKey
	thumbprint string
}

func newHolder(t *testing.T) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{key, base64.RawURLEncoding.EncodeToString(sum)}
}

// proof is one for a request with a token.
func (h *holder) proof(t *testing.T, method, uri, token string, at time.Time) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: h.key},
		(&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(token))
	payload, err := json.Marshal(map[string]any{
		"jti": rand.Text(), "htm": method, "htu": uri, "iat": at.Unix(), "ath": base64.RawURLEncoding.EncodeToString(sum[:]),
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestProtect(t *testing.T) {
	t.Parallel()
	p := newProvider(t, 0)
	p.next(p.forever)
	tokens := p.verifies(t, p.url)
	mux := http.NewServeMux()
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := meridian.ClaimsOf(r.Context())
		_, _ = io.WriteString(w, c.Subject)
	})
	mux.Handle("/reports/{id}", tokens.Protect(echo, "read"))
	mux.Handle("/admin", tokens.Protect(echo, "read", "write"))
	mux.Handle(meridian.MetadataPath, tokens.Metadata("read", "write"))
	becomes(t, tokens, p.token(t, "ses_1"), 0)

	h := newHolder(t)
	holds := func(c map[string]any) { c["cnf"] = map[string]any{"jkt": h.thumbprint} }
	certificate := &x509.Certificate{Raw: []byte("a certificate")}
	sum := sha256.Sum256(certificate.Raw)
	shows := func(c map[string]any) {
		c["cnf"] = map[string]any{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}
	}
	free, bound, certified := p.token(t, "ses_1"), p.token(t, "ses_1", holds), p.token(t, "ses_1", shows)
	other := p.token(t, "ses_1", func(c map[string]any) { c["cnf"] = map[string]any{"kid": "x"} })
	const at = reports + "/reports/7"
	again := h.proof(t, "GET", at, bound, p.now())
	for _, tc := range []struct {
		name, path    string
		authorization []string
		proofs        []string
		connection    *tls.ConnectionState
		status        int
		// challenge has what WWW-Authenticate must have, a space between.
		challenge string
	}{
		{"a good token", "/reports/7", []string{"Bearer " + free}, nil, nil, 200, ""},
		{"a scheme in small letters", "/reports/7", []string{"bearer " + free}, nil, nil, 200, ""},
		{"none", "/reports/7", nil, nil, nil, 401, `Bearer resource_metadata="https://reports.example.com/.well-known/oauth-protected-resource" scope="read"`},
		{"another scheme", "/reports/7", []string{"Basic eDp5"}, nil, nil, 400, `error="invalid_request"`},
		{"two", "/reports/7", []string{"Bearer " + free, "Bearer " + free}, nil, nil, 400, `error="invalid_request"`},
		{"no token", "/reports/7", []string{"Bearer "}, nil, nil, 400, `error="invalid_request"`},
		{"nonsense", "/reports/7", []string{"Bearer x"}, nil, nil, 401, `error="invalid_token"`},
		{"a scope too few", "/admin", []string{"Bearer " + free}, nil, nil, 403, `error="insufficient_scope" scope="read write"`},
		{"a bound token", "/reports/7", []string{"DPoP " + bound}, []string{again}, nil, 200, ""},
		{"its proof again", "/reports/7", []string{"DPoP " + bound}, []string{again}, nil, 401, `DPoP error="invalid_dpop_proof" algs="ES256`},
		{"without a proof", "/reports/7", []string{"DPoP " + bound}, nil, nil, 401, `error="invalid_dpop_proof"`},
		{"as a bearer token", "/reports/7", []string{"Bearer " + bound}, nil, nil, 401, `error="invalid_token"`},
		{"another's proof", "/reports/7", []string{"DPoP " + bound}, []string{newHolder(t).proof(t, "GET", at, bound, p.now())}, nil, 401, `error="invalid_dpop_proof"`},
		{"a proof for another path", "/reports/8", []string{"DPoP " + bound}, []string{h.proof(t, "GET", at, bound, p.now())}, nil, 401, `error="invalid_dpop_proof"`},
		{"a proof for another host", "/reports/7", []string{"DPoP " + bound}, []string{h.proof(t, "GET", "https://evil.example/reports/7", bound, p.now())}, nil, 401, `error="invalid_dpop_proof"`},
		{"a bearer token as a bound one", "/reports/7", []string{"DPoP " + free}, []string{h.proof(t, "GET", at, free, p.now())}, nil, 401, `DPoP error="invalid_token"`},
		{"bound to something else", "/reports/7", []string{"Bearer " + other}, nil, nil, 401, `error="invalid_token"`},
		{"a certificate", "/reports/7", []string{"Bearer " + certified}, nil, &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}, 200, ""},
		{"another certificate", "/reports/7", []string{"Bearer " + certified}, nil, &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte("another")}}}, 401, `error="invalid_token"`},
		{"no certificate", "/reports/7", []string{"Bearer " + certified}, nil, nil, 401, `error="invalid_token"`},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, reports+tc.path, nil)
		r.Header["Authorization"], r.TLS = tc.authorization, tc.connection
		r.Header["Dpop"] = tc.proofs
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		says := w.Header().Get("WWW-Authenticate")
		if w.Code != tc.status || tc.status == 200 && (w.Body.String() != "usr_1" || says != "") {
			t.Errorf("%s: %d %q, %s", tc.name, w.Code, w.Body, says)
		}
		for part := range strings.FieldsSeq(tc.challenge) {
			if !strings.Contains(says, part) {
				t.Errorf("%s: challenge %s, without %s", tc.name, says, part)
			}
		}
		if strings.Contains(says+w.Body.String(), free) || strings.Contains(says, bound) {
			t.Errorf("%s: the answer has the token", tc.name)
		}
	}

	// What handlers before took off the path was asked for all the same; a port that the
	// scheme has anyhow is none.
	mux.Handle("/below/", http.StripPrefix("/below", tokens.Protect(echo)))
	for uri, want := range map[string]int{reports + "/below/7": http.StatusOK, reports + "/7": http.StatusUnauthorized} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "https://reports.example.com:443/below/7", nil)
		r.Header.Set("Authorization", "dpop "+bound)
		r.Header.Set("DPoP", h.proof(t, http.MethodDelete, uri, bound, p.now()))
		w := httptest.NewRecorder()
		if mux.ServeHTTP(w, r); w.Code != want {
			t.Errorf("a proof for %s: %d, want %d", uri, w.Code, want)
		}
	}

	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, reports+meridian.MetadataPath, nil)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	var document struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil || document.Resource != reports || len(document.Servers) != 1 ||
		document.Servers[0] != p.url || len(document.Scopes) != 2 {
		t.Errorf("metadata %d %s", w.Code, w.Body)
	}
	r.Host, w = "evil.example", httptest.NewRecorder()
	if mux.ServeHTTP(w, r); w.Code != http.StatusNotFound {
		t.Errorf("the metadata of another host: %d", w.Code)
	}
}

// While it is not known what was revoked nobody is let through, and told why.
func TestProtectKnowsNothing(t *testing.T) {
	t.Parallel()
	p := newProvider(t, 0)
	tokens := p.verifies(t, p.url)
	token := p.token(t, "ses_1")
	becomes(t, tokens, token, commonv1.Reason_SERVICE_UNAVAILABLE)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, reports, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	tokens.Protect(http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
