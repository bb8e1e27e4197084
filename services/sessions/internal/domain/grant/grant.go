// Package grant decides what becomes of what clients were given: a code that is good
// for one use, and after it a family of refresh tokens of which one is current.
//
// A family has a generation, a number that each rotation raises by one. No token is
// stored: which generation a token is of is in the token, under a MAC.
package grant

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// MaxGrace bounds how long the token before the current one is still answered.
const MaxGrace = time.Minute

// CodeLife is how long a code is good for.
//
// Source: OAuth 2.1 section 4.1.2, RFC 6749 section 4.1.2: ten minutes at most.
const CodeLife = time.Minute

// Status says what a grant is good for.
type Status uint8

// The statuses. The zero Status is a grant that does not exist.
const (
	Absent Status = iota
	// Issued: its code was not used yet.
	Issued
	// Redeemed: its code was used; tokens may be refreshed.
	Redeemed
	// Revoked: it is good for nothing any more.
	Revoked
)

// State is a grant.
type State struct {
	ID       string
	Status   Status
	Session  string
	User     string
	Client   string
	IssuedAt time.Time
	// ExpiresAt ends all, however often it is refreshed.
	ExpiresAt time.Time

	// RedirectURI, Challenge (S256) and Key are what the code is bound to; Key is the
	// thumbprint of the key that the request named (RFC 9449 section 10), or "".
	RedirectURI string
	Challenge   string
	Key         string

	// Refreshable says whether it has refresh tokens.
	Refreshable bool
	// Generation is that of the current refresh token, from 1 on; 0: there is none.
	Generation uint64
	// RotatedAt is when the current one was made.
	RotatedAt time.Time
	// Idle ends a family that is not refreshed for so long.
	Idle time.Duration
	// Grace is how long the token before the current one gets the current one, for who
	// did not get the answer. It is 0 where tokens are bound to a key.
	Grace time.Duration
}

// rejected is the answer to whoever presents what is not good: which of the reasons it
// is, is not theirs to know.
func rejected(detail string) error {
	return fault.New(fault.Unauthenticated, commonv1.Reason_GRANT_REJECTED, detail)
}

// revoked are the events that end a grant.
func (s State) revoked(reason eventv1.Revocation) []proto.Message {
	return []proto.Message{&eventv1.GrantRevoked{Grant: s.ID, Client: s.Client, Reason: reason}}
}

// Revoke ends a grant.
type Revoke struct {
	Reason eventv1.Revocation
}

// Decide returns the event that ends the grant; none when it has ended already.
//
// Errors: NOT_FOUND.
func (c Revoke) Decide(s State) ([]proto.Message, error) {
	switch s.Status {
	case Absent:
		return nil, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such grant")
	case Revoked:
		return nil, nil
	default:
		return s.revoked(c.Reason), nil
	}
}
