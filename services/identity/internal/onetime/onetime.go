// Package onetime makes and matches the short codes and the links that are sent
// by mail. How long they live and how often a code may be tried is the caller's.
package onetime

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"

	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	codeDigits = 8
	tokenBytes = 32
	tokenLen   = 43
	// maxTyped bounds what somebody types, in bytes.
	maxTyped = 32
)

// Hash is what is stored of a code or a link's token.
type Hash [sha256.Size]byte

// Equal compares with what is stored, in constant time.
func (h Hash) Equal(stored []byte) bool { return subtle.ConstantTimeCompare(h[:], stored) == 1 }

var codes = big.NewInt(100_000_000)

// NewCode makes a code of eight decimal digits, each of the hundred million
// equally likely.
func NewCode() secret.String {
	n, err := rand.Int(rand.Reader, codes) // draws again what would be unequal
	if err != nil {
		panic(err) // rand.Reader never fails: it ends the process instead
	}
	return secret.NewString(fmt.Sprintf("%0*d", codeDigits, n))
}

// HashCode returns the hash of a typed code, bound to the authentication that it
// was made for: it matches in no other. False means that it is no code; then the
// hash matches nothing. Spaces and hyphens do not matter.
//
// A code has 27 bits. Whoever reads the hash can find the code by trying: what
// protects it are its short life and few attempts.
func HashCode(authentication string, typed secret.String) (Hash, bool) {
	text := typed.Reveal()
	if len(text) > maxTyped {
		return Hash{}, false
	}
	code := strings.NewReplacer(" ", "", "-", "").Replace(text)
	for _, c := range []byte(code) {
		if c < '0' || c > '9' {
			return Hash{}, false
		}
	}
	if len(code) != codeDigits {
		return Hash{}, false
	}
	// The zero byte ends the id, which has none.
	return sha256.Sum256([]byte("meridian one-time code\x00" + authentication + "\x00" + code)), true
}

// NewLinkToken makes the token of a link, 43 characters of base64url for 256
// random bits, and what is stored of it: SHA-256, since random bits need no slow
// hash.
func NewLinkToken() (secret.String, Hash) {
	random := make([]byte, tokenBytes)
	_, _ = rand.Read(random) // never fails: it ends the process instead
	return secret.NewString(base64.RawURLEncoding.EncodeToString(random)), sha256.Sum256(random)
}

// HashLinkToken returns the hash under which a token is stored. False means that
// it is none; then the hash matches nothing.
func HashLinkToken(token secret.String) (Hash, bool) {
	text := token.Reveal()
	if len(text) != tokenLen {
		return Hash{}, false
	}
	random, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(random) != tokenBytes {
		return Hash{}, false
	}
	return sha256.Sum256(random), true
}
