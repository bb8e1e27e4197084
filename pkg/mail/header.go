package mail

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// maxWord is how many bytes of a text an encoded word takes: with its frame and the
// name of a header it stays within the 76 of a line that RFC 2047 allows.
const maxWord = 36

// phrase is what a display name is made of beside letters, digits and single
// spaces; unstructured what a subject is. Other texts are encoded, so that nothing
// in them can be read as the header's own syntax, or as an encoded word.
const (
	phrase       = "!#$%&'*+-/^_`{|}~"
	unstructured = phrase + `"(),.:;<>@[\]?`
)

// header returns the value of a header: a text, as encoded words when it holds more
// than the plain characters, and what follows it as it is. Lines are folded.
func header(plain, text, then string) string {
	var words []string
	switch {
	case text == "":
	case plainly(plain, text):
		words = strings.Split(text, " ")
	default:
		words = encodedWords(text)
	}
	if then != "" {
		words = append(words, then)
	}
	var out strings.Builder
	column := len("Subject:")
	for i, word := range words {
		switch {
		case i == 0:
		case column+1+len(word) > 76:
			out.WriteString("\r\n ")
			column = 1
		default:
			out.WriteString(" ")
			column++
		}
		out.WriteString(word)
		column += len(word)
	}
	return out.String()
}

func plainly(plain, text string) bool {
	for i := range len(text) {
		c := text[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(plain, c) >= 0:
		case c == ' ' && 0 < i && i < len(text)-1 && text[i-1] != ' ':
		default:
			return false
		}
	}
	return true
}

func encodedWords(text string) []string {
	var words []string
	for text != "" {
		n := min(maxWord, len(text))
		for n < len(text) && n > 0 && !utf8.RuneStart(text[n]) {
			n--
		}
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(text[:n]))+"?=")
		text = text[n:]
	}
	return words
}
