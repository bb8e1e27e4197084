package clientauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"google.golang.org/protobuf/proto"

	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	"github.com/meridian-iam/meridian/services/sessions/internal/domain/client"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// signer is a key pair of a client.
type signer struct {
	algorithm jose.SignatureAlgorithm
	private   crypto.Signer
	typ       string
}

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{algorithm: jose.ES256, private: key, typ: "JWT"}
}

// set is the JWK Set that the client registers.
func (s signer) set(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.private.Public(), KeyID: "1"}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s signer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return s.signText(t, payload)
}

func (s signer) signText(t *testing.T, payload []byte) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithHeader("kid", "1")
	if s.typ != "" {
		options = options.WithType(jose.ContentType(s.typ))
	}
	with, err := jose.NewSigner(jose.SigningKey{Algorithm: s.algorithm, Key: s.private}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := with.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// claims are those of an assertion that is taken.
func (f *fixture) claims(name string) map[string]any {
	at := f.clock().Unix()
	return map[string]any{"iss": name, "sub": name, "aud": issuer, "jti": rand.Text(), "iat": at, "exp": at + 60}
}

func asserting(token string) call {
	return withForm("client_assertion", token, "client_assertion_type", assertionType)
}

// O12 of the attacks that others met.
func TestO12ClientAssertion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	signer := newSigner(t)
	machine := f.client(t, signs, signer.set(t))
	at := f.clock().Unix()
	for name, tc := range map[string]struct {
		change map[string]any
		want   string
	}{
		"as it should be":                 {nil, taken},
		"aud in an array of one":          {map[string]any{"aud": []string{issuer}}, taken},
		"exp of a fraction":               {map[string]any{"exp": float64(at) + 0.5}, taken},
		"5 minutes":                       {map[string]any{"exp": at + 300}, taken},
		"a clock that is 10 s ahead":      {map[string]any{"iat": at + 10, "nbf": at + 10, "exp": at + 310}, taken},
		"no iat":                          {map[string]any{"iat": nil}, taken},
		"aud is the token endpoint":       {map[string]any{"aud": issuer + "/oauth2/token"}, invalidClient},
		"aud is the issuer with a slash":  {map[string]any{"aud": issuer + "/"}, invalidClient},
		"aud is another issuer":           {map[string]any{"aud": "https://evil.example"}, invalidClient},
		"aud has another beside it":       {map[string]any{"aud": []string{issuer, "https://evil.example"}}, invalidClient},
		"aud has the issuer twice":        {map[string]any{"aud": []string{issuer, issuer}}, invalidClient},
		"aud begins with the issuer":      {map[string]any{"aud": issuer + ".evil.example"}, invalidClient},
		"aud is an object":                {map[string]any{"aud": map[string]any{"a": issuer}}, invalidClient},
		"aud is an array in an array":     {map[string]any{"aud": []any{[]any{issuer}}}, invalidClient},
		"no aud":                          {map[string]any{"aud": nil}, invalidClient},
		"expired":                         {map[string]any{"exp": at}, invalidClient},
		"too long":                        {map[string]any{"exp": at + 311}, invalidClient},
		"for good":                        {map[string]any{"exp": 1e300}, invalidClient},
		"no exp":                          {map[string]any{"exp": nil}, invalidClient},
		"exp is a text":                   {map[string]any{"exp": "9999999999"}, invalidClient},
		"not yet":                         {map[string]any{"nbf": at + 11}, invalidClient},
		"made in the future":              {map[string]any{"iat": at + 11}, invalidClient},
		"no jti":                          {map[string]any{"jti": nil}, invalidClient},
		"jti is empty":                    {map[string]any{"jti": ""}, invalidClient},
		"jti is a number":                 {map[string]any{"jti": 1}, invalidClient},
		"jti is too long":                 {map[string]any{"jti": strings.Repeat("a", 257)}, invalidClient},
		"iss is another":                  {map[string]any{"iss": "https://machine.example"}, invalidClient},
		"sub is another, iss the client":  {map[string]any{"sub": "https://machine.example"}, invalidClient},
		"neither iss nor sub is a client": {map[string]any{"iss": "a", "sub": "a"}, invalidClient},
		"no sub":                          {map[string]any{"sub": nil}, invalidClient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claims := f.claims(machine.id)
			maps.Copy(claims, tc.change)
			maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
			f.check(t, asserting(signer.sign(t, claims)), tc.want)
		})
	}
}

