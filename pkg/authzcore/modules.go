package authzcore

import (
	"fmt"
	"slices"

	openfgav1 "github.com/openfga/api/proto/openfga/v1"
)

// addTypes takes the types that a file defines.
func (r *reader) addTypes(s *source, parsed *openfgav1.AuthorizationModel) {
	r.addConditions(s, parsed)
	count := map[string]int{}
	for _, t := range parsed.GetTypeDefinitions() {
		name := t.GetType()
		at, defined := s.typeAt(name, count[name])
		if !defined {
			if _, extended := s.extensionAt(name); extended {
				continue
			}
		}
		count[name]++
		if other := r.schema.byName[name]; other != nil {
			p := at.problem(fmt.Sprintf("type %s is defined already in %s", name, owner(other.module, other.at.file)))
			p.Conflict = other.at.file != s.path
			r.report(p)
			continue
		}
		def := &typeDef{name: name, module: s.module, at: at, byName: map[string]*relationDef{}}
		r.schema.types = append(r.schema.types, def)
		r.schema.byName[name] = def
		r.checkDefinedName(at, "type", name)
		r.addRelations(s, def, t)
	}
}

// addExtensions takes the relations that a module adds to types of others.
func (r *reader) addExtensions(s *source, parsed *openfgav1.AuthorizationModel) {
	for _, t := range parsed.GetTypeDefinitions() {
		name := t.GetType()
		at, extended := s.extensionAt(name)
		if _, defined := s.typeAt(name, 0); defined || !extended {
			if defined && extended {
				r.report(at.problem(fmt.Sprintf("type %s is defined and extended in the same file", name)))
			}
			continue
		}
		def := r.schema.byName[name]
		if def == nil {
			r.report(at.problem(fmt.Sprintf("type %s is extended but nowhere defined", name)))
			continue
		}
		r.addRelations(s, def, t)
	}
}

func owner(module, file string) string {
	if module == "" {
		return file
	}
	return "module " + module
}

func (r *reader) addRelations(s *source, def *typeDef, t *openfgav1.TypeDefinition) {
	names := make([]string, 0, len(t.GetRelations()))
	for name := range t.GetRelations() {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		at := s.relationAt(def.name, name)
		if other := def.byName[name]; other != nil {
			p := at.problem(fmt.Sprintf("relation %s of type %s is defined already in %s", name, def.name, owner(other.module, other.at.file)))
			p.Conflict = other.at.file != s.path
			r.report(p)
			continue
		}
		rel := &relationDef{typ: def, name: name, module: s.module, at: at}
		r.checkDefinedName(at, "relation", name)
		for _, ref := range t.GetMetadata().GetRelations()[name].GetDirectlyRelatedUserTypes() {
			rel.restrictions = append(rel.restrictions, restriction{
				typ: ref.GetType(), relation: ref.GetRelation(), wildcard: ref.GetWildcard() != nil, condition: ref.GetCondition(),
			})
		}
		rel.rewrite = r.rewrite(at, t.GetRelations()[name], 0)
		def.relations = append(def.relations, rel)
		def.byName[name] = rel
	}
}

// checkDefinedName refuses names that no relationship could be written with.
func (r *reader) checkDefinedName(at place, what, name string) {
	if name == "self" || name == "this" {
		r.report(at.problem(fmt.Sprintf("%s name %s is reserved", what, name)))
		return
	}
	if err := checkName(what, "name", name); err != nil {
		r.report(at.problem(err.Error()))
	}
}

// rewrite turns the parser's tree into ours. It returns nil after having
// reported a problem.
func (r *reader) rewrite(at place, u *openfgav1.Userset, depth int) *rewrite {
	if depth > maxRewriteDepth {
		r.report(at.problem(fmt.Sprintf("the definition nests deeper than %d", maxRewriteDepth)))
		return nil
	}
	many := func(kind rewriteKind, children ...*openfgav1.Userset) *rewrite {
		w := &rewrite{kind: kind}
		for _, c := range children {
			child := r.rewrite(at, c, depth+1)
			if child == nil {
				return nil
			}
			w.children = append(w.children, child)
		}
		return w
	}
	switch x := u.GetUserset().(type) {
	case *openfgav1.Userset_This:
		return &rewrite{kind: rewriteThis}
	case *openfgav1.Userset_ComputedUserset:
		return &rewrite{kind: rewriteComputed, relation: x.ComputedUserset.GetRelation()}
	case *openfgav1.Userset_TupleToUserset:
		return &rewrite{
			kind:     rewriteFrom,
			relation: x.TupleToUserset.GetComputedUserset().GetRelation(),
			tupleset: x.TupleToUserset.GetTupleset().GetRelation(),
		}
	case *openfgav1.Userset_Union:
		return many(rewriteUnion, x.Union.GetChild()...)
	case *openfgav1.Userset_Intersection:
		return many(rewriteIntersection, x.Intersection.GetChild()...)
	case *openfgav1.Userset_Difference:
		return many(rewriteExclusion, x.Difference.GetBase(), x.Difference.GetSubtract())
	default:
		r.report(at.problem("the definition is empty"))
		return nil
	}
}
