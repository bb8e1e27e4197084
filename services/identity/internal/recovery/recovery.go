// Package recovery makes and matches recovery codes: what a person keeps on paper
// for the day when the second factor is lost. Each is good for one use.
package recovery

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"strings"

	"github.com/meridian-iam/meridian/pkg/secret"
)

const (
	// Count is how many codes a user gets at a time.
	Count = 10
	// digits of a code, five bits each: 80 random bits.
	digits = 16
	group  = 4
	// maxTyped bounds what somebody types, in bytes.
	maxTyped = 64
)

// alphabet is Crockford's base 32.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

var encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// Hash is what is stored of a code: SHA-256 over the user's id and the code. 80
// random bits are not guessed, so a slow hash would protect nothing more; and a
// hash that is copied to another user matches nothing there.
type Hash [sha256.Size]byte

// New makes codes of the form xxxx-xxxx-xxxx-xxxx for a user, and what to store
// of each. They replace all former ones.
func New(user string) ([]secret.String, []Hash) {
	codes, hashes := make([]secret.String, Count), make([]Hash, Count)
	for i := range Count {
		random := make([]byte, digits*5/8)
		_, _ = rand.Read(random) // never fails: it ends the process instead
		code := encoding.EncodeToString(random)
		codes[i], hashes[i] = secret.NewString(grouped(code)), hash(user, code)
	}
	return codes, hashes
}

func grouped(code string) string {
	var b strings.Builder
	for i := 0; i < digits; i += group {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(code[i : i+group])
	}
	return b.String()
}

// Match returns the index of the stored hash that is the user's typed code, or
// false. Whoever lets it in removes that hash in the same transaction. All are
// compared, so time does not tell which one it is.
//
// Case, spaces and hyphens do not matter; o is read as 0, i and l as 1.
func Match(user string, typed secret.String, stored []Hash) (index int, ok bool) {
	code, valid := parse(typed.Reveal())
	got, index := hash(user, code), -1
	for i := range stored {
		index = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(got[:], stored[i][:]), i, index)
	}
	if !valid || index < 0 {
		return 0, false
	}
	return index, true
}

// parse returns the digits of a code as New makes them.
func parse(typed string) (string, bool) {
	if len(typed) > maxTyped {
		return "", false
	}
	var b strings.Builder
	for _, c := range []byte(typed) {
		if 'A' <= c && c <= 'Z' { // and no other capital: the Kelvin sign is no k
			c += 'a' - 'A'
		}
		switch c {
		case ' ', '-':
			continue
		case 'o':
			c = '0'
		case 'i', 'l':
			c = '1'
		}
		if strings.IndexByte(alphabet, c) < 0 {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), b.Len() == digits
}

// hash binds a code to its user. The zero byte ends the id, which has none.
func hash(user, code string) Hash {
	return sha256.Sum256([]byte("meridian recovery code\x00" + user + "\x00" + code))
}
