package apitoken

import (
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-iam/meridian/pkg/fault"
)

// The bounds of scopes. Those of a caller travel in tokens of services, which are
// bounded.
const (
	maxScopes     = 50
	maxScopeBytes = 2000 // of all of them
)

// Scopes are full names of services and procedures that a token may call, as
// meridian.authz.v1.CheckService or meridian.authz.v1.CheckService/Check. None: all.
type Scopes []string

// ordered returns the scopes in order, each once.
func (s Scopes) ordered() Scopes { return slices.Compact(slices.Sorted(slices.Values(s))) }

func (s Scopes) check() error {
	size := 0
	for i, scope := range s {
		service, method, _ := strings.Cut(scope, "/")
		if !named(service, ".") || strings.Contains(scope, "/") && !named(method, "") {
			return fault.Field("scopes["+strconv.Itoa(i)+"]", "scope", "must be the full name of a service or procedure, as meridian.authz.v1.CheckService/Check")
		}
		size += len(scope)
	}
	if len(s) > maxScopes || size > maxScopeBytes {
		return fault.Field("scopes", "size", "must be at most 50, of 2000 bytes in all")
	}
	return nil
}

// named says whether a text is of letters, digits and one more character, with none of
// these at its ends or twice in a row.
func named(text, separator string) bool {
	letters := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	}
	parts := []string{text}
	if separator != "" {
		parts = strings.Split(text, separator)
	}
	for _, part := range parts {
		if part == "" || strings.TrimFunc(part, letters) != "" {
			return false
		}
	}
	return true
}

// within says whether everything that s allows is allowed by of.
func (s Scopes) within(of Scopes) bool {
	if len(of) == 0 {
		return true
	}
	for _, scope := range s {
		service, _, _ := strings.Cut(scope, "/")
		if !slices.Contains(of, scope) && !slices.Contains(of, service) {
			return false
		}
	}
	return len(s) > 0
}
