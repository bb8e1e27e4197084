// Package writing says of texts that people write by what rules they are written:
// in what case, with what marks, in what script.
package writing

import "unicode"

// MaxMarks is how many nonspacing marks may follow each other.
//
// Source: UTS #39 section 5.4.
const MaxMarks = 4

// Stacked says whether marks are piled up: more than MaxMarks in a row, or one
// twice in a row.
func Stacked(text string) bool {
	run, last := 0, rune(-1)
	for _, r := range text {
		if !unicode.In(r, unicode.Mn, unicode.Me) {
			run, last = 0, -1
			continue
		}
		run++
		if run > MaxMarks || r == last {
			return true
		}
		last = r
	}
	return false
}

// Ignorable says whether a character is drawn as nothing, though it may be a
// letter or a mark by its category.
func Ignorable(r rune) bool {
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		r == '\u2800' // the braille pattern without dots
}

// Drawn says whether a character has a picture of its own: no white space, no
// control, format, private-use, surrogate or unassigned one, none that is
// ignorable.
func Drawn(r rune) bool {
	return unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r) && !Ignorable(r)
}
