package authzcore

import "strings"

// Orphans are relationships of one kind that one model allows and another does
// not.
type Orphans struct {
	// Kind is type#relation@kind of subject, as table#reader@user with
	// office_hours.
	Kind  string
	Count uint64
	// Why is the other model's refusal of the first one found.
	Why error
	// Examples are at most 5, in no order.
	Examples []Relationship
}

const orphanExamples = 5

// Keeps says that every relationship that one model allows is allowed by the
// other, whatever is stored. It is for models that do: it may be false where
// Orphans finds nothing.
func Keeps(from, to *Model) bool {
	for _, t := range from.schema.types {
		for _, r := range t.relations {
			other := to.schema.relation(t.name, r.name)
			if other == nil && len(r.restrictions) > 0 {
				return false
			}
			for _, x := range r.restrictions {
				if !other.admits(x) {
					return false
				}
			}
		}
	}
	return true
}

// admits says whether the relation may be given to a kind of subject.
func (r *relationDef) admits(x restriction) bool {
	for _, y := range r.restrictions {
		if x.String() == y.String() {
			return true
		}
	}
	return false
}

// Orphan says why a relationship that one model allows is refused by another;
// nil when it is not, or when the first does not allow it either. A nil first
// model allows all.
func Orphan(r Relationship, from, to *Model) error {
	if from != nil && from.Validate(r) != nil {
		return nil //nolint:nilerr // it was no relationship of the first model either
	}
	return to.Validate(r)
}

// Orphans returns the stored relationships that one model allows and another
// does not, by kind, in no order. A nil first model allows all. The cost follows
// the number of relationships.
func (v *View) Orphans(from, to *Model) []Orphans {
	found := map[kind]*Orphans{}
	settled := map[kind]error{}
	for r := range v.All {
		k := kindOf(r)
		refused, known := settled[k]
		if !known {
			refused = Orphan(r, from, to)
			// A condition's parameters differ from one relationship to the next.
			if k.condition == "" {
				settled[k] = refused
			}
		}
		if refused == nil {
			continue
		}
		o := found[k]
		if o == nil {
			o = &Orphans{Kind: k.String(), Why: refused}
			found[k] = o
		}
		if o.Count++; len(o.Examples) < orphanExamples {
			o.Examples = append(o.Examples, r)
		}
	}
	out := make([]Orphans, 0, len(found))
	for _, o := range found {
		out = append(out, *o)
	}
	return out
}

// kind is what a model looks at in a relationship, but for a condition's
// parameters.
type kind struct {
	resource, relation string
	subject, set       string
	wildcard           bool
	condition          string
}

func kindOf(r Relationship) kind {
	k := kind{relation: r.Relation, condition: r.Terms.Condition}
	k.resource, _, _ = strings.Cut(r.Resource, ":")
	subject, id, _ := strings.Cut(r.Subject, ":")
	_, set, _ := strings.Cut(id, "#")
	k.subject, k.set, k.wildcard = subject, set, id == wildcard
	return k
}

// String is the kind as Orphans.Kind has it.
func (k kind) String() string {
	return k.resource + "#" + k.relation + "@" +
		restriction{typ: k.subject, relation: k.set, wildcard: k.wildcard}.String() + withCondition(k.condition)
}

func withCondition(condition string) string {
	if condition == "" {
		return ""
	}
	return " with " + condition
}
