package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/pkg/jose"
)

// elsewhere are the cases of tokens and keys that are not about this package, and whose
// they are.
var elsewhere = map[string]string{
	"J08": "fetching sets of keys: whoever fetches them; here nothing is fetched",
}

// attacks are tokens that must be refused, by the id of the case. Each is made of what
// somebody has who does not have the private key: the public one, and a token.
func attacks(t *testing.T, key, rsaKey testKey) map[string][]string {
	t.Helper()
	const payload = `{"sub":"mallory"}`
	good := signAs(t, key, "a", "at+jwt", map[string]string{"sub": "alice"})
	parts := strings.Split(good, ".")
	header := func(text string) string { return encoded(text) + "." + encoded(payload) + "." + parts[2] }
	mac := func(secret string) string {
		text := encoded(`{"alg":"HS256","kid":"a","typ":"at+jwt"}`) + "." + encoded(payload)
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	}
	signature := func(raw []byte) string {
		return parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(raw)
	}
	own := func(header string) string {
		token, err := signBytes(key, []byte(header), []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	thief := generateKey(t, jose.ES256)
	stolen, err := signBytes(thief, []byte(`{"alg":"ES256","kid":"a","typ":"at+jwt","jwk":`+thief.JWK("a")+`}`), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	jwe := func(header string) string { return encoded(header) + ".AAAA.AAAA.AAAA.AAAA" }
	refused := map[string][]string{
		"J02": {mac(key.JWK("a")), mac(rsaKey.JWK("b")), mac(key.JWK("a") + "\n")},
		"J03": {parts[0] + "." + parts[1] + ".", parts[0] + "." + parts[1], parts[0] + "." + parts[1] + ".AA", parts[0] + "." + parts[1] + "." + encoded("null")},
		"J04": {mac(""), mac("\x00")},
		"J05": {stolen},
		"J06": {
			header(`{"alg":"ES256","kid":"a","typ":"at+jwt","jku":"http://127.0.0.1/jwks"}`),
			header(`{"alg":"ES256","kid":"a","typ":"at+jwt","x5u":"file:///etc/passwd"}`),
		},
		"J07": {
			own(`{"alg":"ES256","kid":"../../../dev/null","typ":"at+jwt"}`), own(`{"alg":"ES256","kid":"a' UNION SELECT 'x","typ":"at+jwt"}`),
			own(`{"alg":"ES256","kid":"a|sleep 9","typ":"at+jwt"}`), own(`{"alg":"ES256","kid":"a\u0000","typ":"at+jwt"}`),
			encoded(`{"alg":"ES256","kid":"`+strings.Repeat("k", 1<<20)+`","typ":"at+jwt"}`) + "." + parts[1] + "." + parts[2],
		},
		"J09": {
			own(`{"alg":"ES256","kid":"a","typ":"at+jwt","crit":["x"],"x":1}`), own(`{"alg":"ES256","kid":"a","typ":"at+jwt","crit":[]}`),
			own(`{"alg":"ES256","kid":"a","typ":"at+jwt","crit":["alg"]}`), own(`{"alg":"ES256","kid":"a","typ":"at+jwt","crit":null}`),
		},
		"J10": {own(`{"alg":"ES256","kid":"a","typ":"at+jwt","b64":false}`), own(`{"alg":"ES256","kid":"a","typ":"at+jwt","b64":true}`)},
		"J11": {signature(make([]byte, 64)), signature([]byte{0x30, 6, 2, 1, 0, 2, 1, 0})},
		"J12": {signature(make([]byte, 63)), signature(make([]byte, 65)), signature(make([]byte, 96)), signature(append([]byte{0x30, 0x44, 2, 0x20}, make([]byte, 66)...))},
		"J13": {
			own(`{"alg":"ES256","alg":"ES256","kid":"a","typ":"at+jwt"}`), own(`{"alg":"ES256","kid":"a","kid":"b","typ":"at+jwt"}`),
			own(`{"alg":"ES256","kid":"a","typ":"at+jwt","TYP":"at+jwt"}`),
		},
		"J14": {
			good + "=", good + "==", good + " ", " " + good, good[:20] + "\n" + good[20:], parts[0] + "=." + parts[1] + "." + parts[2],
			parts[0] + "." + parts[1] + "." + parts[2][:85] + sibling(parts[2][85]), parts[0] + "." + parts[1] + "." + "+/" + parts[2][2:],
		},
		"J15": {
			signAs(t, key, "a", "", struct{}{}), signAs(t, key, "a", "JWT", struct{}{}), signAs(t, key, "a", "logout+jwt", struct{}{}),
			signAs(t, key, "a", "dpop+jwt", struct{}{}), signAs(t, key, "a", "secevent+jwt", struct{}{}),
		},
		"J16": {jwe(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483648,"p2s":"AAAA"}`), own(`{"alg":"ES256","kid":"a","typ":"at+jwt","zip":"DEF"}`)},
		"J17": {jwe(`{"alg":"ECDH-ES","enc":"A128GCM","epk":{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}}`)},
		"J18": {jwe(`{"alg":"RSA1_5","enc":"A128GCM"}`), encoded(`{"alg":"A128KW","enc":"A128GCM"}`) + "...."},
		"J19": {strings.Repeat(".", 1<<20), good + strings.Repeat(".", 10), strings.Repeat("a.", 8000)},
		"J23": {mac("the secret of another client")},
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		refused["J01"] = append(refused["J01"], encoded(`{"alg":"`+alg+`","kid":"a","typ":"at+jwt"}`)+"."+encoded(payload)+".",
			header(`{"alg":"`+alg+`","kid":"a","typ":"at+jwt"}`))
	}
	return refused
}

// inOtherTests are the cases that are no tokens, and the test that has them.
var inOtherTests = map[string]string{"J20": "pkg/accesstoken TestVerify", "J21": "pkg/accesstoken TestVerify", "J22": "TestKeySets"}

func TestAttacks(t *testing.T) {
	t.Parallel()
	key, rsaKey := generateKey(t, jose.ES256), generateKey(t, jose.RS256)
	keys, err := jose.ParseKeys("keys", `{"keys":[`+key.JWK("a")+","+rsaKey.JWK("b")+`]}`)
	if err != nil {
		t.Fatal(err)
	}
	want := jose.Expect{Type: "at+jwt", Algorithms: []jose.Algorithm{jose.ES256, jose.RS256}}
	for _, k := range []struct {
		key testKey
		kid string
	}{{key, "a"}, {rsaKey, "b"}} { // without these a refusal proves nothing
		if _, err := jose.Verify(signAs(t, k.key, k.kid, "at+jwt", struct{}{}), keys, want); err != nil {
			t.Fatal(err)
		}
	}
	refused := attacks(t, key, rsaKey)
	for id, tokens := range refused {
		for i, token := range tokens {
			if payload, err := jose.Verify(token, keys, want); err == nil || payload != nil {
				t.Errorf("%s, %d: %.200s is accepted", id, i+1, token)
			}
			if _, _, err := jose.VerifyEmbedded(token, want); err == nil && id != "J05" { // which is what a proof is
				t.Errorf("%s, %d: %.200s is accepted as a proof", id, i+1, token)
			}
		}
	}
	content, err := os.ReadFile(filepath.Join(os.Getenv("MERIDIAN_SHARED"), "vectors/attacks/oauth-jose-authz.json"))
	if err != nil {
		t.Log("NOT TESTED: that all cases are here; there is no vectors/attacks/oauth-jose-authz.json in MERIDIAN_SHARED")
		return
	}
	var file struct {
		Cases []struct {
			ID   string `json:"id"`
			Case string `json:"case"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		if strings.HasPrefix(c.ID, "J") && refused[c.ID] == nil && inOtherTests[c.ID] == "" && elsewhere[c.ID] == "" {
			t.Errorf("%s is nowhere: %s", c.ID, c.Case)
		}
	}
}

// testKey is a key under whatever ids a test gives it.
type testKey struct {
	algorithm jose.Algorithm
	key       crypto.Signer
}

func generateKey(t *testing.T, algorithm jose.Algorithm) testKey {
	t.Helper()
	made, err := jose.Generate(algorithm, "eu")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := made.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := parsed.(crypto.Signer)
	return testKey{algorithm, key}
}

// JWK is the public key under an id.
func (k testKey) JWK(id string) string {
	text, err := gojose.JSONWebKey{Key: k.key.Public(), KeyID: id, Algorithm: string(k.algorithm)}.MarshalJSON()
	if err != nil {
		panic(err) // a public key always encodes
	}
	return string(text)
}

// signBytes signs a header as it is.
func signBytes(k testKey, header, payload []byte) (string, error) {
	text := encoded(string(header)) + "." + encoded(string(payload))
	sum := sha256.Sum256([]byte(text))
	var signature []byte
	switch key := k.key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			return "", err
		}
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	default:
		var err error
		if signature, err = key.Sign(rand.Reader, sum[:], crypto.SHA256); err != nil {
			return "", err
		}
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func signAs(t *testing.T, k testKey, id, typ string, claims any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	header := `{"alg":"` + string(k.algorithm) + `","kid":"` + id + `"`
	if typ != "" {
		header += `,"typ":"` + typ + `"`
	}
	token, err := signBytes(k, []byte(header+"}"), payload)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// sibling is the other letter that decodes to the same bytes at the end of a base64url
// string with bits to spare.
func sibling(letter byte) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(letters[strings.IndexByte(letters, letter)|1])
}
