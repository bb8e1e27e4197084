package password

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"math"

	"golang.org/x/crypto/argon2"
)

// argon2Hash is an argon2id or argon2i hash of RFC 9106, version 1.3. Argon2d is
// left out: it is not for passwords, and the library does not compute it.
type argon2Hash struct {
	Params
	salt, tag []byte
	id        bool // argon2id, else argon2i
}

// parseArgon2 reads $argon2id$v=19$m=…,t=…,p=…$salt$tag.
func parseArgon2(fields []string, l Limits) (hash, error) {
	switch {
	case fields[2] != "v=19":
		// Without the field it is version 1.0, which computes something else.
		return nil, malformed("version", "must be version 19 of argon2")
	case len(fields) != 6:
		return nil, malformed("format", "is not an encoded argon2 hash")
	}
	values, err := parameters(fields[3], "m", "t", "p")
	if err != nil {
		return nil, err
	}
	m, t, p := values[0], values[1], values[2]
	switch {
	case p > maxParallelism:
		return nil, malformed("max_parallelism", "must have at most 64 lanes")
	case m < 8*p:
		return nil, malformed("parameters", "must have 8 KiB for each lane")
	case m > l.Memory/kib:
		return nil, malformed("max_memory", "takes more memory than is allowed")
	case t > l.Work/(m*kib):
		return nil, malformed("max_work", "takes more passes over its memory than is allowed")
	}
	salt, tag, err := saltAndTag(fields[4], fields[5])
	if err != nil {
		return nil, err
	}
	if len(salt) < 8 {
		return nil, malformed("salt_length", "must have a salt of 8 bytes for argon2")
	}
	return argon2Hash{
		Params: Params{Memory: uint32(m), Passes: uint32(t), Parallelism: uint8(p & math.MaxUint8)},
		salt:   salt, tag: tag, id: fields[1] == "argon2id",
	}, nil
}

func (h argon2Hash) memory() int64 { return h.Params.memory() }

func (h argon2Hash) matches(candidate string) (bool, error) {
	derive := argon2.Key
	if h.id {
		derive = argon2.IDKey
	}
	tag := derive([]byte(candidate), h.salt, h.Passes, h.Memory, h.Parallelism, uint32(len(h.tag)))
	return subtle.ConstantTimeCompare(tag, h.tag) == 1, nil
}

// encode is the PHC string of an argon2id hash.
func (h argon2Hash) encode() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.Memory, h.Passes, h.Parallelism,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.tag))
}
