package authzcore

// answer is no, yes, maybe or an error.
type answer int

const (
	no answer = iota
	yes
	cycle
	failure
	maybe
	// adverse, of terms: yes where that does harm, under a subtraction, else no.
	adverse
)

func newReference(m *Model, steps int) *reference {
	always := func(Terms) answer { return yes }
	return &reference{schema: m.schema, stored: map[string]map[string]Terms{}, steps: steps, holds: always}
}

func (f *reference) apply(c Change) {
	key := c.Relationship.Resource + "#" + c.Relationship.Relation
	if f.stored[key] == nil {
		f.stored[key] = map[string]Terms{}
	}
	if c.Delete {
		delete(f.stored[key], c.Relationship.Subject)
	} else {
		f.stored[key][c.Relationship.Subject] = c.Relationship.Terms
	}
}
