// Package serviceaccount decides what happens to service accounts, the principals
// of an organization that are no people.
package serviceaccount

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/displayname"
)

// Limit is how many service accounts an organization may have.
const Limit = 10_000

// State is a service account as its organization's log tells it. The zero State is
// one that does not exist.
type State struct {
	ID           string
	Organization string
	Name         string
	Description  string
	Disabled     bool
}

// NameKey is what the name is unique by: it has no case.
func (s State) NameKey() []byte { return displayname.Fold(s.Name) }

// Apply folds one event; events about other things change nothing.
func (s *State) Apply(event proto.Message) {
	if e, ok := event.(*eventv1.ServiceAccountCreated); ok {
		*s = State{ID: e.GetServiceAccount(), Organization: e.GetOrganization(), Name: e.GetName(), Description: e.GetDescription()}
		return
	}
	if about, ok := event.(interface{ GetServiceAccount() string }); !ok || about.GetServiceAccount() != s.ID {
		return
	}
	switch e := event.(type) {
	case *eventv1.ServiceAccountChanged:
		s.Name, s.Description = e.GetName(), e.GetDescription()
	case *eventv1.ServiceAccountDisabled:
		s.Disabled = true
	case *eventv1.ServiceAccountEnabled:
		s.Disabled = false
	case *eventv1.ServiceAccountDeleted:
		*s = State{}
	}
}

// Create makes a service account.
type Create struct {
	ID           string
	Organization string
	Name         string
	Description  string
	// Others is how many the organization has already.
	Others int64
}

// Decide returns the event that makes the service account.
//
// Errors: ALREADY_EXISTS; INVALID_FIELD (id, name); LIMIT_REACHED. None writes
// anything. That the name is free is the unique index's to say.
func (c Create) Decide(s State) ([]proto.Message, error) {
	name, err := displayname.CheckUnique("name", c.Name)
	switch {
	case s.ID != "":
		return nil, fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the service account exists").With("field", "id")
	case !id.Valid(id.ServiceAccount, c.ID):
		return nil, fault.Field("id", "service_account_id", "is not a service account id")
	case err != nil:
		return nil, err
	case c.Others >= Limit:
		return nil, fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED,
			"the organization has as many service accounts as it may").
			With("limit", strconv.Itoa(Limit)).With("field", "service_accounts")
	}
	return []proto.Message{&eventv1.ServiceAccountCreated{
		ServiceAccount: c.ID, Organization: c.Organization, Name: name, Description: c.Description,
	}}, nil
}

// Update changes a service account. What is nil stays.
type Update struct {
	Name        *string
	Description *string
	Disabled    *bool
	// Groups are those that it is in.
	Groups []string
}

// Decide returns an event for each thing that changes: name and description, and
// whether it is disabled; none when all is so already.
//
// Errors: NOT_FOUND; INVALID_FIELD (name). None writes anything. That the name is
// free is the unique index's to say.
func (c Update) Decide(s State) (events []proto.Message, err error) {
	if s.ID == "" {
		return nil, NotFound()
	}
	name, description := s.Name, s.Description
	if c.Name != nil {
		if name, err = displayname.CheckUnique("name", *c.Name); err != nil {
			return nil, err
		}
	}
	if c.Description != nil {
		description = *c.Description
	}
	if name != s.Name || description != s.Description {
		events = append(events, &eventv1.ServiceAccountChanged{ServiceAccount: s.ID, Name: name, Description: description})
	}
	if c.Disabled == nil || *c.Disabled == s.Disabled {
		return events, nil
	}
	if *c.Disabled {
		return append(events, &eventv1.ServiceAccountDisabled{ServiceAccount: s.ID, Organization: s.Organization, Groups: c.Groups}), nil
	}
	return append(events, &eventv1.ServiceAccountEnabled{ServiceAccount: s.ID, Organization: s.Organization, Groups: c.Groups}), nil
}

// Delete removes a service account.
type Delete struct {
	// Before are the events that revoke its tokens and take it out of groups.
	Before []proto.Message
}

// Decide returns the events that leave nothing of the service account.
//
// Errors: NOT_FOUND.
func (c Delete) Decide(s State) ([]proto.Message, error) {
	if s.ID == "" {
		return nil, NotFound()
	}
	events := append([]proto.Message(nil), c.Before...)
	return append(events, Deleted(s.Organization, s.ID)), nil
}

// Deleted is the event that removes a service account, which has no token and is in
// no group by then.
func Deleted(organization, id string) proto.Message {
	return &eventv1.ServiceAccountDeleted{ServiceAccount: id, Organization: organization}
}

// NotFound is the answer for a service account that is absent and for one of
// another organization: nobody can tell which.
func NotFound() *fault.Fault {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such service account")
}
