package password

import (
	"crypto/subtle"
	"strings"

	"golang.org/x/crypto/scrypt"
)

// scryptHash is a hash of RFC 7914.
type scryptHash struct {
	n, r, p   int
	salt, tag []byte
}

// newScrypt checks the cost: 128·r bytes for each of N steps, and for each of
// the p lanes, which are computed one after the other.
func newScrypt(log, r, p int64, l Limits) (scryptHash, error) {
	if log < 1 || log > 31 || r < 1 || p < 1 || r*p >= 1<<30 || r > 1<<20 {
		return scryptHash{}, malformed("parameters", "has parameters that scrypt does not define")
	}
	h := scryptHash{n: 1 << log, r: int(r), p: int(p)}
	switch {
	case h.memory() > l.Memory:
		return scryptHash{}, malformed("max_memory", "takes more memory than is allowed")
	case p > l.Work/(128*r<<log):
		return scryptHash{}, malformed("max_work", "takes more passes over its memory than is allowed")
	}
	return h, nil
}

// parseScrypt reads $scrypt$ln=…,r=…,p=…$salt$hash.
func parseScrypt(fields []string, l Limits) (hash, error) {
	if len(fields) != 5 {
		return nil, malformed("format", "is not an encoded scrypt hash")
	}
	values, err := parameters(fields[2], "ln", "r", "p")
	if err != nil {
		return nil, err
	}
	h, err := newScrypt(values[0], values[1], values[2], l)
	if err != nil {
		return nil, err
	}
	if h.salt, h.tag, err = saltAndTag(fields[3], fields[4]); err != nil {
		return nil, err
	}
	return h, nil
}

// itoa64 are the digits of crypt(3).
const itoa64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// parseScrypt7 reads what crypt(3) and libsodium write: $7$, one digit of log N,
// five of r, five of p, the salt as text, $ and 43 characters of hash.
func parseScrypt7(fields []string, l Limits) (hash, error) {
	const header, tagLen = 11, 43
	if len(fields) != 4 || len(fields[2]) < header || len(fields[3]) != tagLen {
		return nil, malformed("format", "is not an encoded scrypt hash")
	}
	for _, c := range []byte(fields[2] + fields[3]) {
		if strings.IndexByte(itoa64, c) < 0 {
			return nil, malformed("encoding", "is not in the base64 of crypt(3)")
		}
	}
	log := little(fields[2][:1])
	h, err := newScrypt(int64(log), int64(little(fields[2][1:6])), int64(little(fields[2][6:header])), l)
	if err != nil {
		return nil, err
	}
	h.salt = []byte(fields[2][header:])
	for i := 0; i < tagLen; i += 4 {
		group := fields[3][i:min(i+4, tagLen)]
		value := little(group)
		for range len(group) * 6 / 8 {
			h.tag = append(h.tag, byte(value))
			value >>= 8
		}
		if value != 0 {
			return nil, malformed("encoding", "is not in the base64 of crypt(3)")
		}
	}
	return h, lengths(len(h.salt), len(h.tag))
}

// little reads digits of six bits, the lowest first.
func little(digits string) uint32 {
	var value uint32
	for i := range len(digits) {
		value |= uint32(strings.IndexByte(itoa64, digits[i])) << (6 * i)
	}
	return value
}

func (h scryptHash) memory() int64 {
	return 128 * int64(h.r) * (int64(h.n) + int64(h.p) + 2)
}

func (h scryptHash) matches(candidate string) (bool, error) {
	tag, err := scrypt.Key([]byte(candidate), h.salt, h.n, h.r, h.p, len(h.tag))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(tag, h.tag) == 1, nil
}
