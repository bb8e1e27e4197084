package dpop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/pkg/dpop"
	"github.com/meridian-iam/meridian/pkg/jose"
	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	method = "POST"
	called = "https://api.example.com/meridian.authz.v1.CheckService/Check"
)

var (
	now   = time.Unix(1_800_000_000, 500)
	token = secret.NewString("header.payload.signature")
)

// key is one that a token is bound to.
type key struct {
	private    crypto.Signer
	algorithm  gojose.SignatureAlgorithm
	thumbprint string
}

func newKey(t testing.TB, private crypto.Signer, algorithm gojose.SignatureAlgorithm) key {
	t.Helper()
	thumbprint, err := jose.Thumbprint(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key{private, algorithm, thumbprint}
}

func newES256(t testing.TB) key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newKey(t, private, gojose.ES256)
}

// claims are those of a good proof, changed; nil takes one away.
func claims(change map[string]any) map[string]any {
	all := map[string]any{"jti": "one", "htm": method, "htu": called, "iat": now.Unix(), "ath": hash(token)}
	maps.Copy(all, change)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

func hash(of secret.String) string {
	sum := sha256.Sum256([]byte(of.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// sign makes a proof with headers changed.
func (k key) sign(t testing.TB, claims map[string]any, headers map[gojose.HeaderKey]any) string {
	t.Helper()
	all := map[gojose.HeaderKey]any{"typ": "dpop+jwt", "jwk": gojose.JSONWebKey{Key: k.private.Public()}}
	maps.Copy(all, headers)
	signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: k.algorithm, Key: k.private}, &gojose.SignerOptions{ExtraHeaders: all})
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
	return text
}

// code is that of an error; "" for none.
func code(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var refused *dpop.Error
	if !errors.As(err, &refused) || refused.Description == "" || !strings.HasPrefix(refused.Error(), refused.Code) {
		t.Fatalf("%v is no error of this package", err)
	}
	return refused.Code
}

// O15: what a proof must be.
func TestCheck(t *testing.T) {
	t.Parallel()
	own, other := newES256(t), newES256(t)
	with := func(claim string, value any) string { return own.sign(t, claims(map[string]any{claim: value}), nil) }
	good := own.sign(t, claims(nil), nil)
	symmetric := func() string {
		signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.HS256, Key: make([]byte, 32)},
			&gojose.SignerOptions{ExtraHeaders: map[gojose.HeaderKey]any{"typ": "dpop+jwt", "jwk": map[string]string{"kty": "oct", "k": "AAAA"}}})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		text, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, tc := range map[string]struct {
		proofs []string
		change func(*dpop.Use)
		want   string
	}{
		"good":                              {[]string{good}, nil, ""},
		"a minute old":                      {[]string{with("iat", now.Add(-dpop.Window).Unix()+1)}, nil, ""},
		"a minute ahead":                    {[]string{with("iat", now.Add(dpop.Window).Unix())}, nil, ""},
		"URI with a query":                  {[]string{with("htu", called+"?a=b")}, nil, ""},
		"URI with a fragment":               {[]string{with("htu", called+"#a")}, nil, ""},
		"URI in capitals":                   {[]string{with("htu", strings.Replace(called, "https://api.example", "HTTPS://API.Example", 1))}, nil, ""},
		"URI with its port":                 {[]string{with("htu", strings.Replace(called, ".com", ".com:443", 1))}, nil, ""},
		"no path":                           {[]string{with("htu", "http://api.example.com:80")}, func(u *dpop.Use) { u.URI = "http://api.example.com/" }, ""},
		"a nonce that nobody asked for":     {[]string{with("nonce", "x")}, nil, ""},
		"the scheme in capitals":            {[]string{good}, func(u *dpop.Use) { u.Scheme = "DPOP" }, ""},
		"unbound, as Bearer":                {nil, func(u *dpop.Use) { u.Scheme, u.Thumbprint = "Bearer", "" }, ""},
		"unbound, as Bearer, with a proof":  {[]string{good}, func(u *dpop.Use) { u.Scheme, u.Thumbprint = "Bearer", "" }, ""},
		"unbound, as DPoP":                  {[]string{good}, func(u *dpop.Use) { u.Thumbprint = "" }, dpop.InvalidToken},
		"bound, as Bearer":                  {[]string{good}, func(u *dpop.Use) { u.Scheme = "Bearer" }, dpop.InvalidToken},
		"no proof":                          {nil, nil, dpop.InvalidProof},
		"two proofs":                        {[]string{good, good}, nil, dpop.InvalidProof},
		"no JWS":                            {[]string{"x"}, nil, dpop.InvalidProof},
		"another method":                    {[]string{with("htm", "GET")}, nil, dpop.InvalidProof},
		"the method in small letters":       {[]string{with("htm", "post")}, nil, dpop.InvalidProof},
		"no method":                         {[]string{with("htm", nil)}, nil, dpop.InvalidProof},
		"another path":                      {[]string{with("htu", called+"s")}, nil, dpop.InvalidProof},
		"the path in small letters":         {[]string{with("htu", strings.ToLower(called))}, nil, dpop.InvalidProof},
		"another host":                      {[]string{with("htu", strings.Replace(called, "api.", "api2.", 1))}, nil, dpop.InvalidProof},
		"another scheme":                    {[]string{with("htu", strings.Replace(called, "https", "http", 1))}, nil, dpop.InvalidProof},
		"another port":                      {[]string{with("htu", strings.Replace(called, ".com", ".com:80", 1))}, nil, dpop.InvalidProof},
		"a user in the URI":                 {[]string{with("htu", strings.Replace(called, "api.", "a@api.", 1))}, nil, dpop.InvalidProof},
		"a relative URI":                    {[]string{with("htu", "/meridian.authz.v1.CheckService/Check")}, nil, dpop.InvalidProof},
		"no URI":                            {[]string{with("htu", nil)}, nil, dpop.InvalidProof},
		"no URI, and none is known":         {[]string{with("htu", nil)}, func(u *dpop.Use) { u.URI = "" }, dpop.InvalidProof},
		"too old":                           {[]string{with("iat", now.Add(-dpop.Window).Unix())}, nil, dpop.InvalidProof},
		"of the future":                     {[]string{with("iat", now.Add(dpop.Window).Unix()+1)}, nil, dpop.InvalidProof},
		"of the end of time":                {[]string{with("iat", int64(1)<<62)}, nil, dpop.InvalidProof},
		"of no time":                        {[]string{with("iat", nil)}, nil, dpop.InvalidProof},
		"of a time in text":                 {[]string{with("iat", strconv.FormatInt(now.Unix(), 10))}, nil, dpop.InvalidProof},
		"no jti":                            {[]string{with("jti", nil)}, nil, dpop.InvalidProof},
		"a long jti":                        {[]string{with("jti", strings.Repeat("x", 257))}, nil, dpop.InvalidProof},
		"no ath":                            {[]string{with("ath", nil)}, nil, dpop.InvalidProof},
		"another token's ath":               {[]string{with("ath", hash(secret.NewString("a.b.c")))}, nil, dpop.InvalidProof},
		"another key":                       {[]string{other.sign(t, claims(nil), nil)}, nil, dpop.InvalidProof},
		"signed by another than it says":    {[]string{other.sign(t, claims(nil), map[gojose.HeaderKey]any{"jwk": gojose.JSONWebKey{Key: own.private.Public()}})}, nil, dpop.InvalidProof},
		"another typ":                       {[]string{own.sign(t, claims(nil), map[gojose.HeaderKey]any{"typ": "JWT"})}, nil, dpop.InvalidProof},
		"the private key":                   {[]string{own.sign(t, claims(nil), map[gojose.HeaderKey]any{"jwk": gojose.JSONWebKey{Key: own.private}})}, nil, dpop.InvalidProof},
		"no key":                            {[]string{own.sign(t, claims(nil), map[gojose.HeaderKey]any{"jwk": nil})}, nil, dpop.InvalidProof},
		"a symmetric key":                   {[]string{symmetric()}, nil, dpop.InvalidProof},
		"no algorithm":                      {[]string{unsigned(own, t)}, nil, dpop.InvalidProof},
		"another signature":                 {[]string{good[:strings.LastIndex(good, ".")] + ".AAAA"}, nil, dpop.InvalidProof},
		"bound to another key than any has": {[]string{good}, func(u *dpop.Use) { u.Thumbprint = "x" }, dpop.InvalidProof},
	} {
		u := dpop.Use{
			Request: dpop.Request{Proofs: tc.proofs, Method: method, URI: called},
			Scheme:  "DPoP", Token: token, Thumbprint: own.thumbprint,
		}
		if tc.change != nil {
			tc.change(&u)
		}
		p, err := dpop.Check(u, now)
		if got := code(t, err); got != tc.want {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
		if proved := p.Thumbprint == own.thumbprint && p.ID == "one"; proved != (tc.want == "" && u.Thumbprint != "") {
			t.Errorf("%s: the proof is %+v", name, p)
		}
	}
}

// unsigned is a proof by alg none.
func unsigned(k key, t *testing.T) string {
	t.Helper()
	parts := strings.Split(k.sign(t, claims(nil), nil), ".")
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(header), "ES256", "none", 1))) + "." + parts[1] + "."
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]key{
		"ES256": newES256(t), "ES384": newKey(t, p384, gojose.ES384), "EdDSA": newKey(t, ed, gojose.EdDSA),
		"RS256": newKey(t, rsaKey, gojose.RS256), "PS256": newKey(t, rsaKey, gojose.PS256),
	}
	for _, name := range dpop.Algorithms() {
		p, err := dpop.Read(dpop.Request{Proofs: []string{keys[name].sign(t, claims(nil), nil)}, Method: method, URI: called}, now)
		if err != nil || p.Thumbprint != keys[name].thumbprint {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		delete(keys, name)
	}
	if len(keys) > 0 {
		t.Errorf("not tried: %v", keys)
	}
	rs512 := newKey(t, rsaKey, gojose.RS512)
	if _, err := dpop.Read(dpop.Request{Proofs: []string{rs512.sign(t, claims(nil), nil)}, Method: method, URI: called}, now); code(t, err) != dpop.InvalidProof {
		t.Errorf("RS512: %v", err)
	}
	if got, want := dpop.Challenge(dpop.InvalidProof), `DPoP error="invalid_dpop_proof", algs="ES256 ES384 EdDSA RS256 PS256"`; got != want {
		t.Errorf("challenge %s, want %s", got, want)
	}
}

