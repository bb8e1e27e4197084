// Package client decides what happens to OAuth clients and their secrets.
package client

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
	sessionsv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/v1"
)

const (
	// Limit is how many clients an organization, or the platform, may have.
	Limit = 1000
	// LiveSecrets is how many secrets a client may have that are live: the one in use,
	// and the next.
	LiveSecrets = 2
)

// State is a client as its owner's log tells it. The zero State is one that does not
// exist.
type State struct {
	ID           string
	Organization string
	Settings     *eventv1.ClientSettings
	Disabled     bool
	// Secrets are when each ends; zero: not by itself.
	Secrets map[string]time.Time
}

// Apply folds one event; events about other things change nothing.
func (s *State) Apply(event proto.Message) {
	if e, ok := event.(*eventv1.ClientCreated); ok {
		*s = State{ID: e.GetClient(), Organization: e.GetOrganization(), Settings: e.GetSettings(), Secrets: map[string]time.Time{}}
		return
	}
	if about, ok := event.(interface{ GetClient() string }); !ok || about.GetClient() != s.ID || s.ID == "" {
		return
	}
	switch e := event.(type) {
	case *eventv1.ClientSettingsChanged:
		s.Settings = e.GetSettings()
	case *eventv1.ClientDisabled:
		s.Disabled = true
	case *eventv1.ClientEnabled:
		s.Disabled = false
	case *eventv1.ClientDeleted:
		*s = State{}
	case *eventv1.ClientSecretAdded:
		s.change(func(secrets map[string]time.Time) { secrets[e.GetSecret()] = time.Time{} })
	case *eventv1.ClientSecretExpiryChanged:
		if _, there := s.Secrets[e.GetSecret()]; there {
			s.change(func(secrets map[string]time.Time) { secrets[e.GetSecret()] = e.GetExpiresAt().AsTime() })
		}
	case *eventv1.ClientSecretRevoked:
		s.change(func(secrets map[string]time.Time) { delete(secrets, e.GetSecret()) })
	}
}

// Equal says whether two states are the same.
func (s State) Equal(other State) bool {
	return s.ID == other.ID && s.Organization == other.Organization && s.Disabled == other.Disabled &&
		proto.Equal(s.Settings, other.Settings) && maps.EqualFunc(s.Secrets, other.Secrets, time.Time.Equal)
}

// change changes the secrets of this state, and of none that was copied.
func (s *State) change(how func(map[string]time.Time)) {
	secrets := make(map[string]time.Time, len(s.Secrets)+1)
	maps.Copy(secrets, s.Secrets)
	how(secrets)
	s.Secrets = secrets
}

// Live are the secrets that have not ended, ordered.
func (s State) Live(at time.Time) []string {
	var live []string
	for _, secret := range slices.Sorted(maps.Keys(s.Secrets)) {
		if ends := s.Secrets[secret]; ends.IsZero() || at.Before(ends) {
			live = append(live, secret)
		}
	}
	return live
}

// HasSecret says whether clients with these settings authenticate with one.
func HasSecret(s *eventv1.ClientSettings) bool {
	method := sessionsv1.ClientAuthentication(s.GetAuthentication())
	return method == sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_BASIC ||
		method == sessionsv1.ClientAuthentication_CLIENT_AUTHENTICATION_SECRET_POST
}

// NotFound is the answer for a client that is absent and for one of another owner:
// nobody can tell which.
func NotFound() *fault.Fault {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such client")
}

// Create makes a client.
type Create struct {
	ID, Organization string
	Settings         *eventv1.ClientSettings
	// Secret is the id of its first one, used where it has one.
	Secret string
	// Others is how many the owner has already.
	Others int64
}

// Decide returns the events that make the client and its secret.
//
// Errors: INVALID_FIELD, LIMIT_REACHED. None writes anything.
func (c Create) Decide() ([]proto.Message, error) {
	switch {
	case !id.Valid(id.Client, c.ID):
		return nil, fault.Field("id", "client_id", "is not a client id")
	case c.Settings == nil:
		return nil, fault.Field("settings", "required", "are missing")
	case c.Others >= Limit:
		return nil, fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED, "there are as many clients as may be").
			With("limit", strconv.Itoa(Limit)).With("field", "clients")
	}
	settings, err := Complete(c.Settings, c.Organization)
	if err != nil {
		return nil, err
	}
	events := []proto.Message{&eventv1.ClientCreated{Client: c.ID, Organization: c.Organization, Settings: settings}}
	if HasSecret(settings) {
		events = append(events, &eventv1.ClientSecretAdded{Client: c.ID, Secret: c.Secret})
	}
	return events, nil
}

