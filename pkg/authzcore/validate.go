package authzcore

import (
	"fmt"
	"strings"
)

// Validate says whether a relationship may be stored under the model.
//
// Errors: *InputError, *TypeUnknownError, *RelationUnknownError,
// *ForbiddenError (the relation is computed only, or the subject is not among
// its type restrictions).
func (m *Model) Validate(r Relationship) error {
	resource, err := ParseObject(r.Resource)
	if err != nil {
		return err
	}
	if err := checkName("relation", "relation_name", r.Relation); err != nil {
		return err
	}
	subject, err := ParseSubject(r.Subject)
	if err != nil {
		return err
	}
	t := m.schema.byName[resource.Type]
	if t == nil {
		return &TypeUnknownError{Field: "resource", Type: resource.Type}
	}
	rel := t.byName[r.Relation]
	if rel == nil {
		return &RelationUnknownError{Field: "relation", Type: resource.Type, Relation: r.Relation}
	}
	st := m.schema.byName[subject.Type]
	if st == nil {
		return &TypeUnknownError{Field: "subject", Type: subject.Type}
	}
	kind := m.objectKind(st)
	switch {
	case subject.Relation != "":
		set := st.byName[subject.Relation]
		if set == nil {
			return &RelationUnknownError{Field: "subject", Type: subject.Type, Relation: subject.Relation}
		}
		kind = m.setKind(set)
	case subject.ID == wildcard:
		kind = m.wildcardKind(st)
	}
	if len(rel.restrictions) == 0 {
		return &ForbiddenError{
			Relationship: r, Field: "relation", Rule: "computed",
			Detail: fmt.Sprintf("relation %s of type %s is computed and cannot be stored", r.Relation, resource.Type),
		}
	}
	if !rel.rule.kinds.has(kind) {
		return &ForbiddenError{
			Relationship: r, Field: "subject", Rule: "type_restriction",
			Detail: fmt.Sprintf("relation %s of type %s allows only %s", r.Relation, resource.Type, rel.allowed()),
		}
	}
	return nil
}

func (r *relationDef) allowed() string {
	parts := make([]string, len(r.restrictions))
	for i, x := range r.restrictions {
		parts[i] = x.String()
	}
	return strings.Join(parts, ", ")
}
