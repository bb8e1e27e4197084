package relationship

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	eventv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/event/v1"
)

// The bounds of one event: an event stays small whatever a bulk import sends.
// One relationship alone may have more bytes: its context, recorded as a Struct,
// is at most 6 times as long as its text.
const (
	maxChanges = 1000
	maxBytes   = 256 << 10
)

// Events records effective changes, in as many events as their size needs:
// what was written with its terms, what was deleted, and what was removed
// because it had expired.
//
// Errors: a context that authzcore.EncodeContext did not write.
func Events(written, deleted, expired []authzcore.Relationship) ([]proto.Message, error) {
	var e events
	for _, r := range written {
		change, err := writtenChange(r)
		if err != nil {
			return nil, err
		}
		e.add(change)
	}
	for _, r := range deleted {
		e.add(&eventv1.RelationshipChange{Resource: r.Resource, Relation: r.Relation, Subject: r.Subject, Deleted: true})
	}
	for _, r := range expired {
		e.add(&eventv1.RelationshipChange{Resource: r.Resource, Relation: r.Relation, Subject: r.Subject, Deleted: true, Expired: true})
	}
	return e.all, nil
}

// events fills events up to their bounds.
type events struct {
	all  []proto.Message
	last *eventv1.RelationshipsWritten
	size int
}

func (e *events) add(c *eventv1.RelationshipChange) {
	length := len(c.GetResource()) + len(c.GetRelation()) + len(c.GetSubject()) + len(c.GetCondition())
	if c.GetContext() != nil {
		length += proto.Size(c.GetContext())
	}
	if e.last == nil || len(e.last.GetChanges()) == maxChanges || e.size+length > maxBytes {
		e.last, e.size = &eventv1.RelationshipsWritten{}, 0
		e.all = append(e.all, e.last)
	}
	e.size += length
	e.last.Changes = append(e.last.Changes, c)
}

func writtenChange(r authzcore.Relationship) (*eventv1.RelationshipChange, error) {
	change := &eventv1.RelationshipChange{
		Resource: r.Resource, Relation: r.Relation, Subject: r.Subject,
		Condition: r.Terms.Condition, ExpiresAt: r.Terms.Expires,
	}
	if r.Terms.Context == "" {
		return change, nil
	}
	values, err := authzcore.DecodeContext(r.Terms.Context)
	if err != nil {
		return nil, fmt.Errorf("record relationship: %w", err)
	}
	if change.Context, err = structpb.NewStruct(values); err != nil {
		return nil, fmt.Errorf("record relationship: %w", err)
	}
	return change, nil
}

// Recorded reads what a change of an event says about its relationship.
//
// Errors: a context that authzcore.EncodeContext refuses.
func Recorded(c *eventv1.RelationshipChange) (authzcore.Relationship, error) {
	r := authzcore.Relationship{Resource: c.GetResource(), Relation: c.GetRelation(), Subject: c.GetSubject()}
	if c.GetDeleted() {
		return r, nil
	}
	r.Terms = authzcore.Terms{Condition: c.GetCondition(), Expires: c.GetExpiresAt()}
	if c.GetContext() == nil {
		return r, nil
	}
	var err error
	r.Terms.Context, err = authzcore.EncodeContext(c.GetContext().AsMap())
	return r, err
}
