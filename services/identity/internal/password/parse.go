package password

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// Bounds of an encoded hash, in bytes. A shorter tag would match by chance.
const (
	maxEncoded = 512
	maxSalt    = 64
	minTag     = 16
	maxTag     = 64
)

// hash is an encoded hash, taken apart and within the limits.
type hash interface {
	// memory is how many bytes one computation takes.
	memory() int64
	// matches computes the hash of a candidate and compares in constant time.
	matches(candidate string) (bool, error)
}

// parse takes an encoded hash apart. Only forms that some system writes are
// accepted, without leading zeros, padding bits or trailing text.
//
// Errors: those of Hasher.Check.
func parse(encoded string, l Limits) (hash, error) {
	if len(encoded) > maxEncoded {
		return nil, malformed("max_length", "must be at most 512 bytes long")
	}
	fields := strings.Split(encoded, "$")
	if len(fields) < 4 || len(fields) > 6 {
		return nil, malformed("format", "is not an encoded hash")
	}
	if fields[0] != "" {
		return parseDjango(fields, l)
	}
	switch name := fields[1]; name {
	case "argon2id", "argon2i":
		return parseArgon2(fields, l)
	case "2a", "2b", "2y":
		return parseBcrypt(encoded, fields, l)
	case "scrypt":
		return parseScrypt(fields, l)
	case "7":
		return parseScrypt7(fields, l)
	case "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
		return parsePBKDF2(fields, l)
	}
	return nil, malformed("algorithm", "is of an algorithm that cannot be verified")
}

func malformed(rule, detail string) *fault.Fault { return fault.Field("password_hash", rule, detail) }

// parameters reads "a=1,b=2" with exactly these names in this order.
func parameters(text string, names ...string) ([]int64, error) {
	parts := strings.Split(text, ",")
	if len(parts) != len(names) {
		return nil, malformed("parameters", "has not the parameters of its algorithm")
	}
	values := make([]int64, len(names))
	for i, name := range names {
		digits, ok := strings.CutPrefix(parts[i], name+"=")
		if !ok {
			return nil, malformed("parameters", "has not the parameters of its algorithm")
		}
		value, err := number(digits)
		if err != nil {
			return nil, err
		}
		values[i] = value
	}
	return values, nil
}

// number reads a decimal from 1 to 2³²−1, without sign or leading zeros.
func number(digits string) (int64, error) {
	value, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || digits[0] < '1' || digits[0] > '9' {
		return 0, malformed("parameters", "has a parameter that is no number from 1 to 4294967295")
	}
	return int64(value), nil
}

// saltAndTag reads the last two fields of a PHC string.
func saltAndTag(saltText, tagText string) (salt, tag []byte, err error) {
	if salt, err = decode(base64.RawStdEncoding, saltText); err != nil {
		return nil, nil, err
	}
	if tag, err = decode(base64.RawStdEncoding, tagText); err != nil {
		return nil, nil, err
	}
	return salt, tag, lengths(len(salt), len(tag))
}

// decode is strict: no line breaks, which package base64 skips, and no bits left
// over.
func decode(of *base64.Encoding, text string) ([]byte, error) {
	b, err := of.Strict().DecodeString(text)
	if err != nil || of.EncodeToString(b) != text {
		return nil, malformed("encoding", "is not in the base64 of its form")
	}
	return b, nil
}

func lengths(salt, tag int) error {
	switch {
	case salt < 1 || salt > maxSalt:
		return malformed("salt_length", "must have a salt of 1 to 64 bytes")
	case tag < minTag || tag > maxTag:
		return malformed("tag_length", "must have a hash of 16 to 64 bytes")
	}
	return nil
}
