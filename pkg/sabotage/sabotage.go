// Package sabotage switches off what keeps promises, so that a test can show
// that it would notice. A program that is built as usual cannot be told to:
//
//	go build -ldflags "-X github.com/meridian-iam/meridian/pkg/sabotage.off=gap-check" …
package sabotage

import (
	"slices"
	"strings"
)

// What can be switched off.
const (
	// GapCheck lets a replica apply an event though earlier ones are missing.
	GapCheck = "gap-check"
	// TokenWait answers a read with a token without waiting for its revision.
	TokenWait = "token-wait"
	// Idempotency makes a repeated command a new one.
	Idempotency = "idempotency"
)

// off is set by the linker only: names separated by commas.
var off string

// Off says whether something is switched off.
func Off(what string) bool { return off != "" && slices.Contains(strings.Split(off, ","), what) }
