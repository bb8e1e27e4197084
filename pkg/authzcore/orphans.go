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
				condition := from.schema.conditions[x.condition]
				if !other.admits(x) || x.condition != "" && !condition.keeps(to.schema.conditions[x.condition]) {
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
	s := settler{from: from, to: to, rulings: map[kind]ruling{}}
	for r := range v.All {
		k := kindOf(r)
		refused := s.orphan(r, k)
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

// settler finds out once for a kind what is true of all of it.
type settler struct {
	from, to *Model
	rulings map[kind]ruling
}

// ruling is why a kind is refused, or nil, unless each of it has to be looked
// at.
type ruling struct {
	refused error
	each    bool
}

func (s *settler) orphan(r Relationship, k kind) error {
	v, known := s.rulings[k]
	if !known {
		v = s.settle(r, k)
		s.rulings[k] = v
	}
	if v.each {
		return Orphan(r, s.from, s.to)
	}
	return v.refused
}

// settle looks at a relationship without the values of its condition, when
// these are of the same types in both models.
func (s *settler) settle(r Relationship, k kind) ruling {
	if k.condition != "" && (s.from == nil || !s.from.schema.conditions[k.condition].keeps(s.to.schema.conditions[k.condition])) {
		return ruling{each: true}
	}
	r.Terms.Context = ""
	return ruling{refused: Orphan(r, s.from, s.to)}
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
