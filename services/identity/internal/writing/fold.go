package writing

import (
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// rounds is how often the two mappings are repeated until nothing changes. What is
// known needs two: folding can undo a normalization, and normalizing can bring up
// a letter that folds.
const rounds = 4

// Fold returns text by full Unicode case folding and compatibility composition:
// full-width letters become plain ones, ligatures become their letters, and ß
// becomes ss. Bound the text before.
//
// Source: Unicode Standard 3.13.5, toNFKC_Casefold, but what is ignorable is not
// removed: callers refuse it.
func Fold(text string) string {
	for range rounds {
		next := norm.NFKC.String(strings.Map(cherokee, cases.Fold().String(norm.NFKC.String(text))))
		if next == text {
			break
		}
		text = next
	}
	return text
}

// cherokee folds small Cherokee letters to capitals, the one script that folds
// upwards: the library's folding leaves them.
//
// Source: CaseFolding.txt of the Unicode Character Database.
func cherokee(r rune) rune {
	switch {
	case '\uAB70' <= r && r <= '\uABBF':
		return r - '\uAB70' + '\u13A0'
	case '\u13F8' <= r && r <= '\u13FD':
		return r - 8
	}
	return r
}
