package password

import (
	"encoding/base64"
	"errors"
	"strconv"

	"golang.org/x/crypto/bcrypt"
)

// bcryptBytes is how much of a password bcrypt looks at. Systems that hashed
// longer ones hashed their first 72 bytes, so that is what matches here, too.
const bcryptBytes = 72

// bcryptMemory is the state of one computation.
const bcryptMemory = 4 * kib

// bcryptHash is a bcrypt hash: 2b, what OpenBSD wrote as 2a before it, and what
// PHP writes as 2y. 2x marks hashes of a faulty implementation, and is refused.
type bcryptHash []byte

var bcryptEncoding = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").
	WithPadding(base64.NoPadding)

// parseBcrypt reads $2b$cost$ and 22 characters of salt, 31 of hash.
func parseBcrypt(encoded string, fields []string, l Limits) (hash, error) {
	const saltLen, tagLen = 22, 31
	if len(fields) != 4 || len(fields[2]) != 2 || len(fields[3]) != saltLen+tagLen {
		return nil, malformed("format", "is not an encoded bcrypt hash")
	}
	cost, err := strconv.ParseUint(fields[2], 10, 8)
	switch {
	case err != nil || cost < 4 || cost > 31:
		return nil, malformed("parameters", "must have a cost of 04 to 31")
	case int(cost) > l.BcryptCost:
		return nil, malformed("max_cost", "has a higher cost than is allowed")
	}
	// Some systems leave random bits after the salt: the salt need not be strict.
	if salt, err := bcryptEncoding.DecodeString(fields[3][:saltLen]); err != nil || len(salt) != 16 {
		return nil, malformed("encoding", "is not in bcrypt's base64")
	}
	if _, err := decode(bcryptEncoding, fields[3][saltLen:]); err != nil {
		return nil, err
	}
	return bcryptHash(encoded), nil
}

func (bcryptHash) memory() int64 { return bcryptMemory }

func (h bcryptHash) matches(candidate string) (bool, error) {
	err := bcrypt.CompareHashAndPassword(h, []byte(candidate[:min(len(candidate), bcryptBytes)]))
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return false, nil
	}
	return err == nil, err
}
