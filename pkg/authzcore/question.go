package authzcore

import "strings"

// Question asks whether a subject has a permission (or relation) on a resource.
// Resource is type:id; Subject is type:id, type:* or type:id#relation.
type Question struct {
	Subject, Permission, Resource string
}

// Parsed is a question parsed for one model, for callers that ask it often.
type Parsed struct {
	question Question
	model    *Model
	resource string // id
	relation *relationDef
	subject  Subject
	typ      *typeDef // of the subject
	set      *relationDef
	kind     int
}

// Parse checks a question and resolves its names.
//
// Errors: *InputError, *TypeUnknownError, *RelationUnknownError.
func (m *Model) Parse(q Question) (Parsed, error) {
	p, err := m.resolve(q)
	if err != nil {
		return p, err
	}
	return p, p.checkIDs()
}

// resolve finds the names of a question. Ids are not checked: an id that a
// graph knows is valid, and others are checked when they are not found.
func (m *Model) resolve(q Question) (Parsed, error) {
	p := Parsed{question: q, model: m}
	typ, id, found := strings.Cut(q.Resource, ":")
	t := m.schema.byName[typ]
	if !found || t == nil {
		if _, err := ParseObject(q.Resource); err != nil {
			return p, err
		}
		return p, &TypeUnknownError{Field: "resource", Type: typ}
	}
	p.resource = id
	if p.relation = t.byName[q.Permission]; p.relation == nil {
		if err := checkName("permission", "relation_name", q.Permission); err != nil {
			return p, err
		}
		return p, &RelationUnknownError{Field: "permission", Type: typ, Relation: q.Permission}
	}
	return p, p.resolveSubject(m, q.Subject)
}

func (p *Parsed) resolveSubject(m *Model, text string) error {
	typ, rest, found := strings.Cut(text, ":")
	id, relation, isSet := strings.Cut(rest, "#")
	p.typ = m.schema.byName[typ]
	if !found || p.typ == nil {
		if _, err := ParseSubject(text); err != nil {
			return err
		}
		return &TypeUnknownError{Field: "subject", Type: typ}
	}
	p.subject = Subject{Type: typ, ID: id, Relation: relation}
	switch {
	case isSet:
		if p.set = p.typ.byName[relation]; p.set == nil {
			if _, err := ParseSubject(text); err != nil {
				return err
			}
			return &RelationUnknownError{Field: "subject", Type: typ, Relation: relation}
		}
		p.kind = m.setKind(p.set)
	case id == wildcard:
		p.kind = m.wildcardKind(p.typ)
	default:
		p.kind = m.objectKind(p.typ)
	}
	return nil
}

// checkIDs checks what resolve left out.
func (p *Parsed) checkIDs() error {
	if _, err := ParseObject(p.question.Resource); err != nil {
		return err
	}
	_, err := ParseSubject(p.question.Subject)
	return err
}
