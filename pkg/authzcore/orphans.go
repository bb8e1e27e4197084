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
// does not, by kind, in no order, but for those of resources and relations that
// except names. A nil first model allows all; a nil except names none. The cost
// follows the number of relationships.
func (v *View) Orphans(from, to *Model, except func(resource, relation string) bool) []Orphans {
	s := survey{
		view: v, texts: v.texts(), from: from, to: to, except: except,
		rulings: map[kind]*ruling{}, found: map[string]*Orphans{},
	}
	for i := range v.sets.n {
		in := v.sets.at(i)
		v.each(in.members, func(ref uint32) bool {
			s.look(i, in, ref)
			return true
		})
	}
	out := make([]Orphans, 0, len(s.found))
	for _, o := range s.found {
		out = append(out, *o)
	}
	return out
}

// kind is what a model looks at in a relationship, but for the values of its
// condition's parameters.
type kind struct {
	resource, subject uint32 // pairs of type and relation
	wildcard          bool
	condition         string
}

// ruling is why a kind is refused, or nil, unless each of it has to be looked
// at.
type ruling struct {
	refused error
	each    bool
}

// survey finds out once for a kind what is true of all of it.
type survey struct {
	view     *View
	texts    *texts
	from, to *Model
	except   func(resource, relation string) bool
	rulings  map[kind]*ruling
	found    map[string]*Orphans
	// last and its ruling: neighbours are of one kind mostly.
	last  kind
	ruled *ruling
}

// look looks at one member of a set.
func (s *survey) look(n uint32, in *set, ref uint32) {
	terms := s.view.termsValue(n, in, ref)
	k := kind{resource: pair(in.typ, in.relation), condition: terms.Condition}
	if ref&setFlag != 0 {
		under := s.view.sets.at(ref &^ setFlag)
		k.subject = pair(under.typ, under.relation)
	} else {
		typ := s.view.nodes.at(ref).typ
		anyone, named := s.view.wildcard(typ)
		k.subject, k.wildcard = pair(typ, 0), named && anyone == ref
	}
	if s.ruled == nil || k != s.last {
		s.last, s.ruled = k, s.rulings[k]
	}
	if s.ruled == nil {
		s.ruled = s.rule(s.relationship(in, ref, terms))
		s.rulings[k] = s.ruled
	}
	if !s.ruled.each && s.ruled.refused == nil {
		return
	}
	r, refused := s.relationship(in, ref, terms), s.ruled.refused
	if s.ruled.each {
		refused = Orphan(r, s.from, s.to)
	}
	if refused != nil && (s.except == nil || !s.except(r.Resource, r.Relation)) {
		s.count(r, refused)
	}
}

func (s *survey) relationship(in *set, ref uint32, t Terms) Relationship {
	r := s.texts.relationship(in, ref)
	r.Terms = t
	return r
}

// rule looks at a relationship without the values of its condition, when these
// are of the same types in both models.
func (s *survey) rule(r Relationship) *ruling {
	if name := r.Terms.Condition; name != "" &&
		(s.from == nil || !s.from.schema.conditions[name].keeps(s.to.schema.conditions[name])) {
		return &ruling{each: true}
	}
	r.Terms.Context = ""
	return &ruling{refused: Orphan(r, s.from, s.to)}
}

func (s *survey) count(r Relationship, why error) {
	name := kindName(r)
	o := s.found[name]
	if o == nil {
		o = &Orphans{Kind: name, Why: why}
		s.found[name] = o
	}
	if o.Count++; len(o.Examples) < orphanExamples {
		o.Examples = append(o.Examples, r)
	}
}

// kindName is the kind of a relationship as Orphans.Kind has it.
func kindName(r Relationship) string {
	resource, _, _ := strings.Cut(r.Resource, ":")
	subject, id, _ := strings.Cut(r.Subject, ":")
	_, relation, _ := strings.Cut(id, "#")
	of := restriction{typ: subject, relation: relation, wildcard: id == wildcard, condition: r.Terms.Condition}
	return resource + "#" + r.Relation + "@" + of.String()
}
