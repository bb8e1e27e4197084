// Package apitoken decides what happens to API tokens.
package apitoken

import (
	"slices"
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
	// ServiceAccount calls with it, or nobody but the token itself.
	ServiceAccount string
	// Scopes are what it may call, in order; none: all.
	Scopes Scopes
	// Replaces is the token whose place it takes, or empty.
	Replaces string
}

// Equal says whether two states are the same.
func (s State) Equal(other State) bool {
	return s.ID == other.ID && s.Name == other.Name && s.Organization == other.Organization && s.Level == other.Level &&
		s.ExpiresAt.Equal(other.ExpiresAt) && s.Revoked == other.Revoked && s.ServiceAccount == other.ServiceAccount &&
		slices.Equal(s.Scopes, other.Scopes) && s.Replaces == other.Replaces
}

// Apply folds one event; events about other things change nothing.
func (s *State) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.ApiTokenCreated:
		*s = State{
			ID: e.GetToken(), Name: e.GetName(), Organization: e.GetOrganization(),
			Level: e.GetLevel(), ExpiresAt: e.GetExpiresAt().AsTime(),
			ServiceAccount: e.GetServiceAccount(), Scopes: e.GetScopes(), Replaces: e.GetReplaces(),
		}
	case *eventv1.ApiTokenExpiryChanged:
		if s.ID == e.GetToken() {
			s.ExpiresAt = e.GetExpiresAt().AsTime()
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
	// ServiceAccount is one of the organization's, or empty.
	ServiceAccount string
	Scopes         Scopes
	Lifetime       time.Duration // 0 means DefaultLifetime
	At             time.Time
	// Caller and CallerScopes are what the caller's own token may do: nobody gives
	// away more.
	Caller       commonv1.Level
	CallerScopes Scopes
}

// Decide returns the event that makes the token.
//
// Errors: INVALID_FIELD (id, level, lifetime, scopes), ACCESS_DENIED for a level or
// scopes beyond the caller's own, ALREADY_EXISTS. None writes anything.
func (c Create) Decide(s State) ([]proto.Message, error) {
	expires, err := lives(c.At, c.Lifetime)
	switch {
	case err != nil:
		return nil, err
	case s.ID != "":
		return nil, fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the token exists").With("field", "id")
	case !id.Valid(id.Token, c.ID):
		return nil, fault.Field("id", "token_id", "is not a token id")
	case c.Level < commonv1.Level_LEVEL_READ || c.Level > commonv1.Level_LEVEL_ADMIN:
		return nil, fault.Field("level", "defined", "is not a level")
	}
	if err := c.Scopes.check(); err != nil {
		return nil, err
	}
	if err := given(c.Level, c.Scopes, c.Caller, c.CallerScopes); err != nil {
		return nil, err
	}
	return []proto.Message{&eventv1.ApiTokenCreated{
		Token: c.ID, Name: c.Name, Organization: c.Organization, Level: c.Level, ExpiresAt: timestamppb.New(expires),
		ServiceAccount: c.ServiceAccount, Scopes: c.Scopes.ordered(),
	}}, nil
}

// lives returns when a token expires that is made at a time.
func lives(at time.Time, lifetime time.Duration) (time.Time, error) {
	if lifetime == 0 {
		lifetime = DefaultLifetime
	}
	if lifetime < 0 || lifetime > MaxLifetime {
		return time.Time{}, fault.Field("lifetime_seconds", "max_lifetime", "must be at most 366 days")
	}
	// Microseconds: what the row and the event can both hold.
	return at.Add(lifetime).Truncate(time.Microsecond), nil
}

// given says whether a caller may give a level and scopes to a token.
func given(level commonv1.Level, scopes Scopes, caller commonv1.Level, callerScopes Scopes) error {
	if level > caller || !scopes.within(callerScopes) {
		return fault.New(fault.Denied, commonv1.Reason_ACCESS_DENIED, "a token cannot make a token that may do more than itself")
	}
	return nil
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
		return nil, notFound()
	case s.Revoked:
		return nil, nil
	}
	return []proto.Message{&eventv1.ApiTokenRevoked{Token: c.ID}}, nil
}
