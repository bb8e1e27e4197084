package grant

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/meridian-iam/meridian/pkg/id"
	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	// codePrefix and refreshPrefix let scanners of leaked secrets know them.
	codePrefix    = "mco_"
	refreshPrefix = "mrt_"

	generationSize = 8
	macSize        = 32
	saltSize       = 32
)

// MAC is a keyed hash of 32 bytes over parts, each with its length, under a key that
// the regions share.
type MAC func(purpose string, parts ...string) []byte

// Salt is what a grant's row adds to the key: neither the key alone nor the database
// alone makes a token.
type Salt [saltSize]byte

// Secrets makes and reads the codes and refresh tokens of grants. None is stored: the
// same grant and generation give the same text, so a repeated refresh can be answered
// with the same successor.
type Secrets struct{ MAC MAC }

// Code is a grant's code: mco_ and the grant's UUID and a MAC in base64url.
func (s Secrets) Code(grantID string, salt Salt) secret.String {
	u, err := id.Parse(id.Grant, grantID)
	if err != nil {
		return secret.String{}
	}
	return text(codePrefix, append(u[:], s.MAC("authorization code", grantID, string(salt[:]))...))
}

// Refresh is a grant's refresh token of a generation: mrt_ and the grant's UUID, the
// generation in 8 bytes, big endian, and a MAC in base64url.
func (s Secrets) Refresh(grantID string, salt Salt, generation uint64) secret.String {
	u, err := id.Parse(id.Grant, grantID)
	if err != nil {
		return secret.String{}
	}
	number := binary.BigEndian.AppendUint64(nil, generation)
	return text(refreshPrefix, slices.Concat(u[:], number, s.MAC("refresh token", grantID, string(salt[:]), string(number))))
}

// GrantOfCode is the grant that a text says it is the code of, or "". Whether it is,
// IsCode says with the grant's salt.
func GrantOfCode(presented secret.String) string {
	body, ok := bytesOf(codePrefix, presented, len(uuid.UUID{})+macSize)
	if !ok {
		return ""
	}
	return id.Format(id.Grant, uuid.UUID(body[:16]))
}

// GrantOfRefresh is the grant and generation that a text says it is the refresh token
// of, or "". Whether it is, IsRefresh says with the grant's salt.
func GrantOfRefresh(presented secret.String) (grantID string, generation uint64) {
	body, ok := bytesOf(refreshPrefix, presented, len(uuid.UUID{})+generationSize+macSize)
	if !ok {
		return "", 0
	}
	return id.Format(id.Grant, uuid.UUID(body[:16])), binary.BigEndian.Uint64(body[16:])
}

// IsCode says whether a text is the grant's code, in a time that does not tell more.
func (s Secrets) IsCode(presented secret.String, grantID string, salt Salt) bool {
	return equal(presented, s.Code(grantID, salt))
}

// IsRefresh says whether a text is the grant's refresh token of a generation, in a
// time that does not tell more.
func (s Secrets) IsRefresh(presented secret.String, grantID string, salt Salt, generation uint64) bool {
	return equal(presented, s.Refresh(grantID, salt, generation))
}

func equal(a, b secret.String) bool {
	return !b.IsZero() && subtle.ConstantTimeCompare([]byte(a.Reveal()), []byte(b.Reveal())) == 1
}

func text(prefix string, body []byte) secret.String {
	return secret.NewString(prefix + base64.RawURLEncoding.EncodeToString(body))
}

// bytesOf reads a text of one form and length.
func bytesOf(prefix string, presented secret.String, size int) ([]byte, bool) {
	encoded, ours := strings.CutPrefix(presented.Reveal(), prefix)
	if !ours || len(encoded) != base64.RawURLEncoding.EncodedLen(size) {
		return nil, false
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	return body, err == nil && len(body) == size
}
