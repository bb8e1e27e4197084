package jose_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/pkg/jose"
)

func TestSign(t *testing.T) {
	for _, algorithm := range []jose.Algorithm{jose.ES256, jose.RS256, jose.EdDSA} {
		t.Run(string(algorithm), func(t *testing.T) {
			made, err := jose.Generate(algorithm, "eu-west")
			if err != nil {
				t.Fatal(err)
			}
			stored, err := made.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			key, err := jose.ParsePrivate(made.ID(), algorithm, stored)
			if err != nil {
				t.Fatal(err)
			}
			token, err := key.Sign("at+jwt", map[string]string{"sub": "ada"})
			if err != nil {
				t.Fatal(err)
			}
			public, err := made.Public()
			if err != nil || strings.Contains(public, `"d"`) {
				t.Fatalf("public key: %v, %v", public, err)
			}
			keys, err := jose.ParseKeys("keys", `{"keys":[`+public+`]}`)
			if err != nil {
				t.Fatal(err)
			}
			want := jose.Expect{Type: "at+jwt", Algorithms: []jose.Algorithm{algorithm}}
			if payload, err := jose.Verify(token, keys, want); err != nil || string(payload) != `{"sub":"ada"}` {
				t.Errorf("Verify = %s, %v", payload, err)
			}
			if jose.KeyID(token) != made.ID() || !strings.HasPrefix(made.ID(), "eu-west.") {
				t.Errorf("kid %q of %q", jose.KeyID(token), made.ID())
			}
			if strings.Contains(made.String(), string(stored)) {
				t.Error("it prints itself")
			}
		})
	}
	if _, err := jose.Generate("HS256", "eu"); err == nil {
		t.Error("a secret key is made")
	}
}

// oauthVectors are the examples of the standards.
type oauthVectors struct {
	Thumbprints []struct {
		JWK    json.RawMessage `json:"jwk"`
		SHA256 string          `json:"sha256"`
	} `json:"thumbprints"`
	AtHash struct {
		Alg         string `json:"alg"`
		AccessToken string `json:"access_token"`
		AtHash      string `json:"at_hash"`
	} `json:"at_hash"`
	DPoP struct {
		JKT    string            `json:"jkt"`
		Proofs map[string]string `json:"proofs"`
	} `json:"dpop"`
}

func TestRFCVectors(t *testing.T) {
	shared := os.Getenv("MERIDIAN_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	content, err := os.ReadFile(filepath.Join(shared, "vectors", "rfc", "oauth.json"))
	if err != nil {
		t.Logf("NOT TESTED: the examples of RFC 7638, RFC 9449 and OpenID Connect are not here: %v", err)
		return
	}
	var v oauthVectors
	if err := json.Unmarshal(content, &v); err != nil {
		t.Fatal(err)
	}
	for i, vector := range v.Thumbprints {
		var key gojose.JSONWebKey
		if err := key.UnmarshalJSON(vector.JWK); err != nil {
			t.Fatal(err)
		}
		if got, err := jose.Thumbprint(key.Key); err != nil || got != vector.SHA256 {
			t.Errorf("thumbprint %d is %s, %v; want %s", i, got, err, vector.SHA256)
		}
	}
	if got := jose.AtHash(jose.Algorithm(v.AtHash.Alg), v.AtHash.AccessToken); got != v.AtHash.AtHash {
		t.Errorf("at_hash is %s, want %s", got, v.AtHash.AtHash)
	}
	if len(v.Thumbprints) == 0 || len(v.DPoP.Proofs) == 0 {
		t.Fatal("the file has no vectors")
	}
	for name, proof := range v.DPoP.Proofs {
		_, thumbprint, err := jose.VerifyEmbedded(proof, jose.Expect{Type: "dpop+jwt", Algorithms: []jose.Algorithm{jose.ES256}})
		if err != nil || thumbprint != v.DPoP.JKT {
			t.Errorf("proof %s: key %s, %v; want %s", name, thumbprint, err, v.DPoP.JKT)
		}
	}
}

// O15, J05: a key in a header proves that the sender has it, if it is public and fit,
// and nothing else.
func TestVerifyEmbedded(t *testing.T) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(key any, algorithm gojose.SignatureAlgorithm, header map[gojose.HeaderKey]any) string {
		signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: algorithm, Key: key}, &gojose.SignerOptions{ExtraHeaders: header})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(`{"jti":"1"}`))
		if err != nil {
			t.Fatal(err)
		}
		token, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	jwk := func(key any) map[gojose.HeaderKey]any {
		return map[gojose.HeaderKey]any{"typ": "dpop+jwt", "jwk": gojose.JSONWebKey{Key: key}}
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want := jose.Expect{Type: "dpop+jwt", Algorithms: []jose.Algorithm{jose.ES256, jose.RS256}}
	if _, _, err := jose.VerifyEmbedded(sign(own, gojose.ES256, jwk(own.Public())), want); err != nil {
		t.Fatalf("the control is refused: %v", err)
	}
	for name, token := range map[string]string{
		"the private key":      sign(own, gojose.ES256, jwk(own)),
		"another's key":        sign(own, gojose.ES256, jwk(other.Public())),
		"no key":               sign(own, gojose.ES256, map[gojose.HeaderKey]any{"typ": "dpop+jwt"}),
		"a symmetric key":      sign([]byte("0123456789abcdef0123456789abcdef"), gojose.HS256, jwk([]byte("0123456789abcdef0123456789abcdef"))),
		"another type":         sign(own, gojose.ES256, map[gojose.HeaderKey]any{"typ": "JWT", "jwk": gojose.JSONWebKey{Key: own.Public()}}),
		"no signature":         strings.TrimRight(sign(own, gojose.ES256, jwk(own.Public())), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
		"nothing":              "",
		"the algorithm is off": sign(own, gojose.ES256, jwk(own.Public()))[1:],
	} {
		if payload, _, err := jose.VerifyEmbedded(token, want); err == nil {
			t.Errorf("%s: taken, %s", name, payload)
		}
	}
}

// BenchmarkSign prints the limit beside what tokens cost: one ES256 signature.
func BenchmarkSign(b *testing.B) {
	claims := map[string]any{"iss": "https://id.example.com", "sub": "usr_01", "aud": []string{"https://api.example.com"}, "exp": 1, "iat": 1, "scope": "openid"}
	b.Run("raw ES256", func(b *testing.B) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		sum := sha256.Sum256([]byte("text"))
		for b.Loop() {
			if _, _, err := ecdsa.Sign(rand.Reader, key, sum[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, algorithm := range []jose.Algorithm{jose.ES256, jose.EdDSA, jose.RS256} {
		b.Run("token "+string(algorithm), func(b *testing.B) {
			key, err := jose.Generate(algorithm, "eu")
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := key.Sign("at+jwt", claims); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
