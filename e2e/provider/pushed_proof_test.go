package provider_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// thumbprint names a key as dpop_jkt does.
func thumbprint(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	sum, err := (&gojose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// proof makes a proof for an endpoint, with the nonce that it asks for.
func (w *world) proof(t *testing.T, key *ecdsa.PrivateKey, path, nonce string) http.Header {
	t.Helper()
	signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.ES256, Key: key}, (&gojose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(map[string]any{
		"jti": rand.Text(), "htm": "POST", "htu": w.issuer + path, "iat": time.Now().Unix(), "nonce": nonce,
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
	return http.Header{"Dpop": {text}}
}

// proved posts to an endpoint with a proof.
func (w *world) proved(t *testing.T, a application, key *ecdsa.PrivateKey, path string, fields url.Values) reply {
	t.Helper()
	asked := w.postWith(t, a, path, fields, w.proof(t, key, path, ""))
	asked.refused(t, http.StatusBadRequest, "use_dpop_nonce")
	return w.postWith(t, a, path, fields, w.proof(t, key, path, asked.header.Get("DPoP-Nonce")))
}

// testPushedProof: a key that is proved when a request is pushed, or that it names, is the
// one with which its code is redeemed.
func testPushedProof(t *testing.T, w *world, a application) {
	key, other := newKey(t), newKey(t)
	w.proved(t, a, other, "/oauth2/par", w.request(a, "dpop_jkt", thumbprint(t, key))).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
	for name, change := range map[string][]string{"proved": nil, "proved and named": {"dpop_jkt", thumbprint(t, key)}} {
		pushed := w.proved(t, a, key, "/oauth2/par", w.request(a, change...))
		if pushed.status != http.StatusCreated {
			t.Fatalf("%s: %d %s", name, pushed.status, pushed.text)
		}
		code := w.code(t, w.visitor(t), url.Values{"client_id": {a.id}, "request_uri": {pushed.str("request_uri")}}, "ada@example.com")
		redemption := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {w.callback()}, "code_verifier": {verifier}}
		w.post(t, a, "/oauth2/token", redemption).refused(t, http.StatusBadRequest, "invalid_grant")
		w.proved(t, a, other, "/oauth2/token", redemption).refused(t, http.StatusBadRequest, "invalid_grant")
		if r := w.proved(t, a, key, "/oauth2/token", redemption); r.str("token_type") != "DPoP" {
			t.Errorf("%s: with the key: %d %s", name, r.status, r.text)
		}
	}
}