// Update changes a client. What is nil stays.
type Update struct {
	Settings *eventv1.ClientSettings
	Disabled *bool
}

// Decide returns an event for each thing that changes; secrets end with the way to
// authenticate that uses them.
//
// Errors: NOT_FOUND, INVALID_FIELD. None writes anything.
func (c Update) Decide(s State) (events []proto.Message, err error) {
	if s.ID == "" {
		return nil, NotFound()
	}
	if c.Settings != nil {
		settings, err := Complete(c.Settings, s.Organization)
		if err != nil {
			return nil, err
		}
		if !proto.Equal(settings, s.Settings) {
			events = append(events, &eventv1.ClientSettingsChanged{Client: s.ID, Settings: settings})
		}
		if !HasSecret(settings) {
			for _, secret := range slices.Sorted(maps.Keys(s.Secrets)) {
				events = append(events, &eventv1.ClientSecretRevoked{Client: s.ID, Secret: secret})
			}
		}
	}
	switch {
	case c.Disabled == nil || *c.Disabled == s.Disabled:
		return events, nil
	case *c.Disabled:
		return append(events, &eventv1.ClientDisabled{Client: s.ID}), nil
	default:
		return append(events, &eventv1.ClientEnabled{Client: s.ID}), nil
	}
}

// Delete removes a client for good.
type Delete struct{}

// Decide returns the event that removes the client and its secrets.
//
// Errors: NOT_FOUND.
func (Delete) Decide(s State) ([]proto.Message, error) {
	if s.ID == "" {
		return nil, NotFound()
	}
	return []proto.Message{&eventv1.ClientDeleted{Client: s.ID}}, nil
}

// AddSecret makes another secret.
type AddSecret struct {
	ID string
	// EndOthers is when those that are live now end; zero: they stay.
	EndOthers time.Time
	At        time.Time
}

// Decide returns the events that add the secret, end the others, and remove those that
// have ended. Who ends others never gives them longer than they had.
//
// Errors: NOT_FOUND, CLIENT_SECRETLESS, LIMIT_REACHED. None writes anything.
func (c AddSecret) Decide(s State) ([]proto.Message, error) {
	live := s.Live(c.At)
	switch {
	case s.ID == "":
		return nil, NotFound()
	case !HasSecret(s.Settings):
		return nil, fault.New(fault.Precondition, commonv1.Reason_CLIENT_SECRETLESS, "the client does not authenticate with a secret")
	case len(live) >= LiveSecrets:
		return nil, fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED, "two secrets are live: revoke one first").
			With("limit", strconv.Itoa(LiveSecrets)).With("field", "secrets")
	}
	events := []proto.Message{&eventv1.ClientSecretAdded{Client: s.ID, Secret: c.ID}}
	for _, secret := range slices.Sorted(maps.Keys(s.Secrets)) {
		if !slices.Contains(live, secret) { // it has ended: nothing of it is to be kept
			events = append(events, &eventv1.ClientSecretRevoked{Client: s.ID, Secret: secret})
		}
	}
	if c.EndOthers.IsZero() {
		return events, nil
	}
	for _, secret := range live {
		if ends := s.Secrets[secret]; ends.IsZero() || c.EndOthers.Before(ends) {
			events = append(events, &eventv1.ClientSecretExpiryChanged{Client: s.ID, Secret: secret, ExpiresAt: timestamppb.New(c.EndOthers)})
		}
	}
	return events, nil
}

// RevokeSecret ends a secret.
type RevokeSecret struct{ ID string }

// Decide returns the event that ends the secret; none when it is gone already.
//
// Errors: NOT_FOUND for an absent client.
func (c RevokeSecret) Decide(s State) ([]proto.Message, error) {
	if s.ID == "" {
		return nil, NotFound()
	}
	if _, there := s.Secrets[c.ID]; !there {
		return nil, nil
	}
	return []proto.Message{&eventv1.ClientSecretRevoked{Client: s.ID, Secret: c.ID}}, nil
}
