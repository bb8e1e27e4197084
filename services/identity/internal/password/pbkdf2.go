package password

import (
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // hashes of other systems are verified as they are, and then replaced
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"
)

// pbkdf2Hash is a hash of RFC 8018 over HMAC with SHA-1, SHA-256 or SHA-512.
type pbkdf2Hash struct {
	digest     string
	iterations int
	salt, tag  []byte
}

var digestBytes = map[string]int{"sha1": sha1.Size, "sha256": sha256.Size, "sha512": sha512.Size}

// pbkdf2Memory is the state of one computation.
const pbkdf2Memory = 4 * kib

// parsePBKDF2 reads both forms there are:
//
//	$pbkdf2-sha256$i=…$salt$hash       PHC string, also i=…,l=… with the hash's length
//	$pbkdf2-sha256$…$salt$hash         passlib, whose base64 has . instead of +
func parsePBKDF2(fields []string, l Limits) (hash, error) {
	if len(fields) != 5 {
		return nil, malformed("format", "is not an encoded PBKDF2 hash")
	}
	_, digest, named := strings.Cut(fields[1], "-")
	if !named {
		digest = "sha1"
	}
	cost, saltText, tagText := fields[2], fields[3], fields[4]
	length, sized := "", false
	if rest, phc := strings.CutPrefix(cost, "i="); phc {
		cost, length, sized = strings.Cut(rest, ",")
	} else {
		if strings.ContainsRune(saltText+tagText, '+') {
			return nil, malformed("encoding", "is not in passlib's base64")
		}
		saltText, tagText = strings.ReplaceAll(saltText, ".", "+"), strings.ReplaceAll(tagText, ".", "+")
	}
	salt, tag, err := saltAndTag(saltText, tagText)
	if err != nil {
		return nil, err
	}
	if sized && length != "l="+strconv.Itoa(len(tag)) {
		return nil, malformed("parameters", "has not the parameters of its algorithm")
	}
	return newPBKDF2(digest, cost, salt, tag, l)
}

// parseDjango reads pbkdf2_sha256$iterations$salt$hash. The salt is text as it
// stands, the hash base64 with padding.
func parseDjango(fields []string, l Limits) (hash, error) {
	digest, ok := strings.CutPrefix(fields[0], "pbkdf2_")
	switch {
	case !ok || digest != "sha1" && digest != "sha256":
		return nil, malformed("algorithm", "is of an algorithm that cannot be verified")
	case len(fields) != 4:
		return nil, malformed("format", "is not an encoded PBKDF2 hash")
	}
	tag, err := decode(base64.StdEncoding, fields[3])
	if err != nil {
		return nil, err
	}
	salt := []byte(fields[2])
	if err := lengths(len(salt), len(tag)); err != nil {
		return nil, err
	}
	return newPBKDF2(digest, fields[1], salt, tag, l)
}

func newPBKDF2(digest, cost string, salt, tag []byte, l Limits) (hash, error) {
	iterations, err := number(cost)
	if err != nil {
		return nil, err
	}
	// Each block of the hash takes all iterations.
	size := digestBytes[digest]
	blocks := int64((len(tag) + size - 1) / size)
	if iterations*blocks > int64(l.Iterations) {
		return nil, malformed("max_iterations", "takes more iterations than is allowed")
	}
	return pbkdf2Hash{digest: digest, iterations: int(iterations), salt: salt, tag: tag}, nil
}

func (pbkdf2Hash) memory() int64 { return pbkdf2Memory }

func (h pbkdf2Hash) matches(candidate string) (bool, error) {
	tag, err := h.derive(candidate)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(tag, h.tag) == 1, nil
}

func (h pbkdf2Hash) derive(candidate string) ([]byte, error) {
	switch h.digest {
	case "sha1":
		return pbkdf2.Key(sha1.New, candidate, h.salt, h.iterations, len(h.tag))
	case "sha256":
		return pbkdf2.Key(sha256.New, candidate, h.salt, h.iterations, len(h.tag))
	default:
		return pbkdf2.Key(sha512.New, candidate, h.salt, h.iterations, len(h.tag))
	}
}
