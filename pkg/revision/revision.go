// Package revision holds revisions and the token that carries them.
//
// A revision is a log and a sequence in it. A token names the revisions that a
// write made; any read, in any service and any region, accepts it and is then
// at least that fresh.
package revision

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/meridian-iam/meridian/pkg/id"
)

// Revision is a place in a log: after the event with this sequence.
type Revision struct {
	// Log is "platform", an organization's id or a user's id.
	Log string
	// Sequence is 1 for a log's first event; 0 means before it.
	Sequence uint64
}

// MaxLogs is how many logs a token may name.
const MaxLogs = 4

// MaxLength is the length that no token exceeds, in bytes.
const MaxLength = 128

// ErrMalformed is returned for a text that is not a token.
var ErrMalformed = errors.New("malformed revision token")

const version = 1

// The kinds of logs, as one byte in the token.
const (
	kindPlatform     = 0
	kindOrganization = 1
	kindUser         = 2
)

// Token renders revisions: base64url of a version byte and, for each log in
// order, its kind, its UUID (none for the platform) and the sequence as a
// varint. The same revisions always give the same token.
func Token(revisions ...Revision) (string, error) {
	merged := merge(revisions)
	if len(merged) == 0 || len(merged) > MaxLogs {
		return "", fmt.Errorf("a revision token names 1 to %d logs, not %d", MaxLogs, len(merged))
	}
	b := []byte{version}
	for _, r := range merged {
		kind, u, err := parseLog(r.Log)
		if err != nil {
			return "", err
		}
		b = append(b, kind)
		if kind != kindPlatform {
			b = append(b, u[:]...)
		}
		b = binary.AppendUvarint(b, r.Sequence)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// Parse returns the revisions of a token, ordered by log. Only what Token gives
// is accepted.
func Parse(token string) ([]Revision, error) {
	if token == "" || len(token) > MaxLength {
		return nil, fmt.Errorf("%w: length %d", ErrMalformed, len(token))
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < 3 || b[0] != version {
		return nil, ErrMalformed
	}
	var out []Revision
	for b = b[1:]; len(b) > 0; {
		var r Revision
		if r, b, err = next(b); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	if again, err := Token(out...); err != nil || again != token {
		return nil, fmt.Errorf("%w: not in canonical form", ErrMalformed)
	}
	return out, nil
}

func next(b []byte) (Revision, []byte, error) {
	var r Revision
	kind := b[0]
	b = b[1:]
	switch kind {
	case kindPlatform:
		r.Log = id.Platform
	case kindOrganization, kindUser:
		if len(b) < len(uuid.UUID{}) {
			return r, nil, ErrMalformed
		}
		prefix := id.Organization
		if kind == kindUser {
			prefix = id.User
		}
		r.Log = id.Format(prefix, uuid.UUID(b[:16]))
		b = b[16:]
	default:
		return r, nil, ErrMalformed
	}
	sequence, n := binary.Uvarint(b)
	if n <= 0 {
		return r, nil, ErrMalformed
	}
	r.Sequence = sequence
	return r, b[n:], nil
}

// Find returns the sequence that revisions name for a log.
func Find(revisions []Revision, log string) (sequence uint64, ok bool) {
	for _, r := range revisions {
		if r.Log == log {
			return r.Sequence, true
		}
	}
	return 0, false
}

// ValidLog says whether log can be the id of a log.
func ValidLog(log string) bool {
	_, _, err := parseLog(log)
	return err == nil
}

func parseLog(log string) (kind byte, u uuid.UUID, err error) {
	switch {
	case log == id.Platform:
		return kindPlatform, u, nil
	case strings.HasPrefix(log, string(id.Organization)):
		u, err = id.Parse(id.Organization, log)
		return kindOrganization, u, err
	default:
		u, err = id.Parse(id.User, log)
		return kindUser, u, err
	}
}

// merge orders revisions by log and keeps the highest sequence of each.
func merge(revisions []Revision) []Revision {
	if len(revisions) == 1 {
		return revisions // the token of every answer
	}
	merged := slices.Clone(revisions)
	slices.SortFunc(merged, func(a, b Revision) int {
		if c := strings.Compare(a.Log, b.Log); c != 0 {
			return c
		}
		// The highest sequence first: CompactFunc keeps the first.
		return -compare(a.Sequence, b.Sequence)
	})
	return slices.CompactFunc(merged, func(a, b Revision) bool { return a.Log == b.Log })
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}
