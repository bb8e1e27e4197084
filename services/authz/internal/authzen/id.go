package authzen

import (
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Ids of AuthZEN are any text. Ids of Meridian hold no white space, no control
// character, no ':' and no '#'. Such a character is written as its UTF-8 bytes,
// each % and two upper-case hexadecimal digits: "a b" is a%20b. A text that reads
// like an escaped one already gets a 25 after its %: "a%20b" is a%2520b. All
// other texts, with or without %, are as they are. So every id of either kind
// stands for exactly one of the other.

// escape turns an id of AuthZEN into one of Meridian.
func escape(text string) string {
	var out strings.Builder
	for i, r := range text {
		switch {
		case refused(r):
			for _, b := range []byte(string(r)) {
				out.WriteByte('%')
				out.WriteString(strings.ToUpper(hex.EncodeToString([]byte{b})))
			}
		case r == '%' && escaped(text[i:]) > 0:
			out.WriteString("%25")
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// unescape turns an id of Meridian into one of AuthZEN.
func unescape(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		length := escaped(text[i:])
		switch {
		case length == 0:
			out.WriteByte(text[i])
			i++
		case strings.HasPrefix(text[i:], "%25"):
			out.WriteByte('%')
			i += len("%25")
		default:
			r, _ := character(text[i:])
			out.WriteRune(r)
			i += length
		}
	}
	return out.String()
}

// refused says whether ids of Meridian may not hold a character.
func refused(r rune) bool {
	return r == ':' || r == '#' || unicode.IsSpace(r) || unicode.IsControl(r)
}

// escaped is the length of the escape that a text begins with, with any number
// of 25 after its %; 0 for none.
func escaped(text string) int {
	if !strings.HasPrefix(text, "%") {
		return 0
	}
	rest, more := text[1:], 0
	for strings.HasPrefix(rest, "25") {
		rest, more = rest[2:], more+2
	}
	if _, length := character("%" + rest); length > 0 {
		return length + more
	}
	return 0
}

// character reads a refused character that is written as %XX for each byte, and
// the length of that; 0 for anything else.
func character(text string) (r rune, length int) {
	var encoded []byte
	for !utf8.FullRune(encoded) {
		if len(text) < 3 || text[0] != '%' || strings.ToUpper(text[1:3]) != text[1:3] {
			return 0, 0
		}
		b, err := hex.DecodeString(text[1:3])
		if err != nil {
			return 0, 0
		}
		encoded, text = append(encoded, b[0]), text[3:]
	}
	r, size := utf8.DecodeRune(encoded)
	if size != len(encoded) || !refused(r) {
		return 0, 0
	}
	return r, 3 * size
}
