package authzcore

// texts renders objects and sets of a view. It looks the names up once.
type texts struct {
	view      *View
	types     []string
	relations []string
}

func (v *View) texts() *texts {
	return &texts{view: v, types: v.graph.names.types.all(), relations: v.graph.names.relations.all()}
}

// appendObject appends type:id.
func (t *texts) appendObject(b []byte, n uint32) []byte {
	o := t.view.nodes.at(n)
	b = append(b, t.types[o.typ-1]...)
	b = append(b, ':')
	return append(b, t.view.idBytes(o)...)
}

// appendRef appends type:id or type:id#relation.
func (t *texts) appendRef(b []byte, ref uint32) []byte {
	if ref&setFlag == 0 {
		return t.appendObject(b, ref)
	}
	s := t.view.sets.at(ref &^ setFlag)
	b = t.appendObject(b, s.object)
	b = append(b, '#')
	return append(b, t.relations[s.relation-1]...)
}

func (t *texts) object(n uint32) string { return string(t.appendObject(nil, n)) }

func (t *texts) relation(id uint16) string { return t.relations[id-1] }

// relationship renders a member of a set, without its terms.
func (t *texts) relationship(s *set, ref uint32) Relationship {
	return Relationship{Resource: t.object(s.object), Relation: t.relation(s.relation), Subject: string(t.appendRef(nil, ref))}
}
