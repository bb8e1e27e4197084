package client

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"

	"github.com/meridian-iam/meridian/pkg/secret"
)

// Hash is the SHA-256 of a secret's text: what is stored. The secret is 256 random
// bits, so a slow hash would protect nothing more.
type Hash [sha256.Size]byte

// NewSecret makes a secret of random bits, which must come from crypto/rand: mcs_ and
// 43 characters of base64url. Scanners find it by its prefix, and no client has to
// encode anything of it.
func NewSecret(random [32]byte) (secret.String, Hash) {
	s := secret.NewString("mcs_" + base64.RawURLEncoding.EncodeToString(random[:]))
	return s, HashSecret(s)
}

// HashSecret is the hash of what a client presents, whatever it is.
func HashSecret(s secret.String) Hash { return sha256.Sum256([]byte(s.Reveal())) }

// Equal compares in constant time.
func (h Hash) Equal(stored []byte) bool { return subtle.ConstantTimeCompare(h[:], stored) == 1 }
