package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// rsaBits is the size of RSA keys that are made here.
const rsaBits = 3072

// Private is a key that signs with one algorithm. It is safe for concurrent use.
type Private struct {
	algorithm Algorithm
	id        string
	key       crypto.Signer

	mu      sync.Mutex
	signers map[string]jose.Signer // by type
}

// Generate makes a key of an algorithm. Its id is prefix, a dot and the first 16
// characters of its thumbprint.
//
// Errors: an algorithm that is not ES256, RS256 or EdDSA.
func Generate(algorithm Algorithm, prefix string) (*Private, error) {
	var key crypto.Signer
	var err error
	switch algorithm {
	case ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		key, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, ErrAlgorithm
	}
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	p := &Private{algorithm: algorithm, key: key}
	thumbprint, err := Thumbprint(key.Public())
	p.id = prefix + "." + thumbprint[:16]
	return p, err
}

// ParsePrivate reads a key that Marshal wrote.
//
// Errors: ErrKey.
func ParsePrivate(id string, algorithm Algorithm, pkcs8 []byte) (*Private, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	key, ok := parsed.(crypto.Signer)
	if err != nil || !ok {
		return nil, ErrKey
	}
	if !slices.Contains(algorithms(key.Public()), algorithm) {
		return nil, ErrKey
	}
	return &Private{algorithm: algorithm, id: id, key: key}, nil
}

// ID is the header kid.
func (p *Private) ID() string { return p.id }

// Algorithm is the header alg.
func (p *Private) Algorithm() Algorithm { return p.algorithm }

// Marshal is the key in PKCS #8.
func (p *Private) Marshal() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(p.key) }

// String keeps the key out of logs.
func (p *Private) String() string { return "private key " + p.id }

// Public is the JWK of the public key, for signatures.
//
// Source: RFC 7517 section 4.
func (p *Private) Public() (string, error) {
	text, err := json.Marshal(jose.JSONWebKey{Key: p.key.Public(), KeyID: p.id, Algorithm: string(p.algorithm), Use: "sig"})
	return string(text), err
}

// Sign makes a compact JWS of claims, with the headers alg, kid and typ.
//
// Source: RFC 7515 section 7.1.
func (p *Private) Sign(typ string, claims any) (string, error) {
	signer, err := p.signer(typ)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return signed.CompactSerialize()
}

// signer is kept for each type: there are few.
func (p *Private) signer(typ string) (jose.Signer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.signers[typ]; ok {
		return s, nil
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: p.algorithm, Key: jose.JSONWebKey{Key: p.key, KeyID: p.id}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	if p.signers == nil {
		p.signers = map[string]jose.Signer{}
	}
	p.signers[typ] = s
	return s, nil
}

// Thumbprint is the SHA-256 thumbprint of a public key, in base64url.
//
// Source: RFC 7638 section 3.
func Thumbprint(public crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", ErrKey
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// AtHash is the claim at_hash of an ID token that is signed by an algorithm: the left
// half of a hash of the access token beside it.
//
// Source: OpenID Connect Core 1.0 section 3.1.3.6; for EdDSA the hash is SHA-512, as
// RFC 8032 has it for Ed25519.
func AtHash(algorithm Algorithm, accessToken string) string {
	var sum []byte
	switch algorithm {
	case EdDSA:
		full := sha512.Sum512([]byte(accessToken))
		sum = full[:]
	default:
		full := sha256.Sum256([]byte(accessToken))
		sum = full[:]
	}
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// VerifyEmbedded returns the payload of a compact JWS that the key in its own header
// signed, and the thumbprint of that key: who sent it has the key, and nothing else is
// said by it.
//
// Errors: those of Verify; ErrKey for a key that is private, symmetric or weak.
//
// Source: RFC 9449 section 4.3.
func VerifyEmbedded(token string, want Expect) (payload []byte, thumbprint string, err error) {
	header, err := parse(token)
	if err != nil {
		return nil, "", err
	}
	key, rule := public(header.Embedded)
	if rule != "" {
		return nil, "", ErrKey
	}
	key.KeyID = "" // whatever it calls itself
	if payload, err = Verify(token, Keys{keys: []jose.JSONWebKey{key}}, want); err != nil {
		return nil, "", err
	}
	thumbprint, err = Thumbprint(key.Key)
	return payload, thumbprint, err
}

// Join are the keys of sets together.
func Join(sets ...Keys) Keys {
	var out Keys
	for _, s := range sets {
		out.keys = append(out.keys, s.keys...)
	}
	return out
}

// HasKey says whether a set has a public key, whatever its id is.
func (k Keys) HasKey(public crypto.PublicKey) bool {
	want, err := Thumbprint(public)
	return err == nil && slices.ContainsFunc(k.keys, func(key jose.JSONWebKey) bool {
		have, err := Thumbprint(key.Key)
		return err == nil && have == want
	})
}
