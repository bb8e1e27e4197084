package authzcore

import "strings"

// NaiveCheck returns the reference evaluator over relationships, for tests of
// other packages' view of this one and for benchmarks.
func NaiveCheck(m *Model, relationships []Relationship) func(Question) bool {
	f := newReference(m, 0)
	for _, r := range relationships {
		f.apply(Change{Relationship: r})
	}
	return func(q Question) bool {
		f.steps = 1 << 40
		return f.check(q, asking{}, strings.Clone(q.Resource), q.Permission) == yes
	}
}
