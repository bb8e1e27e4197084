package rpc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	"github.com/meridian-iam/meridian/pkg/fault"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
	commonv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/common/v1"
)

// parseFilter checks a filter whose resource and subject may be types only, and
// whose fields may be empty.
//
// Errors: *authzcore.InputError with field resource, relation or subject.
func parseFilter(f *authzv1.RelationshipFilter) (authzcore.Filter, error) {
	full := authzcore.Relationship{Resource: f.GetResource(), Relation: f.GetRelation(), Subject: f.GetSubject()}
	if full.Resource == "" {
		full.Resource = "any"
	}
	if !strings.Contains(full.Resource, ":") {
		full.Resource += ":any"
	}
	if full.Relation == "" {
		full.Relation = "any"
	}
	if full.Subject == "" {
		full.Subject = "any"
	}
	if !strings.Contains(full.Subject, ":") {
		full.Subject += ":any"
	}
	return authzcore.Filter{Resource: f.GetResource(), Relation: f.GetRelation(), Subject: f.GetSubject()},
		authzcore.ParseRelationship(full)
}

// ofModel checks that a model has the names of a filter that matches nothing: one
// that is misspelt would match nothing for ever. What an older model had is
// found, and so never comes here. Without a model nothing is known and nothing
// checked.
//
// Errors: TYPE_UNKNOWN, RELATION_UNKNOWN.
func ofModel(model *authzcore.Model, f authzcore.Filter, prefix string) error {
	if model == nil {
		return nil
	}
	resource, _, _ := strings.Cut(f.Resource, ":")
	if err := nameOfModel(model, "resource", resource, "relation", f.Relation, prefix); err != nil {
		return err
	}
	subject, id, _ := strings.Cut(f.Subject, ":")
	_, relation, _ := strings.Cut(id, "#")
	return nameOfModel(model, "subject", subject, "subject", relation, prefix)
}

// nameOfModel checks a type, and a relation that it has or, when no type is
// given, that any type has. Empty ones are not checked.
func nameOfModel(model *authzcore.Model, typeField, typ, relationField, relation, prefix string) error {
	has := func(t string) bool { return slices.Contains(model.Relations(t), relation) }
	switch {
	case typ != "" && !slices.Contains(model.Types(), typ):
		return engineFault(&authzcore.TypeUnknownError{Field: typeField, Type: typ}, prefix)
	case relation == "" || typ != "" && has(typ) || typ == "" && slices.ContainsFunc(model.Types(), has):
		return nil
	case typ == "":
		field := prefix + relationField
		return fault.New(fault.Invalid, commonv1.Reason_RELATION_UNKNOWN, fmt.Sprintf("%s: no type of the model has a relation %q", field, relation)).
			With("field", field).With("rule", "relation_of_type")
	default:
		return engineFault(&authzcore.RelationUnknownError{Field: relationField, Type: typ, Relation: relation}, prefix)
	}
}

// matches says whether a relationship matches a filter that parseFilter took.
func matches(f authzcore.Filter, r authzcore.Relationship) bool {
	return (f.Relation == "" || f.Relation == r.Relation) &&
		matchesObject(f.Resource, r.Resource) && matchesObject(f.Subject, r.Subject)
}

// matchesObject compares a whole text, or its type when only that is wanted.
func matchesObject(want, text string) bool {
	if want == "" || want == text {
		return true
	}
	return len(text) > len(want) && text[len(want)] == ':' && text[:len(want)] == want
}
