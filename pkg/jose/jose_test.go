package jose_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	jwx "github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/pkg/jose"
)

func keyPair(t testing.TB) (*ecdsa.PrivateKey, jose.Keys) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(jwx.JSONWebKey{Key: private.Public(), KeyID: "a", Algorithm: "ES256", Use: "sig"})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jose.ParseKeys("jwks", `{"keys":[`+string(jwk)+`]}`)
	if err != nil {
		t.Fatal(err)
	}
	return private, keys
}

// signed is a token with the header as it is given.
func signed(t testing.TB, private *ecdsa.PrivateKey, header, payload string) string {
	t.Helper()
	text := encoded(header) + "." + encoded(payload)
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(raw)
}

func encoded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestVerify(t *testing.T) {
	t.Parallel()
	private, keys := keyPair(t)
	const payload = `{"sub":"x"}`
	want := jose.Expect{Type: "at+jwt", Algorithms: []jose.Algorithm{jose.ES256, jose.RS256, jose.EdDSA}}
	for _, header := range []string{
		`{"alg":"ES256","kid":"a","typ":"at+jwt"}`, `{"typ":"application/AT+JWT","alg":"ES256","kid":"a","more":{"a":[1,{"b":null}]}}`,
		`{"alg":"ES256","typ":"at+jwt"}`, // the only key
		// J06: what a header says of where keys are is passed over.
		`{"alg":"ES256","kid":"a","typ":"at+jwt","jku":"http://127.0.0.1/jwks","x5u":"file:///etc/passwd"}`,
	} {
		got, err := jose.Verify(signed(t, private, header, payload), keys, want)
		if err != nil || string(got) != payload {
			t.Errorf("%s: %q, %v", header, got, err)
		}
	}
	good := signed(t, private, `{"alg":"ES256","kid":"a","typ":"at+jwt"}`, payload)
	parts := strings.Split(good, ".")
	none := func(alg string) string {
		return encoded(`{"alg":"`+alg+`","kid":"a","typ":"at+jwt"}`) + "." + parts[1] + "."
	}
	with := func(header string) string { return signed(t, private, header, payload) }
	for name, tc := range map[string]struct {
		token string
		want  error
	}{
		"J01 none":                    {none("none"), jose.ErrForm},
		"J01 None, with a signature":  {none("None") + parts[2], jose.ErrAlgorithm},
		"J01 nOnE":                    {none("nOnE") + parts[2], jose.ErrAlgorithm},
		"J02 HS256":                   {with(`{"alg":"HS256","kid":"a","typ":"at+jwt"}`), jose.ErrAlgorithm},
		"J03 no signature":            {parts[0] + "." + parts[1] + ".", jose.ErrForm},
		"J03 no third part":           {parts[0] + "." + parts[1], jose.ErrForm},
		"J05 embedded key of another": {embedded(t, payload), jose.ErrSignature},
		"J07 kid of another place":    {with(`{"alg":"ES256","kid":"../../dev/null","typ":"at+jwt"}`), jose.ErrKey},
		"J07 kid of SQL":              {with(`{"alg":"ES256","kid":"a' OR '1'='1","typ":"at+jwt"}`), jose.ErrKey},
		"J07 kid with a null byte":    {with(`{"alg":"ES256","kid":"a\u0000","typ":"at+jwt"}`), jose.ErrKey},
		"J07 kid of a megabyte":       {with(`{"alg":"ES256","kid":"` + strings.Repeat("k", 1<<20) + `","typ":"at+jwt"}`), jose.ErrForm},
		"J09 crit":                    {with(`{"alg":"ES256","kid":"a","typ":"at+jwt","crit":["exp"],"exp":1}`), jose.ErrHeader},
		"J09 crit, empty":             {with(`{"alg":"ES256","kid":"a","typ":"at+jwt","crit":[]}`), jose.ErrHeader},
		"J10 b64":                     {with(`{"alg":"ES256","kid":"a","typ":"at+jwt","b64":false}`), jose.ErrHeader},
		"J11 r and s are 0":           {parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)), jose.ErrSignature},
		"J12 another length":          {parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 70)), jose.ErrSignature},
		"J13 two algorithms":          {with(`{"alg":"ES256","alg":"none","kid":"a","typ":"at+jwt"}`), jose.ErrHeader},
		"J13 two by another case":     {with(`{"alg":"ES256","ALG":"none","kid":"a","typ":"at+jwt"}`), jose.ErrHeader},
		"J14 padding":                 {good + "=", jose.ErrForm},
		"J14 line end":                {good[:30] + "\n" + good[30:], jose.ErrForm},
		"J14 space":                   {good + " ", jose.ErrForm},
		"J15 another type":            {with(`{"alg":"ES256","kid":"a","typ":"logout+jwt"}`), jose.ErrType},
		"J13 two by the long s":       {with("{\"alg\":\"ES256\",\"kid\":\"a\",\"typ\":\"at+jwt\",\"s\":1,\"\u017f\":2}"), jose.ErrHeader},
		"not UTF-8":                   {with("{\"alg\":\"ES256\",\"kid\":\"a\",\"typ\":\"at+jwt\",\"x\":\"\xff\"}"), jose.ErrHeader},
		"J15 no type":                 {with(`{"alg":"ES256","kid":"a"}`), jose.ErrType},
		"J16 zip":                     {with(`{"alg":"ES256","kid":"a","typ":"at+jwt","zip":"DEF"}`), jose.ErrHeader},
		"J19 many dots":               {strings.Repeat(".", 10_000), jose.ErrForm},
		"nested too deep":             {with(`{"alg":"ES256","kid":"a","typ":"at+jwt","x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`), jose.ErrHeader},
		"a header that is no object":  {with(`["ES256"]`), jose.ErrHeader},
		"a header with more after it": {with(`{"alg":"ES256","kid":"a","typ":"at+jwt"} {}`), jose.ErrHeader},
		"another payload":             {parts[0] + "." + encoded(`{"sub":"y"}`) + "." + parts[2], jose.ErrSignature},
		"nothing":                     {"", jose.ErrForm},
	} {
		if payload, err := jose.Verify(tc.token, keys, want); !errors.Is(err, tc.want) || payload != nil {
			t.Errorf("%s: %q, %v; want %v", name, payload, err, tc.want)
		}
	}
}

