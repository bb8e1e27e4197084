// Package user decides what happens to users.
package user

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
)

// Status says whether a user can sign in. Rows hold its number, which is that of
// meridian.identity.v1.UserState.
type Status int16

// The statuses. The zero Status is of a user who does not exist.
const (
	_ Status = iota
	Active
	Suspended
	// Erased is for good: the personal data is gone.
	Erased
)

// DefaultLocale is that of a user who named none.
const DefaultLocale = "en"

// State is a user as the user's log tells it. The zero State is a user who does
// not exist.
type State struct {
	ID string
	// Realm is the organization that the user is kept apart for, or "".
	Realm         string
	Status        Status
	HomeRegion    string
	EmailVerified bool
	// Source is how the user came.
	Source string

	Profile
}

// Profile is the personal data of a user; empty when the user is erased. It prints
// as REDACTED.
type Profile struct {
	// Email is the address as it was given, "" for a user without one.
	Email  string
	Name   string
	Locale string
}

// String implements fmt.Stringer.
func (Profile) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Profile) GoString() string { return redacted }

// MarshalText keeps the profile out of logs.
func (Profile) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const redacted = "REDACTED"

// Apply folds one event; events about other things change nothing. Without
// its personal data, an event leaves the profile's fields empty.
func (s *State) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.UserCreated:
		*s = State{
			ID: e.GetUser(), Realm: e.GetRealm(), Status: Active, HomeRegion: e.GetHomeRegion(),
			EmailVerified: e.GetEmailVerified(), Source: e.GetSource(),
		}
	case *eventv1.UserEmailChanged:
		s.EmailVerified = e.GetVerified()
	case *eventv1.UserSuspended:
		s.Status = Suspended
	case *eventv1.UserResumed:
		s.Status = Active
	case *eventv1.UserErased:
		s.Status, s.EmailVerified = Erased, false
	}
	s.Profile.Apply(event)
}

// Apply folds the personal data of one event.
func (p *Profile) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.UserCreated:
		*p = Profile{Email: e.GetEmail(), Name: e.GetName(), Locale: e.GetLocale()}
	case *eventv1.UserProfileChanged:
		p.Name, p.Locale = e.GetName(), e.GetLocale()
	case *eventv1.UserEmailChanged:
		p.Email = e.GetEmail()
	case *eventv1.UserErased:
		*p = Profile{}
	}
}

// Present says whether there is a user, whose data is there.
//
// Errors: NOT_FOUND; USER_ERASED.
func (s State) Present() error {
	switch s.Status {
	case 0:
		return NotFound()
	case Erased:
		return fault.New(fault.Precondition, commonv1.Reason_USER_ERASED, "the user was erased")
	default:
		return nil
	}
}

// NotFound is the answer for a user who is absent.
func NotFound() error {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such user")
}

// Create makes a user.
type Create struct {
	ID string
	// Realm is an organization in isolated mode, or "".
	Realm      string
	HomeRegion string
	// Regions are those of the deployment.
	Regions []string
	// Email is the zero Address for a user without one.
	Email         address.Address
	EmailVerified bool
	// Name is checked by displayname, or "".
	Name   string
	Locale string // "" means DefaultLocale
	Source string
}

// Decide returns the event that makes the user.
//
// Errors: ALREADY_EXISTS; INVALID_FIELD for an id that is not a user's, for a
// region that the deployment does not have, and for a verified address that is
// absent. None writes anything. That nobody has the address is the unique index's
// to say.
func (c Create) Decide(s State) ([]proto.Message, error) {
	switch {
	case s.Status != 0:
		return nil, fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the user exists").With("field", "id")
	case !id.Valid(id.User, c.ID):
		return nil, fault.Field("id", "user_id", "is not a user id")
	case !slices.Contains(c.Regions, c.HomeRegion):
		return nil, fault.Field("home_region", "region", fmt.Sprintf("the deployment has no region %q; it has %q", c.HomeRegion, c.Regions))
	case c.EmailVerified && c.Email.Text == "":
		return nil, fault.Field("email_verified", "email", "there is no address that could be verified")
	}
	locale := c.Locale
	if locale == "" {
		locale = DefaultLocale
	}
	return []proto.Message{&eventv1.UserCreated{
		User: c.ID, Realm: c.Realm, HomeRegion: c.HomeRegion, Email: c.Email.Text, EmailVerified: c.EmailVerified,
		Name: c.Name, Locale: locale, Source: c.Source,
	}}, nil
}
