package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-jose/go-jose/v4"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// Bounds of a set of keys.
const (
	MaxSet     = 20_000 // bytes
	MaxKeys    = 20
	maxOwnSet  = 64 << 10 // bytes, of our own
	maxOwnKeys = 200
	// MaxFetched is the size of a set that is fetched, in bytes.
	MaxFetched     = 64 << 10
	maxFetchedKeys = 100
	minRSABits     = 2048
	maxRSABits     = 8192
	maxKeyID       = 256
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
	return parseKeys(field, text, MaxSet, MaxKeys, asItIs)
}

// ParseOwn reads the JWK Set of a deployment, which has the keys of each region and
// algorithm, those before and those after them: 64 KiB and 200 keys at most.
//
// Errors: those of ParseKeys.
func ParseOwn(text string) (Keys, error) {
	return parseKeys("jwks", text, maxOwnSet, maxOwnKeys, asItIs)
}

// ParseBundle reads the bundle of a SPIFFE trust domain, which is a JWK Set that says of
// each key what it is for: those for JWT-SVIDs count, and all others are passed over.
//
// Errors: those of ParseKeys, keys also when none is for JWT-SVIDs.
//
// Source: SPIFFE Trust Domain and Bundle, section 4.2.
func ParseBundle(field, text string) (Keys, error) {
	keys, err := parseKeys(field, text, MaxSet, MaxKeys, ofSVIDs)
	if err == nil && keys.None() {
		return Keys{}, fault.Field(field, "keys", "must have a key with the use jwt-svid")
	}
	return keys, err
}

// ParseFetched reads a JWK Set as an issuer publishes it: 64 KiB and 100 keys at most. Keys
// that are for something else, or of a kind that nothing here verifies, are passed over;
// those that are for signatures must be right.
//
// Errors: those of ParseKeys, keys also when none is for signatures.
//
// Source: RFC 7517 section 5.
func ParseFetched(text string) (Keys, error) {
	return parseFetched(text, ofIssuers)
}

// ParseFetchedBundle is ParseBundle for a bundle as a trust domain publishes it.
//
// Errors: those of ParseBundle.
func ParseFetchedBundle(text string) (Keys, error) {
	return parseFetched(text, ofSVIDs)
}

func parseFetched(text string, pick func(json.RawMessage) (json.RawMessage, bool)) (Keys, error) {
	keys, err := parseKeys("jwks", text, MaxFetched, maxFetchedKeys, pick)
	if err == nil && keys.None() {
		return Keys{}, fault.Field("jwks", "keys", "must have a key for signatures")
	}
	return keys, err
}

