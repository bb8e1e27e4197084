package authzcore

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of texts, in bytes.
const (
	MaxIDBytes   = 256
	MaxNameBytes = 64
)

const wildcard = "*"

// Relationship says that a subject has a relation to a resource. Resource is
// type:id; Subject is type:id, type:* or type:id#relation. There is at most one
// for a resource, relation and subject, whatever its terms.
type Relationship struct {
	Resource, Relation, Subject string
	Terms                       Terms
}

// Key is the relationship without its terms.
func (r Relationship) Key() Relationship {
	r.Terms = Terms{}
	return r
}

// String is resource#relation@subject.
func (r Relationship) String() string {
	return r.Resource + "#" + r.Relation + "@" + r.Subject
}

// Object is a parsed type:id.
type Object struct {
	Type, ID string
}

// String is type:id.
func (o Object) String() string { return o.Type + ":" + o.ID }

// Subject is a parsed subject. Relation is empty but for type:id#relation; ID
// is "*" for every object of the type.
type Subject struct {
	Type, ID, Relation string
}

// String is type:id, type:* or type:id#relation.
func (s Subject) String() string {
	if s.Relation == "" {
		return s.Type + ":" + s.ID
	}
	return s.Type + ":" + s.ID + "#" + s.Relation
}

// ParseRelationship checks the form of a relationship; whether a model allows
// it is Model.Validate's matter.
//
// Errors: *InputError with field resource, relation or subject.
func ParseRelationship(r Relationship) error {
	if _, err := ParseObject(r.Resource); err != nil {
		return err
	}
	if err := checkName("relation", "relation_name", r.Relation); err != nil {
		return err
	}
	_, err := ParseSubject(r.Subject)
	return err
}

// ParseObject parses type:id.
//
// Ids are 1 to 256 bytes of valid UTF-8 in form NFC, case-sensitive, without
// white space, control and format characters (categories Cc and Cf: invisible,
// or changing the direction of text), ':' and '#'; "*" is not an object. Names of
// types and relations are 1 to 64 of A-Z a-z 0-9 _ - . /, not beginning with a
// digit or with - . /, as the OpenFGA language has them.
//
// Errors: *InputError with field resource.
func ParseObject(text string) (Object, error) {
	const field = "resource"
	typ, id, err := splitObject(field, text)
	if err != nil {
		return Object{}, err
	}
	if id == wildcard {
		return Object{}, &InputError{Field: field, Rule: "wildcard", Detail: "must name one object, not every object of a type"}
	}
	if err := checkID(field, id); err != nil {
		return Object{}, err
	}
	return Object{Type: typ, ID: id}, nil
}

// ParseSubject parses type:id, type:* and type:id#relation.
//
// Errors: *InputError with field subject.
func ParseSubject(text string) (Subject, error) {
	const field = "subject"
	object, relation, isSet := strings.Cut(text, "#")
	typ, id, err := splitObject(field, object)
	if err != nil {
		return Subject{}, err
	}
	if err := checkID(field, id); err != nil {
		return Subject{}, err
	}
	if isSet {
		if id == wildcard {
			return Subject{}, &InputError{Field: field, Rule: "wildcard", Detail: "type:* cannot have a relation"}
		}
		if err := checkName(field, "relation_name", relation); err != nil {
			return Subject{}, err
		}
	}
	return Subject{Type: typ, ID: id, Relation: relation}, nil
}

func splitObject(field, text string) (typ, id string, err error) {
	typ, id, found := strings.Cut(text, ":")
	if !found {
		return "", "", &InputError{Field: field, Rule: "format", Detail: "must be type:id"}
	}
	return typ, id, checkName(field, "type_name", typ)
}

// checkName accepts what the OpenFGA language accepts as an identifier.
func checkName(field, rule, name string) error {
	if name == "" || len(name) > MaxNameBytes {
		return &InputError{Field: field, Rule: rule, Detail: "a name must be 1 to 64 bytes"}
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.' || c == '/'):
		default:
			return &InputError{Field: field, Rule: rule, Detail: "a name must begin with a letter or _ and go on with letters, digits, _ - . or /"}
		}
	}
	return nil
}

func checkID(field, id string) error {
	if id == "" {
		return &InputError{Field: field, Rule: "empty", Detail: "the id must not be empty"}
	}
	if len(id) > MaxIDBytes {
		return &InputError{Field: field, Rule: "length", Detail: "an id must be at most 256 bytes"}
	}
	ascii := true
	for i := range len(id) {
		c := id[i]
		if c >= utf8.RuneSelf {
			ascii = false
		} else if c <= ' ' || c == ':' || c == '#' || c == 0x7f {
			return badCharacter(field)
		}
	}
	if ascii {
		return nil
	}
	return checkUnicode(field, id)
}

func checkUnicode(field, id string) error {
	if !utf8.ValidString(id) {
		return &InputError{Field: field, Rule: "utf8", Detail: "an id must be valid UTF-8"}
	}
	for _, r := range id {
		if unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf) {
			return badCharacter(field)
		}
	}
	if !norm.NFC.IsNormalString(id) {
		return &InputError{Field: field, Rule: "nfc", Detail: "an id must be in Unicode normalization form C"}
	}
	return nil
}

func badCharacter(field string) error {
	return &InputError{Field: field, Rule: "character", Detail: "an id must not contain white space, control or invisible characters, ':' or '#'"}
}
