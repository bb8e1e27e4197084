package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// Bounds of a set of keys.
const (
	MaxSet     = 20_000 // bytes
	MaxKeys    = 20
	minRSABits = 2048
	maxRSABits = 8192
	maxKeyID   = 256
)

// Keys are public keys that verify signatures.
type Keys struct{ keys []jose.JSONWebKey }

// ParseKeys reads a JWK Set of public keys, as a client registers it.
//
// Errors: INVALID_FIELD (the field; rule json, keys, private, kid, use, algorithm or
// size).
//
// Source: RFC 7517 section 5; RFC 7518 sections 3.3 and 3.4.
func ParseKeys(field, text string) (Keys, error) {
	bad := func(at int, rule, detail string) (Keys, error) {
		return Keys{}, fault.Field(field, rule, "key "+strconv.Itoa(at+1)+" "+detail)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if len(text) > MaxSet || once([]byte(text)) != nil || json.Unmarshal([]byte(text), &set) != nil {
		return Keys{}, fault.Field(field, "json", "must be a JWK Set of 20,000 bytes at most")
	}
	if len(set.Keys) == 0 || len(set.Keys) > MaxKeys {
		return Keys{}, fault.Field(field, "keys", "must have 1 to 20 keys")
	}
	var out Keys
	seen := map[string]bool{}
	for i, raw := range set.Keys {
		var key jose.JSONWebKey
		var more struct {
			Operations []string `json:"key_ops"`
		}
		switch err := json.Unmarshal(raw, &key); {
		case err != nil || !key.Valid():
			return bad(i, "json", "cannot be read")
		case !key.IsPublic():
			return bad(i, "private", "must be public: whoever reads it could sign")
		case len(set.Keys) > 1 && key.KeyID == "" || len(key.KeyID) > maxKeyID || seen[key.KeyID]:
			return bad(i, "kid", "needs a kid of its own")
		case json.Unmarshal(raw, &more) != nil || key.Use != "" && key.Use != "sig" ||
			more.Operations != nil && !slices.Contains(more.Operations, "verify"):
			return bad(i, "use", "is not for signatures")
		case !sized(key.Key):
			return bad(i, "size", "must be RSA of 2048 to 8192 bits with an exponent of 65537, P-256, P-384, P-521 or Ed25519")
		case len(algorithms(key.Key)) == 0 || key.Algorithm != "" && !slices.Contains(algorithms(key.Key), Algorithm(key.Algorithm)):
			return bad(i, "algorithm", "is not of its alg")
		}
		seen[key.KeyID] = true
		out.keys = append(out.keys, key)
	}
	return out, nil
}

// sized says whether a key is strong enough, and not so large that it costs too much.
// An exponent of 65537 is all that is in use.
func sized(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSABits && k.N.BitLen() <= maxRSABits && k.E == 65537 && !factorable(k.N)
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	default:
		return false
	}
}

// algorithms are those that a key verifies.
func algorithms(key any) []Algorithm {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return []Algorithm{RS256, jose.RS384, jose.RS512, PS256, jose.PS384, jose.PS512}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []Algorithm{ES256}
		case elliptic.P384():
			return []Algorithm{jose.ES384}
		case elliptic.P521():
			return []Algorithm{jose.ES512}
		}
	case ed25519.PublicKey:
		return []Algorithm{EdDSA}
	}
	return nil
}

// find is the key of an id that verifies an algorithm. Without an id there must be one
// key only.
func (k Keys) find(id string, algorithm Algorithm) (jose.JSONWebKey, bool) {
	for _, key := range k.keys {
		named := key.KeyID == id || id == "" && len(k.keys) == 1 || key.KeyID == "" && len(k.keys) == 1
		if named && slices.Contains(algorithms(key.Key), algorithm) && (key.Algorithm == "" || key.Algorithm == string(algorithm)) {
			return key, true
		}
	}
	return jose.JSONWebKey{}, false
}