// A token of no kind is not one of some kind.
func TestNoType(t *testing.T) {
	t.Parallel()
	private, keys := keyPair(t)
	for typ, taken := range map[string]bool{"": true, "JWT": true, "application/jwt": true, "dpop+jwt": false, "logout+jwt": false, "at+jwt": false} {
		token := signed(t, private, `{"alg":"ES256","kid":"a","typ":"`+typ+`"}`, "{}")
		if _, err := jose.Verify(token, keys, jose.Expect{Algorithms: every}); (err == nil) != taken {
			t.Errorf("J15 typ %q: %v", typ, err)
		}
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	var claims struct {
		Subject string `json:"sub"`
	}
	if err := jose.Claims([]byte(`{"sub":"alice","act":{"sub":"bob"}}`), &claims); err != nil || claims.Subject != "alice" {
		t.Errorf("%+v, %v", claims, err)
	}
	for name, payload := range map[string]string{
		"J13 twice": `{"sub":"alice","sub":"mallory"}`, "J13 by another case": `{"sub":"alice","SUB":"mallory"}`,
		"J13 by the long s": "{\"sub\":\"alice\",\"\u017fub\":\"mallory\"}", "J13 escaped": `{"sub":"alice","\u0073ub":"mallory"}`,
		"J13 inside": `{"act":{"sub":"a","sub":"b"}}`, "another type": `{"sub":1}`, "no object": `["alice"]`, "nothing": "", "not UTF-8": "{\"sub\":\"\xff\"}",
	} {
		if err := jose.Claims([]byte(payload), &claims); !errors.Is(err, jose.ErrClaims) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// embedded is a token with the key in it that it is signed with.
func embedded(t *testing.T, payload string) string {
	t.Helper()
	other, _ := keyPair(t)
	jwk, err := json.Marshal(jwx.JSONWebKey{Key: other.Public()})
	if err != nil {
		t.Fatal(err)
	}
	return signed(t, other, fmt.Sprintf(`{"alg":"ES256","kid":"a","typ":"at+jwt","jwk":%s}`, jwk), payload)
}

// J22.
func TestKeySets(t *testing.T) {
	t.Parallel()
	private, _ := keyPair(t)
	key := func(change func(map[string]any)) string {
		encoded, err := json.Marshal(jwx.JSONWebKey{Key: private.Public(), KeyID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		if err := json.Unmarshal(encoded, &members); err != nil {
			t.Fatal(err)
		}
		change(members)
		encoded, err = json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	same := key(func(map[string]any) {})
	secret, err := json.Marshal(jwx.JSONWebKey{Key: private, KeyID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for name, set := range map[string]string{
		"no JSON": "{", "no set": same, "no keys": `{"keys":[]}`, "too long": `{"keys":[` + strings.Repeat(" ", 20_000) + `]}`,
		"twice the same id": `{"keys":[` + same + `,` + same + `]}`, "a private key": `{"keys":[` + string(secret) + `]}`,
		"a secret":          `{"keys":[{"kty":"oct","k":"AAAA"}]}`,
		"for encryption":    `{"keys":[` + key(func(m map[string]any) { m["use"] = "enc" }) + `]}`,
		"another algorithm": `{"keys":[` + key(func(m map[string]any) { m["alg"] = "RS256" }) + `]}`,
		"no point":          `{"keys":[` + key(func(m map[string]any) { m["x"] = m["y"] }) + `]}`,
		"21 keys":           `{"keys":[` + strings.Repeat(same+",", 20) + same + `]}`,
		"two lists":         `{"keys":[],"keys":[` + same + `]}`,
	} {
		if _, err := jose.ParseKeys("jwks", set); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := jose.ParseKeys("jwks", `{"keys":[`+same+`]}`); err != nil {
		t.Error(err)
	}
}

// The bundle of a trust domain has keys of all kinds: those for X.509 sign no JWT.
func TestBundle(t *testing.T) {
	t.Parallel()
	private, _ := keyPair(t)
	key := func(kid, use string) string {
		encoded, err := json.Marshal(jwx.JSONWebKey{Key: private.Public(), KeyID: kid, Use: use})
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	bundle := func(keys ...string) string {
		return `{"spiffe_sequence":1,"spiffe_refresh_hint":300,"keys":[` + strings.Join(keys, ",") + `]}`
	}
	keys, err := jose.ParseBundle("jwks", bundle(key("x", "x509-svid"), key("", "x509-svid"), key("a", "jwt-svid"), key("b", "new"), `{"kty":"oct"}`))
	if err != nil || !keys.Has("a") || keys.Has("x") || keys.Has("b") {
		t.Errorf("a bundle: %v, %v", keys, err)
	}
	for name, text := range map[string]string{
		"none for JWTs": bundle(key("x", "x509-svid")), "a JWK Set": bundle(key("a", "sig")), "no use": bundle(key("a", "")),
		"twice the same id": bundle(key("a", "jwt-svid"), key("a", "jwt-svid")), "no bundle": "{",
	} {
		if _, err := jose.ParseBundle("jwks", text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := jose.ParseKeys("jwks", bundle(key("a", "jwt-svid"))); err == nil {
		t.Error("a bundle is taken for a JWK Set")
	}
}

func FuzzVerify(f *testing.F) {
	private, keys := keyPair(f)
	f.Add(signed(f, private, `{"alg":"ES256","kid":"a"}`, `{}`))
	f.Add("e30.e30.AA")
	f.Fuzz(func(t *testing.T, token string) {
		payload, err := jose.Verify(token, keys, jose.Expect{Algorithms: every})
		if (err == nil) == (payload == nil) {
			t.Errorf("%q, %v", payload, err)
		}
	})
}

// What is not verified is said in the same form, and for nothing of another kind.
func TestUnverified(t *testing.T) {
	t.Parallel()
	private, _ := keyPair(t)
	want := jose.Expect{Algorithms: every}
	good := signed(t, private, `{"alg":"ES256","kid":"a"}`, `{"sub":"x"}`)
	if kid, payload, err := jose.Unverified(good, want); err != nil || kid != "a" || string(payload) != `{"sub":"x"}` {
		t.Errorf("%q, %q, %v", kid, payload, err)
	}
	for name, tc := range map[string]struct {
		token string
		want  error
	}{
		"none":         {encoded(`{"alg":"none"}`) + "." + encoded(`{}`) + ".", jose.ErrForm},
		"a secret":     {encoded(`{"alg":"HS256"}`) + "." + encoded(`{}`) + ".AAAA", jose.ErrAlgorithm},
		"another type": {signed(t, private, `{"alg":"ES256","typ":"at+jwt"}`, `{}`), jose.ErrType},
		"crit":         {signed(t, private, `{"alg":"ES256","crit":["x"]}`, `{}`), jose.ErrHeader},
		"too long":     {good + strings.Repeat("A", jose.MaxToken), jose.ErrForm},
	} {
		if kid, payload, err := jose.Unverified(tc.token, want); !errors.Is(err, tc.want) || kid != "" || payload != nil {
			t.Errorf("%s: %q, %q, %v", name, kid, payload, err)
		}
	}
}

// An issuer publishes what it needs for others, too; of what is for signatures all must
// be right.
func TestFetchedSets(t *testing.T) {
	t.Parallel()
	private, _ := keyPair(t)
	key := func(kid, use string) string {
		encoded, err := json.Marshal(jwx.JSONWebKey{Key: private.Public(), KeyID: kid, Use: use})
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	others := []string{
		key("e", "enc"), `{"kty":"EC","crv":"secp256k1","kid":"k","x":"AA","y":"AA"}`, `{"kty":"AKP","alg":"ML-DSA-44","kid":"m","pub":"AA"}`,
		`{"kty":"OKP","crv":"X25519","kid":"x","x":"AA"}`,
	}
	keys, err := jose.ParseFetched(set(append(others, key("a", "sig"), key("b", ""))...))
	if err != nil || !keys.Has("a") || !keys.Has("b") || keys.Has("e") || keys.Has("k") {
		t.Errorf("%v, %v", keys, err)
	}
	secret, err := json.Marshal(jwx.JSONWebKey{Key: private, KeyID: "s"})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"others only": set(others...), "a private key": set(key("a", "sig"), string(secret)), "a secret": set(key("a", "sig"), `{"kty":"oct","k":"AAAA"}`),
		"twice the same id": set(key("a", ""), key("a", "")), "too long": set(key("a", "")) + strings.Repeat(" ", jose.MaxFetched),
		"no point": set(key("a", "sig"), `{"kty":"EC","crv":"P-256","kid":"p","x":"AA","y":"AA"}`), "no keys": set(), "a page": "<!doctype html>",
	} {
		if _, err := jose.ParseFetched(text); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	bundle := set(key("x", "x509-svid"), key("a", "jwt-svid"))
	if keys, err := jose.ParseFetchedBundle(bundle); err != nil || !keys.Has("a") || keys.Has("x") {
		t.Errorf("a bundle: %v, %v", keys, err)
	}
	if _, err := jose.ParseFetchedBundle(set(key("x", "x509-svid"))); err == nil {
		t.Error("a bundle without keys for JWTs is accepted")
	}
	if _, err := jose.ParseFetched(bundle); err == nil {
		t.Error("a bundle is taken for a JWK Set")
	}
}
