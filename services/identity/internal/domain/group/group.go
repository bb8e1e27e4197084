// Package group decides what happens to groups: sets of users, service accounts
// and groups of one organization.
package group

import (
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/fault"
	"github.com/meridian-iam/meridian/pkg/id"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/identity/event/v1"
	"github.com/meridian-iam/meridian/services/identity/internal/displayname"
)

const (
	// Limit is how many groups an organization may have.
	Limit = 10_000
	// MemberLimit is how many members a group may have itself.
	MemberLimit = 50_000
	// NestingLimit is how often an organization may have a group in a group: what a
	// look at all that is above and below a group can cost.
	NestingLimit = 20_000
	// MaxDepth is how many groups may be inside each other, the outermost counted.
	MaxDepth = 10
)

// State is a group as its organization's log tells it, without its members. The
// zero State is a group that does not exist.
type State struct {
	ID           string
	Organization string
	Name         string
	Description  string
}

// NameKey is what the name is unique by: it has no case.
func (s State) NameKey() []byte { return displayname.Fold(s.Name) }

// Apply folds one event; events about other things change nothing.
func (s *State) Apply(event proto.Message) {
	switch e := event.(type) {
	case *eventv1.GroupCreated:
		*s = State{ID: e.GetGroup(), Organization: e.GetOrganization(), Name: e.GetName(), Description: e.GetDescription()}
	case *eventv1.GroupChanged:
		if s.ID == e.GetGroup() {
			s.Name, s.Description = e.GetName(), e.GetDescription()
		}
	case *eventv1.GroupDeleted:
		if s.ID == e.GetGroup() {
			*s = State{}
		}
	}
}

// Create makes a group.
type Create struct {
	ID           string
	Organization string
	Name         string
	Description  string
	// Others is how many groups the organization has already.
	Others int64
}

// Decide returns the event that makes the group.
//
// Errors: ALREADY_EXISTS; INVALID_FIELD (id, name); LIMIT_REACHED. None writes
// anything. That the name is free is the unique index's to say.
func (c Create) Decide(s State) ([]proto.Message, error) {
	name, err := displayname.CheckUnique("name", c.Name)
	switch {
	case s.ID != "":
		return nil, fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "the group exists").With("field", "id")
	case !id.Valid(id.Group, c.ID):
		return nil, fault.Field("id", "group_id", "is not a group id")
	case err != nil:
		return nil, err
	case c.Others >= Limit:
		return nil, limitReached("the organization has as many groups as it may", "groups", Limit)
	}
	return []proto.Message{&eventv1.GroupCreated{
		Group: c.ID, Organization: c.Organization, Name: name, Description: c.Description,
	}}, nil
}

// Update changes a group. What is nil stays.
type Update struct {
	Name        *string
	Description *string
}

// Decide returns the event that changes the group, or none when all is so already.
//
// Errors: NOT_FOUND; INVALID_FIELD (name). None writes anything. That the name is
// free is the unique index's to say.
func (c Update) Decide(s State) ([]proto.Message, error) {
	if s.ID == "" {
		return nil, NotFound()
	}
	name, description := s.Name, s.Description
	if c.Name != nil {
		var err error
		if name, err = displayname.CheckUnique("name", *c.Name); err != nil {
			return nil, err
		}
	}
	if c.Description != nil {
		description = *c.Description
	}
	if name == s.Name && description == s.Description {
		return nil, nil
	}
	return []proto.Message{&eventv1.GroupChanged{Group: s.ID, Name: name, Description: description}}, nil
}

// Delete removes a group.
type Delete struct {
	// Members are all that it has.
	Members []string
	// Before are the events that take it out of other groups.
	Before []proto.Message
}

// Decide returns the events that empty the group, take it out of other groups and
// remove it: what it was is gone by facts that say all of it.
//
// Errors: NOT_FOUND.
func (c Delete) Decide(s State) ([]proto.Message, error) {
	if s.ID == "" {
		return nil, NotFound()
	}
	events := append(Changed(s.ID, nil, c.Members, nil), c.Before...)
	return append(events, Deleted(s.ID)), nil
}

// Deleted is the event that removes a group, which is empty and in no group by
// then.
func Deleted(id string) proto.Message { return &eventv1.GroupDeleted{Group: id} }

// NotFound is the answer for a group that is absent and for one of another
// organization: nobody can tell which.
func NotFound() *fault.Fault {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such group")
}

func limitReached(detail, field string, limit int) *fault.Fault {
	return fault.New(fault.Exhausted, commonv1.Reason_LIMIT_REACHED, detail).
		With("limit", strconv.Itoa(limit)).With("field", field)
}
