package jose

import (
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// KeyID is the kid that the header of a token names, or "" for what is no token.
func KeyID(token string) string {
	h, err := parse(token)
	if err != nil {
		return ""
	}
	return h.KeyID
}

// Has says whether a set has a key of this id.
func (k Keys) Has(kid string) bool {
	return kid != "" && slices.ContainsFunc(k.keys, func(key jose.JSONWebKey) bool { return key.KeyID == kid })
}

// None says whether there is no key.
func (k Keys) None() bool { return len(k.keys) == 0 }
