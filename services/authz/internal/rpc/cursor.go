package rpc

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/page"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
)

// place is where a page of a list begins: at which state, after which name. The
// zero place is the start of a new list.
type place struct {
	sequence uint64
	// at is when the list was computed, in Unix nanoseconds; 0 when it was not.
	at    int64
	after string
}

func (p place) started() bool { return p.sequence != 0 }

// cursor returns the place as a cursor of a query.
func (p place) cursor(query string) string {
	return page.Cursor(query, fmt.Sprintf("%d %d %s", p.sequence, p.at, p.after))
}

// placeIn reads a cursor.
//
// Errors: INVALID_FIELD (cursor).
func placeIn(query, cursor string) (place, error) {
	position, err := page.After(query, cursor)
	if err != nil || position == "" {
		return place{}, err
	}
	var out place
	parts := strings.SplitN(position, " ", 3)
	if len(parts) != 3 {
		return out, notOurs()
	}
	if out.sequence, err = strconv.ParseUint(parts[0], 10, 64); err != nil || out.sequence == 0 {
		return out, notOurs()
	}
	if out.at, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
		return out, notOurs()
	}
	out.after = parts[2]
	return out, nil
}

func notOurs() error {
	return fault.Field("cursor", "cursor", "is not a cursor of this list; start again without one")
}

// queryText says what is listed, circumstances included: a cursor works for
// that only.
func queryText(c *authzv1.Circumstances, parts ...string) (string, error) {
	if c == nil {
		return strings.Join(parts, "\n"), nil
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode circumstances: %w", err)
	}
	sum := sha256.Sum256(encoded)
	return strings.Join(append(parts, hex.EncodeToString(sum[:])), "\n"), nil
}
