package accesstoken_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"testing"
	"time"

	jwx "github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/pkg/accesstoken"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	issuer   = "https://id.example.com"
	resource = "https://api.example.com"
)

// now is the time of these tests.
var now = time.Unix(1_800_000_000, 250_000_000)

// claims are those of a user's token that was made a minute ago.
func claims(change ...func(map[string]any)) map[string]any {
	c := map[string]any{
		"iss": issuer, "sub": "usr_1", "aud": []string{"https://other.example.com", resource},
		"exp": now.Unix() + 240, "iat": now.Unix() - 60, "jti": "tok_1", "client_id": "cli_1",
		"scope": "openid meridian", "sid": "ses_1", "gnt": "gnt_1", "org": "org_1",
		"auth_time": now.Unix() - 600, "acr": "aal2", "amr": []string{"pwd", "otp"}, "rev": "AAAA",
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func with(name string, value any) func(map[string]any) {
	return func(c map[string]any) { c[name] = value }
}

func without(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }

// signingKey is a key of an issuer.
type signingKey struct {
	id      string
	private *ecdsa.PrivateKey
}

func newKey(t testing.TB, id string) signingKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signingKey{id, private}
}

// sign makes a token of a type.
func (k signingKey) sign(t testing.TB, typ string, claims any) secret.String {
	t.Helper()
	signer, err := jwx.NewSigner(jwx.SigningKey{Algorithm: jwx.ES256, Key: jwx.JSONWebKey{Key: k.private, KeyID: k.id}},
		(&jwx.SignerOptions{}).WithType(jwx.ContentType(typ)))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
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
	return secret.NewString(text)
}

// jwks is the JWK Set of some keys.
func jwks(t testing.TB, of ...signingKey) string {
	t.Helper()
	set := jwx.JSONWebKeySet{}
	for _, k := range of {
		set.Keys = append(set.Keys, jwx.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: "ES256", Use: "sig"})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func keys(t testing.TB, of ...signingKey) jose.Keys {
	t.Helper()
	k, err := jose.ParseKeys("jwks", jwks(t, of...))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// verifier takes tokens of one key.
func verifier(t testing.TB, k signingKey, change ...func(*accesstoken.Config)) *accesstoken.Verifier {
	t.Helper()
	clock := func() time.Time { return now }
	known := keys(t, k)
	c := accesstoken.Config{
		Keys: func() jose.Keys { return known }, Issuers: []string{"https://id2.example.com", issuer}, Audience: []string{resource},
		Deny: accesstoken.NewDeny(clock), Clock: clock,
	}
	for _, f := range change {
		f(&c)
	}
	return accesstoken.NewVerifier(c)
}
