package displayname

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/meridian-iam/meridian/services/identity/internal/writing"
)

const (
	// MaxKeys is how many words of a name can be searched for.
	MaxKeys = 8
	// MaxKeyBytes is how much of a word can.
	MaxKeyBytes = 32
)

// Keys returns what a name is found by: its first 8 words, case-folded in NFKC,
// each cut to 32 bytes, no word twice, in the order of the name. A word is a run of
// letters, digits and marks; a name of symbols only has none.
//
// A search folds what is looked for with Keys too, and finds the names that have,
// for each of its keys, a key that starts with it.
func Keys(name string) [][]byte {
	var keys [][]byte
	seen := make(map[string]bool, MaxKeys)
	for word := range strings.FieldsFuncSeq(fold(cut(name, MaxBytes)), notInWord) {
		word = cut(word, MaxKeyBytes)
		if seen[word] {
			continue
		}
		seen[word] = true
		keys = append(keys, []byte(word))
		if len(keys) == MaxKeys {
			break
		}
	}
	return slices.Clip(keys)
}

func notInWord(r rune) bool { return !unicode.In(r, unicode.L, unicode.N, unicode.M) }

// fold folds what is seen of a text. What is ignorable goes before: it would keep
// marks apart that folding puts in order. It goes again after, because some of it is
// what other characters fold to.
func fold(text string) string {
	for range 2 {
		text = writing.Fold(strings.Map(drop, text))
	}
	return text
}

// drop leaves out what nobody types when searching.
func drop(r rune) rune {
	if writing.Ignorable(r) {
		return -1
	}
	return r
}

// cut returns at most the first limit bytes, whole characters only.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
