// Package relationship decides what a write of relationships changes.
package relationship

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// State is what a write needs to know.
type State struct {
	// Present holds the terms of those of the named relationships that have a
	// row, expired or not. The keys are without terms.
	Present map[authzcore.Relationship]authzcore.Terms
	// Matches says for each precondition whether anything matches its filter
	// that has not expired.
	Matches []bool
	// At is the time of the commit.
	At time.Time
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

// Named are the relationships of all updates, in order.
func (c Write) Named() []authzcore.Relationship {
	named := make([]authzcore.Relationship, len(c.Updates))
	for i, u := range c.Updates {
		named[i] = u.Relationship
	}
	return named
}

// Given are those of the named relationships that are present after the write,
// if it is not refused, in order.
func (c Write) Given() []authzcore.Relationship {
	given := make([]authzcore.Relationship, 0, len(c.Updates))
	for _, u := range c.Updates {
		if u.Operation == authzv1.Operation_OPERATION_CREATE || u.Operation == authzv1.Operation_OPERATION_TOUCH {
			given = append(given, u.Relationship)
		}
	}
	return given
}

// Outcome is what a write changes.
type Outcome struct {
	// Effects has one entry for each update, in order.
	Effects []authzv1.Effect
	// Created, Updated and Deleted are the effective changes. What had expired
	// and was still there is among Created.
	Created, Updated, Deleted []authzcore.Relationship
}

// Written are the relationships that are present afterwards with the terms that
// the write gave them, and were not before.
func (o Outcome) Written() []authzcore.Relationship { return slices.Concat(o.Created, o.Updated) }

// Decide returns the outcome of the write.
//
// What has expired at the time of the commit is absent, whether it has been
// removed or not.
//
// Errors: INVALID_FIELD when one relationship is named twice, whatever its
// terms, or would have expired already (rule future); PRECONDITION_FAILED;
// RELATIONSHIP_EXISTS (a create of what exists). None of them changes anything.
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
		key := u.Relationship.Key()
		if first, twice := seen[key]; twice {
			return Outcome{}, fault.Field(fmt.Sprintf("updates[%d].relationship", i), "unique",
				fmt.Sprintf("is named by updates[%d] already", first))
		}
		seen[key] = i
		effect, err := decide(i, u, s)
		if err != nil {
			return Outcome{}, err
		}
		out.Effects[i] = effect
		out.add(effect, u.Relationship)
	}
	return out, nil
}

func (o *Outcome) add(effect authzv1.Effect, r authzcore.Relationship) {
	switch effect {
	case authzv1.Effect_EFFECT_CREATED:
		o.Created = append(o.Created, r)
	case authzv1.Effect_EFFECT_UPDATED:
		o.Updated = append(o.Updated, r)
	case authzv1.Effect_EFFECT_DELETED:
		o.Deleted = append(o.Deleted, r.Key())
	case authzv1.Effect_EFFECT_UNSPECIFIED, authzv1.Effect_EFFECT_UNCHANGED, authzv1.Effect_EFFECT_ABSENT:
	}
}

func decide(i int, u Update, s State) (authzv1.Effect, error) {
	terms, present := s.Present[u.Relationship.Key()]
	present = present && !Expired(terms, s.At)
	if u.Operation != authzv1.Operation_OPERATION_DELETE && Expired(u.Relationship.Terms, s.At) {
		return 0, PastExpiry(fmt.Sprintf("updates[%d].relationship.", i))
	}
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
		switch {
		case !present:
			return authzv1.Effect_EFFECT_CREATED, nil
		case terms != u.Relationship.Terms:
			return authzv1.Effect_EFFECT_UPDATED, nil
		}
		return authzv1.Effect_EFFECT_UNCHANGED, nil
	case authzv1.Operation_OPERATION_UNSPECIFIED:
	}
	return 0, fault.Field(fmt.Sprintf("updates[%d].operation", i), "defined", "is not an operation")
}

// Expired says whether a relationship with these terms holds no more at a time.
func Expired(t authzcore.Terms, at time.Time) bool { return t.Expires != 0 && t.Expires <= at.Unix() }

// PastExpiry is the error of a relationship that would have expired already.
// prefix is where in the request it stands, as "relationships[3].".
func PastExpiry(prefix string) error {
	return fault.Field(prefix+"expires_at", "future", "must be a time to come")
}

// Latest returns relationships without those that a later one with the same
// resource, relation and subject replaces.
func Latest(relationships []authzcore.Relationship) []authzcore.Relationship {
	type key struct{ resource, relation, subject string }
	at := make(map[key]int, len(relationships))
	for i, r := range relationships {
		at[key{r.Resource, r.Relation, r.Subject}] = i
	}
	if len(at) == len(relationships) {
		return relationships
	}
	out := make([]authzcore.Relationship, 0, len(at))
	for i, r := range relationships {
		if at[key{r.Resource, r.Relation, r.Subject}] == i {
			out = append(out, r)
		}
	}
	return out
}
