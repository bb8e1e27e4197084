// Package page makes the opaque cursors of lists.
package page

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/meridian-iam/meridian/pkg/fault"
)

const (
	version = 1
	sumSize = 8
)

// Size returns how many items a page has: asked, or standard when asked is 0.
func Size(asked uint32, standard int) int {
	if asked == 0 {
		return standard
	}
	return int(asked)
}

// Cursor returns a cursor for the items of query after a position. The query is
// any text that says what is listed: a cursor works for that query only.
func Cursor(query, after string) string {
	b := append([]byte{version}, sum(query, after)...)
	return base64.RawURLEncoding.EncodeToString(append(b, after...))
}

// After returns the position in a cursor; an empty cursor is the start.
//
// Errors: INVALID_FIELD (field "cursor") when it was not made by Cursor for the
// same query.
func After(query, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) < 1+sumSize || b[0] != version {
		return "", refused()
	}
	after := string(b[1+sumSize:])
	if !utf8.ValidString(after) || strings.ContainsRune(after, 0) {
		return "", refused() // no position that a database could be asked for
	}
	// The whole text: decoding passes over line ends.
	if subtle.ConstantTimeCompare([]byte(Cursor(query, after)), []byte(cursor)) != 1 {
		return "", refused()
	}
	return after, nil
}

func sum(query, after string) []byte {
	inner := sha256.Sum256([]byte(query))
	s := sha256.Sum256(append(inner[:], after...))
	return s[:sumSize]
}

func refused() error {
	return fault.Field("cursor", "cursor", "is not a cursor of this list; start again without one")
}
