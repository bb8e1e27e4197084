// Package trust decides whom organizations trust about their workloads, and what a
// workload shows by which it may have tokens.
package trust

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/sessions/event/v1"
)

// Limit is how many trusts an organization may have.
const Limit = 200

// State is a trust as its organization's log tells it. The zero State is one that does
// not exist.
type State struct {
	ID           string
	Organization string
	Settings     *eventv1.TrustSettings
}

// Apply folds one event; events about other things change nothing.
func (s *State) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.TrustCreated:
		*s = State{ID: e.GetTrust(), Organization: e.GetOrganization(), Settings: e.GetSettings()}
	case *eventv1.TrustSettingsChanged:
		if e.GetTrust() == s.ID && s.ID != "" {
			s.Settings = e.GetSettings()
		}
	case *eventv1.TrustDeleted:
		if e.GetTrust() == s.ID {
			*s = State{}
		}
	}
}

// Equal says whether two states are the same.
func (s State) Equal(other State) bool {
	return s.ID == other.ID && s.Organization == other.Organization && proto.Equal(s.Settings, other.Settings)
}

// NotFound is the answer for a trust that is absent and for one of another organization:
// nobody can tell which.
func NotFound() *fault.Fault {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such trust")
}

// Create makes a trust.
type Create struct {
	ID, Organization string
	Settings         *eventv1.TrustSettings
	// Others is how many the organization has already.
	Others int64
}

// Decide returns the event that makes the trust.
//
// Errors: INVALID_FIELD, LIMIT_REACHED. None writes anything.
func (c Create) Decide() ([]proto.Message, error) {
	switch {
	case !id.Valid(id.Trust, c.ID):
		return nil, fault.Field("id", "trust", "is not the id of a trust")
	case c.Others >= Limit:
		return nil, fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED, "there are as many trusts as may be").
			With("limit", strconv.Itoa(Limit)).With("field", "trusts")
	}
	settings, err := Complete(c.Settings)
	if err != nil {
		return nil, err
	}
	return []proto.Message{&eventv1.TrustCreated{Trust: c.ID, Organization: c.Organization, Settings: settings}}, nil
}

// Update replaces the settings of a trust.
type Update struct {
	Settings *eventv1.TrustSettings
}

// Decide returns the event that changes the trust; none when everything is as it was.
//
// Errors: NOT_FOUND, INVALID_FIELD (settings.issuer with the rule same: another issuer is
// another trust). None writes anything.
func (c Update) Decide(s State) ([]proto.Message, error) {
	if s.ID == "" {
		return nil, NotFound()
	}
	settings, err := Complete(c.Settings)
	switch {
	case err != nil:
		return nil, err
	case settings.GetIssuer() != s.Settings.GetIssuer():
		return nil, fault.Field("settings.issuer", "same", "does not change: another issuer is another trust")
	case proto.Equal(settings, s.Settings):
		return nil, nil
	}
	return []proto.Message{&eventv1.TrustSettingsChanged{Trust: s.ID, Settings: settings}}, nil
}

// Delete removes a trust for good.
type Delete struct{}

// Decide returns the event that removes the trust.
//
// Errors: NOT_FOUND.
func (Delete) Decide(s State) ([]proto.Message, error) {
	if s.ID == "" {
		return nil, NotFound()
	}
	return []proto.Message{&eventv1.TrustDeleted{Trust: s.ID}}, nil
}
