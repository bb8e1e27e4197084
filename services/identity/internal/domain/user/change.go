package user

import (
	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/address"
)

// Update changes a user's profile. What is nil stays.
type Update struct {
	// Name is checked by displayname, or "".
	Name, Locale  *string
	EmailVerified *bool
}

// Decide returns an event for the profile and one for the address, as far as they
// change.
//
// Errors: NOT_FOUND, USER_ERASED; INVALID_FIELD for an address that is absent and
// verified. None writes anything.
func (c Update) Decide(s State) ([]proto.Message, error) {
	if err := s.Present(); err != nil {
		return nil, err
	}
	var events []proto.Message
	profile := &eventv1.UserProfileChanged{User: s.ID, Name: s.Name, Locale: s.Locale}
	if c.Name != nil {
		profile.Name = *c.Name
	}
	if c.Locale != nil {
		profile.Locale = *c.Locale
	}
	if profile.GetName() != s.Name || profile.GetLocale() != s.Locale {
		events = append(events, profile)
	}
	if c.EmailVerified != nil && *c.EmailVerified != s.EmailVerified {
		if s.Email == "" {
			return nil, fault.Field("email_verified", "email", "there is no address that could be verified")
		}
		events = append(events, &eventv1.UserEmailChanged{User: s.ID, Email: s.Email, Verified: *c.EmailVerified})
	}
	return events, nil
}

// ChangeEmail gives a user another address.
type ChangeEmail struct {
	Email    address.Address
	Verified bool
}

// Decide returns the event that gives the user the address, or none when it is
// the user's as it is. The same address in another writing stays as verified as
// it was.
//
// Errors: NOT_FOUND, USER_ERASED. Neither writes anything. That nobody else has
// the address is the unique index's to say.
func (c ChangeEmail) Decide(s State) ([]proto.Message, error) {
	if err := s.Present(); err != nil {
		return nil, err
	}
	verified := c.Verified || s.EmailVerified && s.Has(c.Email)
	if c.Email.Text == s.Email && verified == s.EmailVerified {
		return nil, nil
	}
	return []proto.Message{&eventv1.UserEmailChanged{User: s.ID, Email: c.Email.Text, Verified: verified}}, nil
}

// Has says whether an address is the profile's, in any writing.
func (p Profile) Has(email address.Address) bool {
	own, err := address.Parse(p.Email)
	return err == nil && own.Canonical == email.Canonical
}
