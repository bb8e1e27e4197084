package rpc

import (
	"strings"

	"github.com/meridian-iam/meridian/pkg/authzcore"
	authzv1 "github.com/meridian-iam/meridian/proto/gen/go/meridian/authz/v1"
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
