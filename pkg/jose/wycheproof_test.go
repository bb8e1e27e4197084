package jose_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	jwx "github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/pkg/jose"
)

// every is each algorithm that the vectors have and we know.
var every = []jose.Algorithm{
	jwx.RS256, jwx.RS384, jwx.RS512, jwx.PS256, jwx.PS384, jwx.PS512, jwx.ES256, jwx.ES384, jwx.ES512, jwx.EdDSA,
}

type group struct {
	Comment string          `json:"comment"`
	Private json.RawMessage `json:"private"`
	Public  json.RawMessage `json:"public"`
	Tests   []struct {
		ID      int    `json:"tcId"`
		Comment string `json:"comment"`
		JWS     token  `json:"jws"`
		JWE     token  `json:"jwe"`
		Result  string `json:"result"`
	} `json:"tests"`
}

// token is one in its compact form, or the text of the other, which is JSON.
type token string

// UnmarshalJSON implements json.Unmarshaler.
func (t *token) UnmarshalJSON(text []byte) error {
	var compact string
	if json.Unmarshal(text, &compact) != nil {
		compact = string(text)
	}
	*t = token(compact)
	return nil
}

// set is the group's key as a JWK Set of public keys, as far as it can be one.
func (g group) set() string {
	text := g.Public
	if text == nil {
		text = g.Private
	}
	var many struct {
		Keys []json.RawMessage `json:"keys"`
	}
	_ = json.Unmarshal(text, &many) // one key is no set
	keys := many.Keys
	if keys == nil {
		keys = []json.RawMessage{text}
	}
	var out struct {
		Keys []map[string]any `json:"keys"`
	}
	for _, raw := range keys {
		var key map[string]any
		_ = json.Unmarshal(raw, &key) // what is none is refused by the parser
		if key["kty"] != "oct" {
			for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth"} {
				delete(key, private)
			}
			if operations, ok := key["key_ops"].([]any); ok && slices.Contains(operations, any("sign")) {
				key["key_ops"] = append(operations, "verify") // of the public half
			}
		}
		out.Keys = append(out.Keys, key)
	}
	encoded, _ := json.Marshal(out) // maps of JSON
	return string(encoded)
}

// others are valid cases of keys whose alg is not that of the token, or is none that
// there is ("ES521"): a key is used with its own algorithm only (RFC 8725 section 3.1).
var others = []int{346, 347, 350, 351}

// supported says whether the valid cases of a group are ours to accept.
func (g group) supported() bool {
	var key struct {
		Type string `json:"kty"`
		Keys []struct {
			Type string `json:"kty"`
		} `json:"keys"`
	}
	text := g.Public
	if text == nil {
		text = g.Private
	}
	_ = json.Unmarshal(text, &key)
	if key.Type == "oct" {
		return false // secrets that both have are not taken
	}
	for _, k := range key.Keys {
		if k.Type == "oct" {
			return false
		}
	}
	return true
}

// TestWycheproof: what is not validly signed is refused, and what is encrypted always is:
// nobody here takes such tokens (the files of encryption have nothing that is accepted).
func TestWycheproof(t *testing.T) {
	t.Parallel()
	for file, signed := range map[string]bool{
		"json_web_signature_test.json": true, "json_web_key_test.json": true, "json_web_crypto_test.json": true, "json_web_encryption_test.json": false,
	} {
		content, err := os.ReadFile(filepath.Join(os.Getenv("MERIDIAN_SHARED"), "vectors/jose", file))
		if err != nil {
			t.Logf("NOT TESTED: there is no vectors/jose/%s in MERIDIAN_SHARED", file)
			continue
		}
		var vectors struct {
			Groups []group `json:"testGroups"`
		}
		if err := json.Unmarshal(content, &vectors); err != nil {
			t.Fatal(err)
		}
		accepted, refused, beyond := 0, 0, 0
		for _, g := range vectors.Groups {
			keys, unusable := jose.ParseKeys("jwks", g.set())
			for _, tc := range g.Tests {
				_, err := jose.Verify(string(tc.JWS+tc.JWE), keys, jose.Expect{Algorithms: every})
				switch {
				case (tc.Result != "valid" || tc.JWE != "") && err == nil:
					t.Errorf("%s %d, %s, %s: accepted", file, tc.ID, g.Comment, tc.Comment)
				case tc.Result != "valid":
					refused++
				case err == nil:
					accepted++
				case tc.JWE == "" && g.supported() && !slices.Contains(others, tc.ID):
					t.Errorf("%s %d, %s, %s: %v, %v", file, tc.ID, g.Comment, tc.Comment, err, unusable)
				default:
					beyond++
				}
			}
		}
		t.Logf("%s: %d accepted, %d refused, %d valid ones are not taken here", file, accepted, refused, beyond)
		if signed != (accepted > 0) || refused < 20 {
			t.Errorf("%s has not what it should", file)
		}
	}
}