func TestO12AssertionIsUsedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, second := newSigner(t), newSigner(t)
	one, other := f.client(t, signs, first.set(t)), f.client(t, signs, second.set(t))
	claims := f.claims(one.id)
	token := first.sign(t, claims)
	f.check(t, asserting(token), taken)
	f.check(t, asserting(token), invalidClient)
	claims["exp"] = f.clock().Unix() + 90
	f.check(t, asserting(first.sign(t, claims)), invalidClient) // the same jti in another assertion
	claims["iss"], claims["sub"] = other.id, other.id
	f.check(t, asserting(second.sign(t, claims)), taken) // another client's ids are its own
	// What is refused is not used up.
	claims = f.claims(one.id)
	claims["aud"] = "https://other.example"
	f.check(t, asserting(first.sign(t, claims)), invalidClient)
	claims["aud"] = issuer
	f.check(t, asserting(first.sign(t, claims)), taken)
	// It is remembered for as long as it lives.
	var expires time.Time
	err := f.db.Pool().QueryRow(t.Context(), `SELECT max(expires_at) FROM sessions.used`).Scan(&expires)
	if err != nil || expires.Before(f.clock().Add(90*time.Second)) {
		t.Errorf("remembered until %v, %v", expires, err)
	}
}

func TestO12SeveralMethodsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	signer := newSigner(t)
	app, poster, machine := f.client(t, basic, ""), f.client(t, post, ""), f.client(t, signs, signer.set(t))
	token := signer.sign(t, f.claims(machine.id))
	for name, c := range map[string]call{
		"header and form":      withHeader(inHeader(app.id, app.secret)).and("client_id", app.id, "client_secret", app.secret),
		"header and assertion": withHeader(inHeader(machine.id, machine.secret)).and("client_assertion", token, "client_assertion_type", assertionType),
		"form and assertion":   asserting(token).and("client_id", machine.id, "client_secret", "secret of a form"),
		"two people's":         withHeader(inHeader(app.id, app.secret)).and("client_id", poster.id, "client_secret", poster.secret),
		"assertion twice":      asserting(token).and("client_assertion", token),
		"type twice":           asserting(token).and("client_assertion_type", assertionType),
		"another type":         withForm("client_assertion", token, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"),
		"no type":              withForm("client_assertion", token),
		"a type only":          withForm("client_id", machine.id, "client_assertion_type", assertionType),
		"another client's id":  asserting(token).and("client_id", app.id),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.check(t, c, invalid)
		})
	}
	// The control: the assertion itself is taken.
	f.check(t, asserting(token).and("client_id", machine.id), taken)
}

func TestAssertionSignatures(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		signer signer
		want   string
	}{
		"ES256":         {newSigner(t), taken},
		"ES384":         {signer{algorithm: jose.ES384, private: p384}, taken},
		"RS256":         {signer{algorithm: jose.RS256, private: rsaKey}, taken},
		"PS256":         {signer{algorithm: jose.PS256, private: rsaKey}, taken},
		"EdDSA":         {signer{algorithm: jose.EdDSA, private: ed}, taken},
		"RS384":         {signer{algorithm: jose.RS384, private: rsaKey}, invalidClient},
		"ES512":         {signer{algorithm: jose.ES512, private: p521}, invalidClient},
		"of other kind": {signer{algorithm: jose.EdDSA, private: ed, typ: "at+jwt"}, invalidClient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			machine := f.client(t, signs, tc.signer.set(t))
			f.check(t, asserting(tc.signer.sign(t, f.claims(machine.id))), tc.want)
		})
	}
	signer, stranger := newSigner(t), newSigner(t)
	machine, app := f.client(t, signs, signer.set(t)), f.client(t, basic, "")
	f.check(t, asserting(stranger.sign(t, f.claims(machine.id))), invalidClient)
	f.check(t, asserting(signer.sign(t, f.claims(app.id))), invalidClient)
	for _, token := range []string{"", "a", "a.b", "a.b.c", "..", strings.Repeat("a", 20_000)} {
		if token != "" {
			f.check(t, asserting(token), invalidClient)
		}
	}
	token := signer.signText(t, []byte(`{"iss":"`+machine.id+`","sub":"`+app.id+`","sub":"`+machine.id+`"}`))
	f.check(t, asserting(token), invalidClient)
	f.change(t, machine.id, []proto.Message{&eventv1.ClientDisabled{Client: machine.id}}, client.Hash{})
	f.check(t, asserting(signer.sign(t, f.claims(machine.id))), invalidClient)
}
