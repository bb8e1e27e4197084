package organization

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/displayname"
)

// The bounds of settings.
const (
	// DefaultPasswordLength is what no password_min_length means, in characters.
	DefaultPasswordLength = 12
	minPasswordLength     = 8
	maxPasswordLength     = 64
	maxPasswordHistory    = 24
)

// Settings are what an organization decides about its people. The zero Settings
// are those of a new one.
type Settings struct {
	// PasswordMinLength is in characters; 0 means DefaultPasswordLength.
	PasswordMinLength     uint32
	PasswordAllowBreached bool
	// PasswordHistory is how many earlier passwords may not come back.
	PasswordHistory     uint32
	RequireSecondFactor bool
	// SignInMethods are in order; none: all.
	SignInMethods []string
}

// PasswordLength is the least length of a password, in characters.
func (s Settings) PasswordLength() int {
	if s.PasswordMinLength == 0 {
		return DefaultPasswordLength
	}
	return int(s.PasswordMinLength)
}

// Allows says whether people sign in by a method: password, passkey or email.
func (s Settings) Allows(method string) bool {
	return len(s.SignInMethods) == 0 || slices.Contains(s.SignInMethods, method)
}

// Equal says whether two settings are the same.
func (s Settings) Equal(other Settings) bool {
	return s.PasswordMinLength == other.PasswordMinLength && s.PasswordAllowBreached == other.PasswordAllowBreached &&
		s.PasswordHistory == other.PasswordHistory && s.RequireSecondFactor == other.RequireSecondFactor &&
		slices.Equal(s.SignInMethods, other.SignInMethods)
}

// ordered returns the settings with their methods in order, each once.
func (s Settings) ordered() Settings {
	s.SignInMethods = slices.Compact(slices.Sorted(slices.Values(s.SignInMethods)))
	return s
}

func (s Settings) check() error {
	switch {
	case s.PasswordMinLength != 0 && (s.PasswordMinLength < minPasswordLength || s.PasswordMinLength > maxPasswordLength):
		return fault.Field("settings.password_min_length", "range", "must be 8 to 64 characters, or 0 for 12")
	case s.PasswordHistory > maxPasswordHistory:
		return fault.Field("settings.password_history", "range", "must be at most 24")
	}
	for _, method := range s.SignInMethods {
		switch method {
		case "password", "passkey", "email":
		default:
			return fault.Field("settings.sign_in_methods", "defined", "must be of password, passkey and email")
		}
	}
	return nil
}

func settingsOf(e *eventv1.OrganizationSettings) Settings {
	return Settings{
		PasswordMinLength: e.GetPasswordMinLength(), PasswordAllowBreached: e.GetPasswordAllowBreached(),
		PasswordHistory: e.GetPasswordHistory(), RequireSecondFactor: e.GetRequireSecondFactor(), SignInMethods: e.GetSignInMethods(),
	}
}

func (s Settings) event() *eventv1.OrganizationSettings {
	return &eventv1.OrganizationSettings{
		PasswordMinLength: s.PasswordMinLength, PasswordAllowBreached: s.PasswordAllowBreached,
		PasswordHistory: s.PasswordHistory, RequireSecondFactor: s.RequireSecondFactor, SignInMethods: s.SignInMethods,
	}
}

// Update changes an organization's name or settings.
type Update struct {
	// Name and Settings are nil where they stay.
	Name     *string
	Settings *Settings
}

// Decide returns an event for each of the two that differs from what there is.
//
// Errors: NOT_FOUND, ORGANIZATION_STATE, INVALID_FIELD. None writes anything.
func (c Update) Decide(s State) ([]proto.Message, error) {
	if err := s.Open(); err != nil {
		return nil, err
	}
	var events []proto.Message
	if c.Name != nil {
		name, err := displayname.Check("name", *c.Name)
		if err != nil {
			return nil, err
		}
		if name != s.Name {
			events = append(events, &eventv1.OrganizationRenamed{Organization: s.ID, Name: name})
		}
	}
	if c.Settings != nil {
		if err := c.Settings.check(); err != nil {
			return nil, err
		}
		if wanted := c.Settings.ordered(); !wanted.Equal(s.Settings) {
			events = append(events, &eventv1.OrganizationSettingsChanged{Organization: s.ID, Settings: wanted.event()})
		}
	}
	return events, nil
}
