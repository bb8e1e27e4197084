package apitoken

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
)

// How long a token goes on after another took its place.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 30 * 24 * time.Hour
)

// Rotate makes a token that takes another's place.
type Rotate struct {
	// ID is the new token's, Old the one whose place it takes.
	ID           string
	Old          string
	Organization string
	Overlap      time.Duration // 0 means DefaultOverlap
	Lifetime     time.Duration // of the new one; 0 means DefaultLifetime
	At           time.Time
	// Related says that a token lives whose place the old one took, or that took the
	// old one's.
	Related bool
	// Caller and CallerScopes are what the caller's own token may do.
	Caller       commonv1.Level
	CallerScopes Scopes
}

// Decide returns the event that makes the new token, with the old one's name, level,
// scopes and owner, and then one that ends the old one after the overlap, unless it ends
// before.
//
// Two tokens live at once then, and no more: a third is refused until one of them has
// ended.
//
// Errors: NOT_FOUND for an absent token, one of another organization and one that has
// ended; LIMIT_REACHED; INVALID_FIELD (id, lifetime, overlap); ACCESS_DENIED for a token
// that may do more than the caller's. None writes anything.
func (c Rotate) Decide(old State) ([]proto.Message, error) {
	expires, err := lives(c.At, c.Lifetime)
	if err != nil {
		return nil, err
	}
	overlap := c.Overlap
	if overlap == 0 {
		overlap = DefaultOverlap
	}
	switch {
	case old.ID != c.Old || old.Organization != c.Organization || !old.Usable(c.At):
		return nil, notFound()
	case !id.Valid(id.Token, c.ID):
		return nil, fault.Field("id", "token_id", "is not a token id")
	case overlap < 0 || overlap > MaxOverlap:
		return nil, fault.Field("overlap_seconds", "range", "must be at most 30 days")
	case c.Related:
		return nil, fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED, "two tokens of this rotation are live; revoke one, or wait").
			With("limit", "2").With("field", "token")
	}
	if err := given(old.Level, old.Scopes, c.Caller, c.CallerScopes); err != nil {
		return nil, err
	}
	events := []proto.Message{&eventv1.ApiTokenCreated{
		Token: c.ID, Name: old.Name, Organization: old.Organization, Level: old.Level, ExpiresAt: timestamppb.New(expires),
		ServiceAccount: old.ServiceAccount, Scopes: old.Scopes, Replaces: old.ID,
	}}
	if ends := c.At.Add(overlap).Truncate(time.Microsecond); ends.Before(old.ExpiresAt) {
		events = append(events, &eventv1.ApiTokenExpiryChanged{Token: old.ID, ExpiresAt: timestamppb.New(ends)})
	}
	return events, nil
}

func notFound() error { return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such token") }
