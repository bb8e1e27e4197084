package apitoken

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// A token's text is "mat_", the 26 characters of its id, 43 characters of
// base64url for 256 random bits, and 8 hexadecimal digits of CRC-32 over all
// before them. Scanners find it by its prefix, and a mistyped one is refused
// without a look into the database.
const (
	prefix    = "mat_"
	idLen     = 26
	randomLen = 43
	sumLen    = 8
	secretLen = len(prefix) + idLen + randomLen + sumLen
)

// Hash is the SHA-256 of a token's random bits: what is stored. The bits are
// uniformly random, so a slow hash would protect nothing more.
type Hash [sha256.Size]byte

// Random are the random bits of a token. They must come from crypto/rand.
type Random [32]byte

// NewSecret makes the text for a token and what is stored of it.
func NewSecret(token string, random Random) (secret.String, Hash) {
	body := prefix + strings.TrimPrefix(token, string(id.Token)+"_") + base64.RawURLEncoding.EncodeToString(random[:])
	return secret.NewString(body + checksum(body)), sha256.Sum256(random[:])
}

// ParseSecret takes a token's text apart.
//
// Errors: TOKEN_MALFORMED.
func ParseSecret(s secret.String) (token string, hash Hash, err error) {
	text := s.Reveal()
	if len(text) != secretLen || !strings.HasPrefix(text, prefix) {
		return "", Hash{}, malformed()
	}
	body, sum := text[:secretLen-sumLen], text[secretLen-sumLen:]
	if sum != checksum(body) {
		return "", Hash{}, malformed()
	}
	token = string(id.Token) + "_" + body[len(prefix):len(prefix)+idLen]
	random, err := base64.RawURLEncoding.Strict().DecodeString(body[len(prefix)+idLen:])
	if err != nil || len(random) != len(Random{}) || !id.Valid(id.Token, token) {
		return "", Hash{}, malformed()
	}
	return token, sha256.Sum256(random), nil
}

// Equal compares in constant time.
func (h Hash) Equal(stored []byte) bool { return subtle.ConstantTimeCompare(h[:], stored) == 1 }

func checksum(body string) string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body)))
}

func malformed() *fault.Fault {
	return fault.New(fault.Unauthenticated, commonv1.Reason_TOKEN_MALFORMED, "the bearer token is not a Meridian API token")
}
