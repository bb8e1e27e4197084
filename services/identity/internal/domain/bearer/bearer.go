// Package bearer makes and takes apart the secrets that people and programs carry:
// API tokens and the secrets of invitations.
package bearer

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
)

// Form is one kind of secret. Its text is the prefix and "_", the 26 characters of
// an id, 43 characters of base64url for 256 random bits, and 8 hexadecimal digits
// of CRC-32 over all before them. Scanners find it by its prefix, and a mistyped
// one is refused without a look into the database.
type Form struct {
	// Prefix is three letters.
	Prefix string
	// Kind is that of the id of what the secret is for.
	Kind id.Kind
}

const (
	idLen     = 26
	randomLen = 43
	sumLen    = 8
)

// Hash is the SHA-256 of a secret's random bits: what is stored. The bits are
// uniformly random, so a slow hash would protect nothing more.
type Hash [sha256.Size]byte

// Random are the random bits of a secret. They must come from crypto/rand.
type Random [32]byte

// New makes the text for what has an id, and what is stored of it.
func (f Form) New(name string, random Random) (secret.String, Hash) {
	body := f.Prefix + "_" + strings.TrimPrefix(name, string(f.Kind)+"_") + base64.RawURLEncoding.EncodeToString(random[:])
	return secret.NewString(body + checksum(body)), sha256.Sum256(random[:])
}

// Parse takes a text apart. It is false for one that is not of this form.
func (f Form) Parse(s secret.String) (name string, hash Hash, ok bool) {
	text, prefix := s.Reveal(), f.Prefix+"_"
	if len(text) != len(prefix)+idLen+randomLen+sumLen || !strings.HasPrefix(text, prefix) {
		return "", Hash{}, false
	}
	body, sum := text[:len(text)-sumLen], text[len(text)-sumLen:]
	if sum != checksum(body) {
		return "", Hash{}, false
	}
	name = string(f.Kind) + "_" + body[len(prefix):len(prefix)+idLen]
	random, err := base64.RawURLEncoding.Strict().DecodeString(body[len(prefix)+idLen:])
	if err != nil || len(random) != len(Random{}) || !id.Valid(f.Kind, name) {
		return "", Hash{}, false
	}
	return name, sha256.Sum256(random), true
}

// Equal compares in constant time.
func (h Hash) Equal(stored []byte) bool { return subtle.ConstantTimeCompare(h[:], stored) == 1 }

func checksum(body string) string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body)))
}
