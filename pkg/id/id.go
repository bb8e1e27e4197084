// Package id makes and parses the ids of Meridian: a prefix that names the
// kind, an underscore, and a UUIDv7 in 26 characters of Crockford's base 32.
//
// Ids of one kind sort by the time they were made. They are safe as NATS
// subject tokens, as file names and in URLs.
package id

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Kind is the prefix of an id.
type Kind string

// The kinds.
const (
	Organization   Kind = "org"
	User           Kind = "usr"
	Token          Kind = "tok"
	Group          Kind = "grp"
	ServiceAccount Kind = "svc"
	Invitation     Kind = "inv"
	Domain         Kind = "dom"
	Credential     Kind = "crd"
	Authentication Kind = "aut"
	Client         Kind = "cli"
	ClientSecret   Kind = "crs"
	Session        Kind = "ses"
	Grant          Kind = "gnt"
	Logout         Kind = "lgo"
	Trust          Kind = "tru"
	Activity       Kind = "act"
)

// Platform is the id of the platform's log. It has no UUID.
const Platform = "platform"

const (
	alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	encoded  = 26
)

// ErrMalformed is returned for a text that is not an id of the kind.
var ErrMalformed = errors.New("malformed id")

// New makes an id. It panics only when the system has no randomness.
func New(kind Kind) string { return Format(kind, uuid.Must(uuid.NewV7())) }

// Format renders a UUID as an id.
func Format(kind Kind, u uuid.UUID) string {
	var b strings.Builder
	b.Grow(len(kind) + 1 + encoded)
	b.WriteString(string(kind))
	b.WriteByte('_')
	// 128 bits in 26 digits of 5 bits: the first digit has the top 3.
	hi, lo := uint64(0), uint64(0)
	for i := range 8 {
		hi, lo = hi<<8|uint64(u[i]), lo<<8|uint64(u[8+i])
	}
	for shift := 125; shift >= 0; shift -= 5 {
		b.WriteByte(alphabet[bits(hi, lo, shift)])
	}
	return b.String()
}

func bits(hi, lo uint64, shift int) uint64 {
	switch {
	case shift >= 64:
		return hi >> (shift - 64) & 31
	case shift > 59:
		return (lo>>shift | hi<<(64-shift)) & 31
	default:
		return lo >> shift & 31
	}
}

// Parse returns the UUID of an id of the given kind. Only the form that Format
// gives is accepted: lower case, 26 digits, no overflow.
func Parse(kind Kind, s string) (uuid.UUID, error) {
	digits, ok := strings.CutPrefix(s, string(kind)+"_")
	if !ok || len(digits) != encoded || digits[0] > '7' {
		return uuid.UUID{}, fmt.Errorf("%w: want %s_ and %d characters", ErrMalformed, kind, encoded)
	}
	var hi, lo uint64
	for i := range encoded {
		v := strings.IndexByte(alphabet, digits[i])
		if v < 0 {
			return uuid.UUID{}, fmt.Errorf("%w: character %d is not of the alphabet", ErrMalformed, len(kind)+2+i)
		}
		hi, lo = hi<<5|lo>>59, lo<<5|uint64(v)
	}
	var u uuid.UUID
	for i := range 8 {
		u[i], u[8+i] = byte(hi>>(56-8*i)), byte(lo>>(56-8*i))
	}
	return u, nil
}

// Valid says whether s is an id of the kind.
func Valid(kind Kind, s string) bool {
	_, err := Parse(kind, s)
	return err == nil
}
