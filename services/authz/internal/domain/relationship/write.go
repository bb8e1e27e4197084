// Package relationship decides what a write of relationships changes.
package relationship

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// State is what a write needs to know.
type State struct {
	// Present holds those of the named relationships that exist.
	Present map[authzcore.Relationship]bool
	// Matches says for each precondition whether anything matches its filter.
	Matches []bool
}

// Update is one operation of a write.
type Update struct {
	Operation    authzv1.Operation
	Relationship authzcore.Relationship
}

// Write changes relationships: all of them or none.
type Write struct {
	Updates []Update
	// MustMatch says for each precondition whether its filter must match
	// something (true) or nothing (false).
	MustMatch []bool
}

// Outcome is what a write changes.
type Outcome struct {
	// Effects has one entry for each update, in order.
	Effects []authzv1.Effect
	// Created and Deleted are the effective changes.
	Created, Deleted []authzcore.Relationship
}

// Decide returns the outcome of the write.
//
// Errors: INVALID_FIELD when one relationship is named twice,
// PRECONDITION_FAILED, RELATIONSHIP_EXISTS (a create of what exists). None of
// them changes anything.
func (c Write) Decide(s State) (Outcome, error) {
	for i, must := range c.MustMatch {
		if s.Matches[i] != must {
			return Outcome{}, fault.New(fault.Precondition, commonv1.Reason_PRECONDITION_FAILED,
				fmt.Sprintf("precondition %d does not hold", i)).With("precondition", strconv.Itoa(i))
		}
	}
	out := Outcome{Effects: make([]authzv1.Effect, len(c.Updates))}
	seen := make(map[authzcore.Relationship]int, len(c.Updates))
	for i, u := range c.Updates {
		if first, twice := seen[u.Relationship]; twice {
			return Outcome{}, fault.Field(fmt.Sprintf("updates[%d].relationship", i), "unique",
				fmt.Sprintf("is named by updates[%d] already", first))
		}
		seen[u.Relationship] = i
		effect, err := decide(i, u, s.Present[u.Relationship])
		if err != nil {
			return Outcome{}, err
		}
		out.Effects[i] = effect
		switch effect {
		case authzv1.Effect_EFFECT_CREATED:
			out.Created = append(out.Created, u.Relationship)
		case authzv1.Effect_EFFECT_DELETED:
			out.Deleted = append(out.Deleted, u.Relationship)
		case authzv1.Effect_EFFECT_UNSPECIFIED, authzv1.Effect_EFFECT_UNCHANGED, authzv1.Effect_EFFECT_ABSENT:
		}
	}
	return out, nil
}

func decide(i int, u Update, present bool) (authzv1.Effect, error) {
	switch u.Operation {
	case authzv1.Operation_OPERATION_DELETE:
		if present {
			return authzv1.Effect_EFFECT_DELETED, nil
		}
		return authzv1.Effect_EFFECT_ABSENT, nil
	case authzv1.Operation_OPERATION_CREATE:
		if present {
			return 0, fault.New(fault.Exists, commonv1.Reason_RELATIONSHIP_EXISTS, "the relationship exists").
				With("field", fmt.Sprintf("updates[%d]", i))
		}
		return authzv1.Effect_EFFECT_CREATED, nil
	case authzv1.Operation_OPERATION_TOUCH:
		if present {
			return authzv1.Effect_EFFECT_UNCHANGED, nil
		}
		return authzv1.Effect_EFFECT_CREATED, nil
	case authzv1.Operation_OPERATION_UNSPECIFIED:
	}
	return 0, fault.Field(fmt.Sprintf("updates[%d].operation", i), "defined", "is not an operation")
}

// The bounds of one event: an event stays small whatever a bulk import sends.
const (
	maxChanges = 1000
	maxBytes   = 256 << 10
)

// Events records effective changes, in as many events as their size needs.
func Events(created, deleted []authzcore.Relationship) []proto.Message {
	var (
		out   []proto.Message
		event *eventv1.RelationshipsWritten
		size  int
	)
	add := func(r authzcore.Relationship, removed bool) {
		length := len(r.Resource) + len(r.Relation) + len(r.Subject)
		if event == nil || len(event.GetChanges()) == maxChanges || size+length > maxBytes {
			event, size = &eventv1.RelationshipsWritten{}, 0
			out = append(out, event)
		}
		size += length
		event.Changes = append(event.Changes, &eventv1.RelationshipChange{
			Resource: r.Resource, Relation: r.Relation, Subject: r.Subject, Deleted: removed,
		})
	}
	for _, r := range created {
		add(r, false)
	}
	for _, r := range deleted {
		add(r, true)
	}
	return out
}
