// Package apitoken decides what happens to API tokens.
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

// How long a token lives.
const (
	DefaultLifetime = 90 * 24 * time.Hour
	MaxLifetime     = 366 * 24 * time.Hour
)

// State is a token as its log tells it. The zero State is a token that does
// not exist.
type State struct {
	ID           string
	Name         string
	Organization string // "" is the platform
	Level        commonv1.Level
	ExpiresAt    time.Time
	Revoked      bool
}

// Apply folds one event; events about other things change nothing.
func (s *State) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.ApiTokenCreated:
		*s = State{
			ID: e.GetToken(), Name: e.GetName(), Organization: e.GetOrganization(),
			Level: e.GetLevel(), ExpiresAt: e.GetExpiresAt().AsTime(),
		}
	case *eventv1.ApiTokenRevoked:
		s.Revoked = s.Revoked || s.ID == e.GetToken()
	}
}

// Usable says whether the token opens anything at the given time.
func (s State) Usable(at time.Time) bool {
	return s.ID != "" && !s.Revoked && at.Before(s.ExpiresAt)
}

// Create makes a token.
type Create struct {
	ID           string
	Name         string
	Organization string
	Level        commonv1.Level
	Lifetime     time.Duration // 0 means DefaultLifetime
	At           time.Time
	// Caller is what the caller's own token may do: nobody gives away more.
	Caller commonv1.Level
}

// Decide returns the event that makes the token.
//
// Errors: INVALID_FIELD (id, level, lifetime), ACCESS_DENIED for a level above
// the caller's own, ALREADY_EXISTS. None writes anything.
func (c Create) Decide(s State) ([]proto.Message, error) {
	lifetime := c.Lifetime
	if lifetime == 0 {
		lifetime = DefaultLifetime
	}
	switch {
	case s.ID != "":
		return nil, fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the token exists").With("field", "id")
	case !id.Valid(id.Token, c.ID):
		return nil, fault.Field("id", "token_id", "is not a token id")
	case c.Level < commonv1.Level_LEVEL_READ || c.Level > commonv1.Level_LEVEL_ADMIN:
		return nil, fault.Field("level", "defined", "is not a level")
	case c.Level > c.Caller:
		return nil, fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, "a token cannot make a token that may do more than itself")
	case lifetime < 0 || lifetime > MaxLifetime:
		return nil, fault.Field("lifetime_seconds", "max_lifetime", "must be at most 366 days")
	}
	return []proto.Message{&eventv1.ApiTokenCreated{
		Token: c.ID, Name: c.Name, Organization: c.Organization, Level: c.Level,
		// Microseconds: what the row and the event can both hold.
		ExpiresAt: timestamppb.New(c.At.Add(lifetime).Truncate(time.Microsecond)),
	}}, nil
}

// Revoke ends a token.
type Revoke struct {
	ID           string
	Organization string
}

// Decide returns the event that ends the token, or none when it has ended.
//
// Errors: NOT_FOUND for an absent token and for one of another organization.
func (c Revoke) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.ID == "" || s.ID != c.ID || s.Organization != c.Organization:
		return nil, fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such token")
	case s.Revoked:
		return nil, nil
	}
	return []proto.Message{&eventv1.ApiTokenRevoked{Token: c.ID}}, nil
}
