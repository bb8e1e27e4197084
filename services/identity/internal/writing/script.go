package writing

import (
	"slices"
	"unicode"
)

// writings are the scripts that one word may mix: UTS #39 section 5.2, highly
// restrictive. Any other script stands alone.
var writings = [][]*unicode.RangeTable{
	{unicode.Latin, unicode.Han, unicode.Hiragana, unicode.Katakana},
	{unicode.Latin, unicode.Han, unicode.Bopomofo},
	{unicode.Latin, unicode.Han, unicode.Hangul},
}

// OneWriting says whether the letters of a word may stand together, and whether
// its digits are of one script.
func OneWriting(word string) bool {
	return oneScript(word) && oneZero(word)
}

func oneScript(word string) bool {
	var found []*unicode.RangeTable
	for _, r := range word {
		if unicode.In(r, unicode.Common, unicode.Inherited) || unicode.In(r, found...) {
			continue
		}
		script := scriptOf(r)
		if script == nil {
			return false
		}
		found = append(found, script)
		if len(found) > 1 && !together(found) {
			return false
		}
	}
	return true
}

func scriptOf(r rune) *unicode.RangeTable {
	if r < unicode.MaxASCII || unicode.Is(unicode.Latin, r) {
		return unicode.Latin
	}
	for _, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return table
		}
	}
	return nil
}

func together(scripts []*unicode.RangeTable) bool {
	for _, writing := range writings {
		all := true
		for _, script := range scripts {
			all = all && slices.Contains(writing, script)
		}
		if all {
			return true
		}
	}
	return false
}

// oneZero says whether all decimal digits count from one zero.
//
// Source: UTS #39 section 5.3.
func oneZero(word string) bool {
	zero := rune(-1)
	for _, r := range word {
		if !unicode.Is(unicode.Nd, r) {
			continue
		}
		if z := zeroOf(r); zero < 0 {
			zero = z
		} else if z != zero {
			return false
		}
	}
	return true
}

// zeroOf returns the zero that a decimal digit counts from: digits stand in tens,
// in order, from 0 to 9.
func zeroOf(digit rune) rune {
	for _, r := range unicode.Nd.R16 {
		if lo := rune(r.Lo); lo <= digit && digit <= rune(r.Hi) {
			return digit - (digit-lo)%10
		}
	}
	for _, r := range unicode.Nd.R32 {
		if lo := rune(r.Lo); lo <= digit && digit <= rune(r.Hi) {
			return digit - (digit-lo)%10
		}
	}
	return digit
}
