// Package jose verifies what others signed, strictly: one form of each token is taken,
// and none of what a token says about how it is to be verified is believed, but for
// which of the known keys it is.
//
// Source: RFC 7515, RFC 7517, RFC 7518, RFC 8725.
package jose

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
)

// MaxToken is the size of the largest token, in bytes.
const MaxToken = 16 << 10

// Algorithm is a signature algorithm, by its name in RFC 7518 or RFC 8037.
type Algorithm = jose.SignatureAlgorithm

// What is signed with here, and what is verified: none with a secret that both have,
// and not none.
const (
	ES256 = jose.ES256
	RS256 = jose.RS256
	EdDSA = jose.EdDSA
	PS256 = jose.PS256
	ES384 = jose.ES384
)

// Why a token is refused. They quote nothing of it.
var (
	ErrForm      = errors.New("not a compact JWS in its one form")
	ErrHeader    = errors.New("the header is refused")
	ErrAlgorithm = errors.New("the algorithm is not taken")
	ErrType      = errors.New("the token is of another type")
	ErrKey       = errors.New("the key is not known")
	ErrSignature = errors.New("the signature is wrong")
	ErrClaims    = errors.New("the claims are refused")
)

// Expect is what a token must be.
type Expect struct {
	// Type is the header typ, as at+jwt; without regard to case, with or without
	// application/ before it; empty: none, or JWT, so that a token of a kind of its
	// own is never taken for one of no kind.
	Type string
	// Algorithms are those that are taken, the key's own among them.
	Algorithms []Algorithm
}

// Verify returns the payload of a compact JWS that one of the keys signed.
//
// Errors: ErrForm, ErrHeader, ErrAlgorithm, ErrType, ErrKey, ErrSignature.
//
// Source: RFC 7515 sections 4.1.11 and 5.2; RFC 8725 sections 3.1, 3.2, 3.10 and 3.11.
func Verify(token string, keys Keys, want Expect) ([]byte, error) {
	header, err := parse(token)
	if err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains(want.Algorithms, header.Algorithm):
		return nil, ErrAlgorithm
	case kind(header.Type) != kind(want.Type):
		return nil, ErrType
	}
	key, ok := keys.find(header.KeyID, header.Algorithm)
	if !ok {
		return nil, ErrKey
	}
	signed, err := jose.ParseSignedCompact(token, want.Algorithms)
	if err != nil {
		return nil, ErrForm
	}
	payload, err := signed.Verify(key.Key)
	if err != nil || !salted(token, key.Key, header.Algorithm) {
		return nil, ErrSignature
	}
	return payload, nil
}

// Unverified returns what a token says that nobody has verified, if it is in the form that
// Verify takes: the kid of its header, or "", and its payload. It is for telling whether
// it is worth to look for keys, and for nothing else.
//
// Errors: ErrForm, ErrHeader, ErrAlgorithm, ErrType.
func Unverified(token string, want Expect) (kid string, payload []byte, err error) {
	header, err := parse(token)
	switch {
	case err != nil:
		return "", nil, err
	case !slices.Contains(want.Algorithms, header.Algorithm):
		return "", nil, ErrAlgorithm
	case kind(header.Type) != kind(want.Type):
		return "", nil, ErrType
	}
	payload, _ = decode(strings.Split(token, ".")[1]) // which parse did, too
	return header.KeyID, payload, nil
}

// kind is what a typ says, "" for none and for JWT.
func kind(typ string) string {
	bare := strings.TrimPrefix(strings.ToLower(typ), "application/")
	if bare == "jwt" {
		return ""
	}
	return bare
}

// Claims decodes the payload of a token into a struct.
//
// Errors: ErrClaims when it is no JSON object in UTF-8, has a member twice, or one of
// another type.
func Claims(payload []byte, into any) error {
	if once(payload) != nil || json.Unmarshal(payload, into) != nil {
		return ErrClaims
	}
	return nil
}

// header are the members that mean something here.
type header struct {
	Algorithm Algorithm `json:"alg"`
	KeyID     string    `json:"kid"`
	Type      string    `json:"typ"`
	// Critical and Unencoded change how the rest is read: refused.
	Critical  json.RawMessage `json:"crit"`
	Unencoded json.RawMessage `json:"b64"`
	// Zipped is of encryption.
	Zipped json.RawMessage `json:"zip"`
	// Embedded is looked at by VerifyEmbedded only.
	Embedded json.RawMessage `json:"jwk"`
}

// parse reads the header of a token of the one form.
func parse(token string) (header, error) {
	var h header
	if len(token) > MaxToken || strings.Count(token, ".") != 2 {
		return h, ErrForm
	}
	parts := strings.Split(token, ".")
	var decoded [3][]byte
	for i, part := range parts {
		b, ok := decode(part)
		if !ok {
			return h, ErrForm
		}
		decoded[i] = b
	}
	if len(decoded[2]) == 0 {
		return h, ErrForm
	}
	if once(decoded[0]) != nil || json.Unmarshal(decoded[0], &h) != nil {
		return h, ErrHeader
	}
	if h.Critical != nil || h.Unencoded != nil || h.Zipped != nil {
		return h, ErrHeader
	}
	return h, nil
}

// decode reads base64url in its one form: without padding, line ends, and bits that are
// not 0 behind the last byte.
//
// Source: RFC 7515 section 2; RFC 4648 section 3.5.
func decode(text string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return b, err == nil && !strings.ContainsAny(text, "\r\n")
}

// maxDepth bounds what is nested in JSON.
const maxDepth = 32

// once says whether a text is one JSON object whose members, at any depth, are there
// once: of two, parsers take the first or the last.
//
// Source: RFC 7515 section 4; RFC 7519 section 4; RFC 8725 section 3.7.
func once(text []byte) error {
	if !utf8.Valid(text) {
		return ErrForm
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	first, err := decoder.Token()
	if err != nil || first != json.Delim('{') {
		return ErrForm
	}
	if err := object(decoder, 1); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return ErrForm
	}
	return nil
}

// object reads the members of an object that was begun.
func object(decoder *json.Decoder, depth int) error {
	seen := map[string]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return ErrForm
		}
		text, ok := name.(string)
		folded := fold(text)
		if !ok || seen[folded] {
			return ErrForm
		}
		seen[folded] = true
		if err := value(decoder, depth); err != nil {
			return err
		}
	}
	return end(decoder)
}

// fold is the same for names that encoding/json takes for the same field: it passes
// over case as strings.EqualFold does, by which s is also the long s of old prints.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, name)
}

// value reads a member's value, or an item.
func value(decoder *json.Decoder, depth int) error {
	if depth > maxDepth {
		return ErrForm
	}
	token, err := decoder.Token()
	if err != nil {
		return ErrForm
	}
	switch token {
	case json.Delim('{'):
		return object(decoder, depth+1)
	case json.Delim('['):
		for decoder.More() {
			if err := value(decoder, depth+1); err != nil {
				return err
			}
		}
		return end(decoder)
	default:
		return nil
	}
}

func end(decoder *json.Decoder) error {
	if _, err := decoder.Token(); err != nil {
		return ErrForm
	}
	return nil
}