func TestRFCVectors(t *testing.T) {
	t.Parallel()
	shared := os.Getenv("MERIDIAN_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	content, err := os.ReadFile(filepath.Join(shared, "vectors", "rfc", "oauth.json"))
	if err != nil {
		t.Logf("NOT TESTED: the examples of RFC 9449 are not here: %v", err)
		return
	}
	var vectors struct {
		DPoP struct {
			AccessToken string            `json:"access_token"`
			JKT         string            `json:"jkt"`
			Proofs      map[string]string `json:"proofs"`
		} `json:"dpop"`
	}
	if err := json.Unmarshal(content, &vectors); err != nil {
		t.Fatal(err)
	}
	v := vectors.DPoP
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	for _, name := range []string{"token_request", "refresh_request"} {
		p, err := dpop.Read(dpop.Request{Proofs: []string{v.Proofs[name]}, Method: "POST", URI: "https://server.example.com/token"}, at(1562262616))
		if name == "refresh_request" {
			p, err = dpop.Read(dpop.Request{Proofs: []string{v.Proofs[name]}, Method: "POST", URI: "https://server.example.com/token"}, at(1562265296))
		}
		if err != nil || p.Thumbprint != v.JKT || p.TokenHash != "" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	u := dpop.Use{
		Request: dpop.Request{Proofs: []string{v.Proofs["protected_resource"]}, Method: "GET", URI: "https://resource.example.org/protectedresource"},
		Scheme:  "DPoP", Token: secret.NewString(v.AccessToken), Thumbprint: v.JKT,
	}
	if p, err := dpop.Check(u, at(1562262618)); err != nil || p.ID != "e1j3V_bKic8-LAEB" {
		t.Errorf("protected_resource: %+v, %v", p, err)
	}
}

// Whatever the proof and the URI are: a proof or an error, and never a proof of no key.
func FuzzCheck(f *testing.F) {
	own := newES256(f)
	f.Add(own.sign(f, claims(nil), nil), called)
	f.Add("a.b.c", "https://[::1]:x/%")
	f.Fuzz(func(t *testing.T, proof, uri string) {
		u := dpop.Use{Request: dpop.Request{Proofs: []string{proof}, Method: method, URI: uri}, Scheme: "DPoP", Token: token, Thumbprint: own.thumbprint}
		p, err := dpop.Check(u, now)
		if (err == nil) != (p.Thumbprint == own.thumbprint) || err != nil && p != (dpop.Proof{}) {
			t.Errorf("%+v, %v", p, err)
		}
	})
}
