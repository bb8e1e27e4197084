package authzcore

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Validate says whether a relationship may be stored under the model.
//
// Errors: *InputError, *TypeUnknownError, *RelationUnknownError,
// *ConditionUnknownError, *ContextError, *ForbiddenError (the relation is
// computed only, or the subject is not among its type restrictions, or not
// under this condition).
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
	return m.validateTerms(r, rel, kind)
}

// validateTerms says whether a relationship may have its terms.
func (m *Model) validateTerms(r Relationship, rel *relationDef, kind int) error {
	if r.Terms.Expires < 0 {
		return &InputError{Field: "expires_at", Rule: "range", Detail: "must not be before 1970"}
	}
	if r.Terms.Condition == "" {
		if r.Terms.Context != "" {
			return &InputError{Field: "context", Rule: "condition", Detail: "a context needs a condition"}
		}
		return forbidden(r, rel, rel.rule.plain.has(kind), "without a condition")
	}
	id, known := m.names.conditions.find(r.Terms.Condition)
	of := m.conditions[id]
	if !known || of == nil {
		return &ConditionUnknownError{Field: "condition", Condition: r.Terms.Condition}
	}
	if err := forbidden(r, rel, rel.rule.allows(kind, id), "with condition "+r.Terms.Condition); err != nil {
		return err
	}
	values, err := DecodeContext(r.Terms.Context)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if of.find(name) == nil {
			return &ContextError{Condition: of.name, Parameter: name, Detail: "is no parameter of the condition"}
		}
	}
	return of.cast(values).err()
}

func forbidden(r Relationship, rel *relationDef, allowed bool, how string) error {
	if allowed {
		return nil
	}
	return &ForbiddenError{
		Relationship: r, Field: "condition", Rule: "type_restriction",
		Detail: fmt.Sprintf("relation %s of type %s allows only %s, not this subject %s", r.Relation, rel.typ.name, rel.allowed(), how),
	}
}

func (r *relationDef) allowed() string {
	parts := make([]string, len(r.restrictions))
	for i, x := range r.restrictions {
		parts[i] = x.String()
	}
	return strings.Join(parts, ", ")
}
