package address

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/meridian-iam/meridian/services/identity/internal/writing"
)

// lookup is IDNA2008 as UTS #46 looks names up, without transitional mapping: ß
// stays itself. It also bounds labels and names as DNS does.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.VerifyDNSLength(true))

// domainName returns the A-labels of a domain, in lower case.
func domainName(typed string) (string, error) {
	ascii, err := lookup.ToASCII(typed)
	if err != nil {
		return "", noDomain()
	}
	ascii = strings.ToLower(ascii)
	// The registry of a name is never a number, so an IPv4 address is no name.
	dot := strings.LastIndexByte(ascii, '.')
	if dot < 0 || strings.Trim(ascii[dot+1:], "0123456789") == "" {
		return "", noDomain()
	}
	name, err := lookup.ToUnicode(ascii)
	if err != nil {
		return "", noDomain()
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case strings.ContainsFunc(label, notInLabel) || writing.Stacked(label):
			return "", noDomain()
		case !writing.OneWriting(label):
			return "", mixed("each part of the domain")
		}
	}
	return ascii, nil
}

// notInLabel refuses symbols, which UTS #46 lets pass, and joiners.
func notInLabel(r rune) bool {
	return r != '-' && !unicode.In(r, unicode.L, unicode.M, unicode.Nd) || !writing.Drawn(r)
}

func noDomain() error {
	return invalid("domain", "must end in the name of a domain, as in name@example.com")
}