// parseKeys reads the keys of a set that pick takes, in the form that pick gives them.
func parseKeys(field, text string, maxBytes, maxKeys int, pick func(json.RawMessage) (json.RawMessage, bool)) (Keys, error) {
	bad := func(at int, rule, detail string) (Keys, error) {
		return Keys{}, fault.Field(field, rule, "key "+strconv.Itoa(at+1)+" "+detail)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if len(text) > maxBytes || once([]byte(text)) != nil || json.Unmarshal([]byte(text), &set) != nil {
		return Keys{}, fault.Field(field, "json", fmt.Sprintf("must be a JWK Set of %d bytes at most", maxBytes))
	}
	if len(set.Keys) == 0 || len(set.Keys) > maxKeys {
		return Keys{}, fault.Field(field, "keys", fmt.Sprintf("must have 1 to %d keys", maxKeys))
	}
	var out Keys
	seen := map[string]bool{}
	for i, raw := range set.Keys {
		raw, ours := pick(raw)
		if !ours {
			continue
		}
		key, rule := public(raw)
		switch {
		case rule != "":
			return bad(i, rule, rules[rule])
		case len(set.Keys) > 1 && key.KeyID == "" || seen[key.KeyID]:
			return bad(i, "kid", rules["kid"])
		}
		seen[key.KeyID] = true
		out.keys = append(out.keys, key)
	}
	return out, nil
}

// rules are what a key must be.
var rules = map[string]string{
	"json":      "cannot be read",
	"private":   "must be public: whoever reads it could sign",
	"kid":       "needs a kid of its own",
	"use":       "is not for signatures",
	"size":      "must be RSA of 2048 to 8192 bits with an exponent of 65537, P-256, P-384, P-521 or Ed25519",
	"algorithm": "is not of its alg",
}

// public reads a public JWK, whose members are there once, and says which of the
// rules it breaks, "" for none.
//
// Source: RFC 7517 section 4; RFC 7518 sections 6.2.1, 6.3.1 and 6.3.2.
func public(raw []byte) (key jose.JSONWebKey, rule string) {
	var m members
	switch err := json.Unmarshal(raw, &key); {
	case json.Unmarshal(raw, &m) != nil:
		return key, "json"
	case m.private():
		return key, "private"
	case err != nil || !key.Valid() || !m.canonical():
		return key, "json"
	case !key.IsPublic():
		return key, "private"
	case len(key.KeyID) > maxKeyID:
		return key, "kid"
	case key.Use != "" && key.Use != "sig" || m.Operations != nil && !slices.Contains(m.Operations, "verify"):
		return key, "use"
	case !sized(key.Key):
		return key, "size"
	case len(algorithms(key.Key)) == 0 || key.Algorithm != "" && !slices.Contains(algorithms(key.Key), Algorithm(key.Algorithm)):
		return key, "algorithm"
	}
	return key, ""
}

// members are those of a JWK that go-jose takes in several forms, or passes over.
type members struct {
	Type       string   `json:"kty"`
	Operations []string `json:"key_ops"`
	N          string   `json:"n"`
	E          string   `json:"e"`
	X          string   `json:"x"`
	Y          string   `json:"y"`

	D   json.RawMessage `json:"d"`
	P   json.RawMessage `json:"p"`
	Q   json.RawMessage `json:"q"`
	DP  json.RawMessage `json:"dp"`
	DQ  json.RawMessage `json:"dq"`
	QI  json.RawMessage `json:"qi"`
	Oth json.RawMessage `json:"oth"`
	K   json.RawMessage `json:"k"`
}

// private says whether a part of a secret is among the members.
func (m members) private() bool {
	return slices.ContainsFunc([]json.RawMessage{m.D, m.P, m.Q, m.DP, m.DQ, m.QI, m.Oth, m.K},
		func(part json.RawMessage) bool { return part != nil })
}

// canonical says whether the numbers are in the one form that they have.
func (m members) canonical() bool {
	var numbers [4][]byte
	for i, text := range []string{m.N, m.E, m.X, m.Y} {
		b, ok := decode(text)
		if !ok {
			return false
		}
		numbers[i] = b
	}
	n, e, x := numbers[0], numbers[1], numbers[2]
	switch m.Type {
	case "RSA":
		return len(n) > 0 && n[0] != 0 && len(e) > 0 && e[0] != 0
	case "OKP":
		return len(x) == ed25519.PublicKeySize
	default:
		return true
	}
}

func asItIs(raw json.RawMessage) (json.RawMessage, bool) { return raw, true }

// ofIssuers is a key for signatures; false for one that says that it is for something
// else, or that no algorithm here has.
func ofIssuers(raw json.RawMessage) (json.RawMessage, bool) {
	var m struct {
		Type  string `json:"kty"`
		Curve string `json:"crv"`
		Use   string `json:"use"`
	}
	if json.Unmarshal(raw, &m) != nil {
		return raw, true // which is refused
	}
	known := m.Type == "RSA" || m.Type == "oct" || // of which the second is refused
		m.Type == "EC" && slices.Contains([]string{"P-256", "P-384", "P-521"}, m.Curve) || m.Type == "OKP" && m.Curve == "Ed25519"
	return raw, known && (m.Use == "" || m.Use == "sig")
}

// ofSVIDs is a key for JWT-SVIDs as one for signatures; false for any other.
func ofSVIDs(raw json.RawMessage) (json.RawMessage, bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || string(members["use"]) != `"jwt-svid"` {
		return nil, false
	}
	members["use"] = json.RawMessage(`"sig"`)
	raw, err := json.Marshal(members)
	return raw, err == nil
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
