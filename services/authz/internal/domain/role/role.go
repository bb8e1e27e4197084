// Package role decides what roles are made of. A role is a name for
// relationships: role:ID#assignee is the subject of its permissions and holds
// those who have it.
package role

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
	"github.com/meridian-iam/meridian/services/authz/internal/domain/relationship"
)

const (
	typeName = "role"
	// Assignee is the relation of those who have a role.
	Assignee = "assignee"
	// MaxRelationships is how many permissions, and how many assignments, a role
	// may have to be changed or removed at once.
	MaxRelationships = 10_000
)

// Object is the role as a resource, role:id.
func Object(id string) string { return typeName + ":" + id }

// Holders is the role as a subject, role:id#assignee.
func Holders(id string) string { return Object(id) + "#" + Assignee }

// Supported says whether a model has roles.
//
// Errors: ROLE_UNSUPPORTED.
func Supported(m *authzcore.Model) error {
	if slices.Contains(m.Relations(typeName), Assignee) {
		return nil
	}
	return fault.New(fault.Precondition, commonv1.Reason_ROLE_UNSUPPORTED,
		"the organization's model has no type role with a relation assignee")
}

// Permission is a relation to a resource that those with a role get.
type Permission struct {
	Resource, Relation string
}

// Of is the relationship that gives a permission to a role.
func (p Permission) Of(id string) authzcore.Relationship {
	return authzcore.Relationship{Resource: p.Resource, Relation: p.Relation, Subject: Holders(id)}
}

// Assignment is the relationship that gives a role to a subject until a time in
// Unix seconds; 0 is for good.
func Assignment(id, subject string, expires int64) authzcore.Relationship {
	return authzcore.Relationship{
		Resource: Object(id), Relation: Assignee, Subject: subject, Terms: authzcore.Terms{Expires: expires},
	}
}

// State is what a change of a role needs to know.
type State struct {
	Exists            bool
	Name, Description string
	// Permissions and Assignments are the role's relationships; assignments are
	// read for Delete only.
	Permissions, Assignments []authzcore.Relationship
	// At is the time of the commit.
	At time.Time
}

// Change is what a command changes: an event of the role, or nil, and updates of
// relationships, in one commit.
type Change struct {
	Event   proto.Message
	Updates []relationship.Update
}

// Define says what a role is.
type Define struct {
	Role, Name, Description string
	Permissions             []Permission
}

// Create makes a role. Permissions that role:ID#assignee was given before the
// role was made are the role's, so those not asked for are removed.
//
// Errors: ALREADY_EXISTS with metadata "field"; INVALID_FIELD (a permission is
// named twice); ROLE_IN_USE (more permissions than can be removed at once).
func (c Define) Create(s State) (Change, error) {
	if s.Exists {
		return Change{}, fault.New(fault.Exists, commonv1.Reason_ALREADY_EXISTS, "there is a role with this id").With("field", "role")
	}
	return c.change(s)
}

// Update replaces a role's name, description and permissions. Permissions that
// stay are not written again.
//
// Errors: NOT_FOUND, and as Create.
func (c Define) Update(s State) (Change, error) {
	if !s.Exists {
		return Change{}, NotFound()
	}
	return c.change(s)
}

func (c Define) change(s State) (Change, error) {
	if err := Bounded("permissions", len(s.Permissions)); err != nil {
		return Change{}, err
	}
	wanted := make(map[authzcore.Relationship]int, len(c.Permissions))
	for i, p := range c.Permissions {
		if first, twice := wanted[p.Of(c.Role)]; twice {
			return Change{}, fault.Field(fmt.Sprintf("permissions[%d]", i), "unique", fmt.Sprintf("is named by permissions[%d] already", first))
		}
		wanted[p.Of(c.Role)] = i
	}
	var out Change
	if !s.Exists || s.Name != c.Name || s.Description != c.Description {
		out.Event = &eventv1.RoleDefined{Role: c.Role, Name: c.Name, Description: c.Description}
	}
	for _, r := range s.Permissions {
		if _, stays := wanted[r.Key()]; stays {
			if !relationship.Expired(r.Terms, s.At) { // else it is written again
				delete(wanted, r.Key())
			}
			continue
		}
		out.Updates = append(out.Updates, remove(r))
	}
	for _, p := range c.Permissions {
		if _, absent := wanted[p.Of(c.Role)]; absent {
			out.Updates = append(out.Updates, touch(p.Of(c.Role)))
		}
	}
	return out, nil
}

// Delete removes a role with its permissions and assignments.
//
// Errors: NOT_FOUND; ROLE_IN_USE with metadata "limit".
func Delete(id string, s State) (Change, error) {
	if !s.Exists {
		return Change{}, NotFound()
	}
	if err := Bounded("assignments", len(s.Assignments)); err != nil {
		return Change{}, err
	}
	if err := Bounded("permissions", len(s.Permissions)); err != nil {
		return Change{}, err
	}
	out := Change{Event: &eventv1.RoleDeleted{Role: id}}
	gone := map[authzcore.Relationship]bool{}
	for _, r := range slices.Concat(s.Permissions, s.Assignments) {
		// A role that is assigned to itself is in both.
		if !gone[r.Key()] {
			out.Updates = append(out.Updates, remove(r))
		}
		gone[r.Key()] = true
	}
	return out, nil
}

// Assign gives a role to a subject.
//
// Errors: NOT_FOUND.
func Assign(id, subject string, expires int64, s State) (Change, error) {
	if !s.Exists {
		return Change{}, NotFound()
	}
	return Change{Updates: []relationship.Update{touch(Assignment(id, subject, expires))}}, nil
}

// Unassign takes a role from a subject, which may not have it.
//
// Errors: NOT_FOUND.
func Unassign(id, subject string, s State) (Change, error) {
	if !s.Exists {
		return Change{}, NotFound()
	}
	return Change{Updates: []relationship.Update{remove(Assignment(id, subject, 0))}}, nil
}

// NotFound is the fault of an absent role.
func NotFound() *fault.Fault {
	return fault.New(fault.NotFound, commonv1.Reason_NOT_FOUND, "no such role")
}

// Bounded says whether as many relationships of a role can be looked through at once.
//
// Errors: ROLE_IN_USE with metadata "limit".
func Bounded(what string, number int) error {
	if number <= MaxRelationships {
		return nil
	}
	return fault.New(fault.Precondition, commonv1.Reason_ROLE_IN_USE,
		fmt.Sprintf("the role has more than %d %s; remove some of these relationships first", MaxRelationships, what)).
		With("limit", strconv.Itoa(MaxRelationships))
}

func touch(r authzcore.Relationship) relationship.Update {
	return relationship.Update{Operation: authzv1.Operation_OPERATION_TOUCH, Relationship: r}
}

func remove(r authzcore.Relationship) relationship.Update {
	return relationship.Update{Operation: authzv1.Operation_OPERATION_DELETE, Relationship: r.Key()}
}
